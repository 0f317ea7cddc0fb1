//! The answers of the tables about a frame, a block and the machine, after memory came and went.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{ByteLen, NodeId, PageCount, Pfn, PfnRange, SectionShape};
use sparsemem_fixture::{Fixture, NODE, bytes, on_every_backend, sections, subsections};
use sparsemem_hotplug::{
    BadName, BlockNr, BlockSize, BlockSpan, BlockState, ChainError, Limits, Merge, Ram, Registration,
    RemoveError, Resource, ResourceKind,
};

on_every_backend!(
    [Tiny, X86_64]
    frames_of_ram_and_of_devices_are_told_apart,
    a_device_goes_alone_and_whole,
    names_are_kept_and_only_equal_ram_becomes_one,
    blocks_of_two_sections_are_counted_from_frame_zero,
    a_notifier_that_left_hears_nothing,
);

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
fn frames_of_ram_and_of_devices_are_told_apart<M: Model>(fixture: Fixture<M>) {
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let ram = subsections::<M::Geometry>(1, 0, subs / 2);
    let device = subsections::<M::Geometry>(1, subs / 2, subs / 2 - 1);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[ram]);
    system.apply(Op::AddDevice(device)).unwrap();
    let kind = |system: &System<M>, pfn| system.hotplug.resource_of(pfn).map(|it| it.kind);
    let last = |range: PfnRange| Pfn::new(range.end().get() - 1);
    for (pfn, of) in [
        (ram.start(), Some(ResourceKind::SystemRam)),
        (last(ram), Some(ResourceKind::SystemRam)),
        (device.start(), Some(ResourceKind::Device)),
        (last(device), Some(ResourceKind::Device)),
        (device.end(), None),
        (Pfn::new(0), None),
    ] {
        assert_eq!(kind(&system, pfn), of, "{pfn}");
        assert_eq!(system.hotplug.is_device(pfn), of == Some(ResourceKind::Device), "{pfn}");
    }
    assert!(system.hotplug.resource_of(Pfn::new(u64::MAX)).is_none(), "it has no address");
    system.apply(Op::RemoveDevice(device)).unwrap();
    assert!(!system.hotplug.is_device(device.start()));
}

/// Two devices in one section: each goes as it came, whole, whatever lies beside it.
fn a_device_goes_alone_and_whole<M: Model>(fixture: Fixture<M>) {
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
    let (low, high) = (subsections::<M::Geometry>(3, 0, subs), subsections::<M::Geometry>(4, 0, subs / 2));
    system.apply(Op::AddMemory(sections::<M::Geometry>(2, 1))).unwrap();
    system.apply(Op::AddDevice(low)).unwrap();
    system.apply(Op::AddDevice(high)).unwrap();
    for (frames, of) in [
        (subsections::<M::Geometry>(3, 0, 1), low),
        (subsections::<M::Geometry>(3, 1, subs - 1), low),
        (subsections::<M::Geometry>(3, 0, subs + subs / 2), low),
        (subsections::<M::Geometry>(4, 0, 1), high),
        (sections::<M::Geometry>(4, 1), high),
    ] {
        let error = system.hotplug.remove_device(&mut system.machine, frames).unwrap_err();
        let RemoveError::NotTheDevice { frames: named, device } = error else { panic!("{error}") };
        assert_eq!((named, device.range), (frames, bytes::<M::Geometry>(of)));
    }
    system.apply(Op::RemoveDevice(high)).unwrap();
    system.apply(Op::RemoveDevice(low)).unwrap();
    let kinds: Vec<_> = system.hotplug.resources().iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [ResourceKind::SystemRam; 2]);
    assert_eq!(system.hotplug.blocks().iter().count(), 2, "the blocks of RAM stay");
}

