//! What the tables answer about a frame, a block and the machine, after memory came and went.

mod common;

use common::{Bench, Model, NODE, Op, Scenario, Start, bytes, on_every_model, sections, subsections};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{ByteLen, NodeId, PageCount, Pfn, PfnRange, SectionShape};
use sparsemem_hotplug::{
    BadName, BlockNr, BlockSize, BlockSpan, BlockState, ChainError, Limits, Merge, Ram, Registration,
    RemoveError, Resource, ResourceKind,
};

fn on_all(scenario: &impl Scenario) {
    on_every_model::<Tiny, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(scenario);
    on_every_model::<X86_64, { X86_64::NR_SECTIONS_LEN }, { X86_64::NR_ROOTS_LEN }>(scenario);
}

#[test]
fn a_span_ends_where_it_says() {
    let span = BlockSpan::new(BlockNr::new(4), 3);
    let inside: Vec<_> = (0..16).filter(|nr| span.contains(BlockNr::new(*nr))).collect();
    assert_eq!(inside, [4, 5, 6]);
    assert!(span.iter().map(BlockNr::get).eq(4..7));
    assert_eq!((span.first().get(), span.count()), (4, 3));
    let none = BlockSpan::new(BlockNr::new(4), 0);
    assert!((0..16).all(|nr| !none.contains(BlockNr::new(nr))) && none.iter().next().is_none());
    let first = BlockSpan::new(BlockNr::new(0), 1);
    assert!(first.contains(BlockNr::new(0)) && !first.contains(BlockNr::new(1)));
}

/// A device shares a section with RAM: each frame is told apart.
struct Neighbours;

impl Scenario for Neighbours {
    fn run<M: Model>(&self, start: Start<M>) {
        let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
        let ram = subsections::<M::Geometry>(1, 0, subs / 2);
        let device = subsections::<M::Geometry>(1, subs / 2, subs / 2 - 1);
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &[ram]);
        bench.apply(Op::AddDevice(device)).unwrap();
        let kind = |bench: &Bench<M>, pfn| bench.hotplug.resource_of(pfn).map(|it| it.kind);
        let last = |range: PfnRange| Pfn::new(range.end().get() - 1);
        for (pfn, of) in [
            (ram.start(), Some(ResourceKind::SystemRam)),
            (last(ram), Some(ResourceKind::SystemRam)),
            (device.start(), Some(ResourceKind::Device)),
            (last(device), Some(ResourceKind::Device)),
            (device.end(), None),
            (Pfn::new(0), None),
        ] {
            assert_eq!(kind(&bench, pfn), of, "{pfn}");
            assert_eq!(bench.hotplug.is_device(pfn), of == Some(ResourceKind::Device), "{pfn}");
        }
        assert!(bench.hotplug.resource_of(Pfn::new(u64::MAX)).is_none(), "it has no address");
        bench.apply(Op::RemoveDevice(device)).unwrap();
        assert!(!bench.hotplug.is_device(device.start()));
    }
}

#[test]
fn frames_of_ram_and_of_devices_are_told_apart() {
    on_all(&Neighbours);
}

/// Two devices in one section: each goes as it came, whole, whatever lies beside it.
struct TwoDevices;

impl Scenario for TwoDevices {
    fn run<M: Model>(&self, start: Start<M>) {
        let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
        let (low, high) =
            (subsections::<M::Geometry>(3, 0, subs), subsections::<M::Geometry>(4, 0, subs / 2));
        bench.apply(Op::AddMemory(sections::<M::Geometry>(2, 1))).unwrap();
        bench.apply(Op::AddDevice(low)).unwrap();
        bench.apply(Op::AddDevice(high)).unwrap();
        for (frames, of) in [
            (subsections::<M::Geometry>(3, 0, 1), low),
            (subsections::<M::Geometry>(3, 1, subs - 1), low),
            (subsections::<M::Geometry>(3, 0, subs + subs / 2), low),
            (subsections::<M::Geometry>(4, 0, 1), high),
            (sections::<M::Geometry>(4, 1), high),
        ] {
            let error = bench.hotplug.remove_device(&mut bench.machine, frames).unwrap_err();
            let RemoveError::NotTheDevice { frames: named, device } = error else { panic!("{error}") };
            assert_eq!((named, device.range), (frames, bytes::<M::Geometry>(of)));
        }
        bench.apply(Op::RemoveDevice(high)).unwrap();
        bench.apply(Op::RemoveDevice(low)).unwrap();
        let kinds: Vec<_> = bench.hotplug.resources().iter().map(|it| it.kind).collect();
        assert_eq!(kinds, [ResourceKind::SystemRam; 2]);
        assert_eq!(bench.hotplug.blocks().iter().count(), 2, "the blocks of RAM stay");
    }
}

#[test]
fn a_device_goes_alone_and_whole() {
    on_all(&TwoDevices);
}

/// RAM under a driver's name, next to RAM of boot: names are kept, and only what is alike becomes one.
struct Names;

impl Scenario for Names {
    fn run<M: Model>(&self, start: Start<M>) {
        let at = |first, count| sections::<M::Geometry>(first, count);
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &[at(0, 1)]);
        let kmem = Ram::driver_managed("System RAM (kmem)").unwrap();
        for (frames, ram) in [
            (at(2, 1), kmem.merging()),
            (at(3, 1), kmem.merging()),
            (at(4, 1), Ram::default().merging()),
            (at(5, 1), kmem),
        ] {
            bench.hotplug.add_memory(&mut bench.machine, frames, NODE, ram).unwrap();
        }
        let merge = |merging| if merging { Merge::Allowed } else { Merge::Separate };
        let resource = |frames, name, merging| Resource {
            range: bytes::<M::Geometry>(frames),
            kind: ResourceKind::SystemRam,
            name,
            merge: merge(merging),
        };
        let all: Vec<_> = bench.hotplug.resources().iter().copied().collect();
        let expected = [
            resource(at(0, 1), "System RAM", false),
            resource(at(2, 2), "System RAM (kmem)", true),
            resource(at(4, 1), "System RAM", true),
            resource(at(5, 1), "System RAM (kmem)", false),
        ];
        assert_eq!(all, expected);
    }
}

#[test]
fn names_are_kept_and_only_equal_ram_becomes_one() {
    on_all(&Names);
    for name in ["System RAM ()", "System RAM", "System RAM kmem", "System RAM (kmem", "RAM (kmem)", ""] {
        let error = Ram::driver_managed(name).unwrap_err();
        assert_eq!(error, BadName { name });
        let words =
            format!("\"{name}\" does not read \"System RAM (DRIVER)\", as tools that look for RAM expect");
        assert_eq!(error.to_string(), words);
    }
}

/// Blocks of two sections, on a machine that addresses less than its geometry.
struct TwoSections;

impl Scenario for TwoSections {
    fn run<M: Model>(&self, start: Start<M>) {
        let pages = M::Geometry::PAGES_PER_SECTION;
        let at = |first, count| sections::<M::Geometry>(first, count);
        let block = BlockSize::<M::Geometry>::new(ByteLen::new(2 * pages * M::Geometry::PAGE_SIZE)).unwrap();
        // Boot memory of a block, and of a part of the block behind it.
        let tail = subsections::<M::Geometry>(2, 0, 1);
        let mut bench = Bench::boot(start, Limits::new(block).addressable(at(0, 6)), &[at(0, 2), tail]);
        let limits = bench.hotplug.limits();
        assert_eq!((limits.block.frames(), limits.addressable), (PageCount::new(2 * pages), at(0, 6)));
        bench.refuses(Op::AddMemory(at(3, 1)), "does not consist of whole memory blocks");
        bench.refuses(Op::AddMemory(at(6, 2)), "which is all that this machine addresses");
        bench.apply(Op::AddMemory(at(4, 2))).unwrap();
        let states: Vec<_> = bench
            .hotplug
            .blocks()
            .iter()
            .map(|it| (it.nr.get(), it.state, it.node, it.memmap.get()))
            .collect();
        let node = Some(NODE);
        let expected = [
            (0, BlockState::Online, node, 0),
            (1, BlockState::Online, node, 0),
            (2, BlockState::Offline, node, 0),
        ];
        assert_eq!(states, expected);
        let of = |nr, node| bench.hotplug.blocks().get(BlockNr::new(nr)).map(|it| it.has_memory_of(node));
        assert_eq!((of(1, NODE), of(1, NodeId::new(1)), of(3, NODE)), (Some(true), Some(false), None));
    }
}

#[test]
fn blocks_of_two_sections_are_counted_from_frame_zero() {
    on_all(&TwoSections);
}

/// A notifier that was taken out hears nothing more, and can come back under its name.
struct ComesBack;

impl Scenario for ComesBack {
    fn run<M: Model>(&self, start: Start<M>) {
        let ram = sections::<M::Geometry>(0, 1);
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &[ram]);
        let second = bench.notifiers[1];
        let twice = bench.hotplug.register_notifier(0, second);
        assert_eq!(twice, Err(ChainError::Registered { notifier: "second" }));
        bench.hotplug.unregister_notifier("second").unwrap();
        assert_eq!(bench.hotplug.unregister_notifier("second"), Err(ChainError::Unknown));
        bench.apply(Op::Offline(ram)).unwrap();
        bench.hotplug.register_notifier(9, second).unwrap();
        bench.apply(Op::Online(ram)).unwrap();
        let done: Vec<_> = bench.notifiers.iter().map(|it| it.done_count()).collect();
        assert_eq!(done, [2, 1, 2]);
        let order: Vec<_> = bench.hotplug.notifiers().iter().map(Registration::name).collect();
        assert_eq!(order, ["second", "first", "third"]);
    }
}

#[test]
fn a_notifier_that_left_hears_nothing() {
    on_all(&ComesBack);
}