/// RAM under a driver's name, next to RAM of boot: names are kept, and only what is alike becomes one.
fn names_are_kept_and_only_equal_ram_becomes_one<M: Model>(fixture: Fixture<M>) {
    let at = |first, count| sections::<M::Geometry>(first, count);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[at(0, 1)]);
    let kmem = Ram::driver_managed("System RAM (kmem)").unwrap();
    for (frames, ram) in [
        (at(2, 1), kmem.merging()),
        (at(3, 1), kmem.merging()),
        (at(4, 1), Ram::default().merging()),
        (at(5, 1), kmem),
    ] {
        system.hotplug.add_memory(&mut system.machine, frames, NODE, ram).unwrap();
    }
    let merge = |merging| if merging { Merge::Allowed } else { Merge::Separate };
    let resource = |frames, name, merging| Resource {
        range: bytes::<M::Geometry>(frames),
        kind: ResourceKind::SystemRam,
        name,
        merge: merge(merging),
    };
    let all: Vec<_> = system.hotplug.resources().iter().copied().collect();
    let expected = [
        resource(at(0, 1), "System RAM", false),
        resource(at(2, 2), "System RAM (kmem)", true),
        resource(at(4, 1), "System RAM", true),
        resource(at(5, 1), "System RAM (kmem)", false),
    ];
    assert_eq!(all, expected);
}

#[test]
fn a_drivers_name_reads_as_tools_expect() {
    for name in ["System RAM ()", "System RAM", "System RAM kmem", "System RAM (kmem", "RAM (kmem)", ""] {
        let error = Ram::driver_managed(name).unwrap_err();
        assert_eq!(error, BadName { name });
        let words = format!(
            "\"{name}\" is not a name for RAM; use the form \"System RAM (DRIVER)\", which tools look for"
        );
        assert_eq!(error.to_string(), words);
    }
}

/// Blocks of two sections, on a machine that addresses less than its geometry.
fn blocks_of_two_sections_are_counted_from_frame_zero<M: Model>(fixture: Fixture<M>) {
    let pages = M::Geometry::PAGES_PER_SECTION;
    let at = |first, count| sections::<M::Geometry>(first, count);
    let block = BlockSize::<M::Geometry>::new(ByteLen::new(2 * pages * M::Geometry::PAGE_SIZE)).unwrap();
    // Boot memory of a block, and of a part of the block behind it.
    let tail = subsections::<M::Geometry>(2, 0, 1);
    let mut system = System::boot(fixture, Limits::new(block).addressable(at(0, 6)), &[at(0, 2), tail]);
    let limits = system.hotplug.limits();
    assert_eq!((limits.block.frames(), limits.addressable), (PageCount::new(2 * pages), at(0, 6)));
    system.refuses(Op::AddMemory(at(3, 1)), "does not consist of whole memory blocks");
    system.refuses(Op::AddMemory(at(6, 2)), "which is all that this machine addresses");
    system.apply(Op::AddMemory(at(4, 2))).unwrap();
    let states: Vec<_> =
        system.hotplug.blocks().iter().map(|it| (it.nr.get(), it.state, it.node, it.memmap.get())).collect();
    let node = Some(NODE);
    let expected = [
        (0, BlockState::Online, node, 0),
        (1, BlockState::Online, node, 0),
        (2, BlockState::Offline, node, 0),
    ];
    assert_eq!(states, expected);
    let of = |nr, node| system.hotplug.blocks().get(BlockNr::new(nr)).map(|it| it.has_memory_of(node));
    assert_eq!((of(1, NODE), of(1, NodeId::new(1)), of(3, NODE)), (Some(true), Some(false), None));
}

/// A notifier that was taken out hears nothing more, and can come back under its name.
fn a_notifier_that_left_hears_nothing<M: Model>(fixture: Fixture<M>) {
    let ram = sections::<M::Geometry>(0, 1);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[ram]);
    let second = system.notifiers[1];
    let twice = system.hotplug.register_notifier(0, second);
    assert_eq!(twice, Err(ChainError::Registered { notifier: "second" }));
    system.hotplug.unregister_notifier("second").unwrap();
    assert_eq!(system.hotplug.unregister_notifier("second"), Err(ChainError::Unknown));
    system.apply(Op::Offline(ram)).unwrap();
    system.hotplug.register_notifier(9, second).unwrap();
    system.apply(Op::Online(ram)).unwrap();
    let done: Vec<_> = system.notifiers.iter().map(|it| it.done_count()).collect();
    assert_eq!(done, [2, 1, 2]);
    let order: Vec<_> = system.hotplug.notifiers().iter().map(Registration::name).collect();
    assert_eq!(order, ["second", "first", "third"]);
}
