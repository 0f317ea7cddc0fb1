//! RAM in parts of memory blocks: which blocks exist, what is valid, and what is refused.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{MemoryModel, MemoryRange, NodeId, PfnRange};
use sparsemem_fixture::{
    Call, Event, Fixture, Log, Look, NODE, Word, boot, bytes, on_every_backend, sections, storage,
    subsections,
};
use sparsemem_hotplug::{BlockNr, BlockSize, BlockState, Direction, Hotplug, Limits, NodeChange, Ram};

on_every_backend!([X86_64] blocks_follow_their_memory, only_parts_that_are_there_are_valid);
on_every_backend!([X86_64] impossible_parts_are_named, the_order_of_calls);

fn part(section: u64, first: u64, count: u64) -> PfnRange {
    subsections::<X86_64>(section, first, count)
}

fn system<M: Model<Geometry = X86_64>>(fixture: Fixture<M>) -> System<M> {
    System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<X86_64>(0, 1)])
}

fn blocks<M: Model>(system: &System<M>) -> Vec<u64> {
    system.hotplug.blocks().iter().map(|block| block.nr.get()).collect()
}

fn blocks_follow_their_memory<M: Model<Geometry = X86_64>>(fixture: Fixture<M>) {
    let mut system = system(fixture);
    system.apply(Op::Plug(part(3, 4, 2))).unwrap();
    system.apply(Op::Plug(part(3, 63, 2))).unwrap();
    assert_eq!(blocks(&system), [0, 3, 4]);
    let block = system.hotplug.blocks().get(BlockNr::new(3)).unwrap();
    assert_eq!((block.state, block.node), (BlockState::Online, Some(NODE)));
    system.apply(Op::Unplug(part(3, 4, 2))).unwrap();
    assert_eq!(blocks(&system), [0, 3, 4], "both still have one part");
    system.apply(Op::Unplug(part(3, 63, 1))).unwrap();
    assert_eq!(blocks(&system), [0, 4]);
    // A block that is filled by parts is switched and removed like any other.
    system.apply(Op::Plug(part(4, 1, 63))).unwrap();
    system.apply(Op::Offline(sections::<X86_64>(4, 1))).unwrap();
    system.refuses(Op::Unplug(part(4, 1, 1)), "has this mark already");
    system.apply(Op::RemoveMemory(sections::<X86_64>(4, 1))).unwrap();
    assert_eq!(blocks(&system), [0]);
}

fn only_parts_that_are_there_are_valid<M: Model<Geometry = X86_64>>(fixture: Fixture<M>) {
    let mut system = system(fixture);
    system.apply(Op::Plug(part(3, 4, 2))).unwrap();
    assert!(system.notifiers[0].last().is_some_and(|change| change.node_change == NodeChange::None));
    let within = sections::<X86_64>(3, 1);
    assert_eq!(system.model.next_valid(within), Some(part(3, 4, 2)));
    let online = |at: PfnRange| system.model.read().online_page(at.start()).is_some();
    assert!(online(part(3, 5, 1)) && !online(part(3, 3, 1)) && !online(part(3, 6, 1)));
    assert!(system.allocator.has_usable(part(3, 4, 1).start().get()));
    system.apply(Op::Unplug(part(3, 4, 1))).unwrap();
    assert_eq!(system.model.next_valid(within), Some(part(3, 5, 1)));
    let change = system.notifiers[0].last().unwrap();
    assert_eq!((change.direction, change.frames), (Direction::Offline, part(3, 4, 1)));
    assert!(!system.allocator.has_usable(part(3, 4, 1).start().get()));
}

fn impossible_parts_are_named<M: Model<Geometry = X86_64>>(fixture: Fixture<M>) {
    let mut system = system(fixture);
    system.apply(Op::Plug(part(3, 4, 2))).unwrap();
    system.refuses(Op::Plug(part(3, 5, 2)), "conflicts");
    system.refuses(Op::Unplug(part(3, 5, 2)), "absent");
    let odd = PfnRange::new(part(3, 0, 1).start(), sparsemem_core::Pfn::new(part(3, 0, 1).start().get() + 1));
    system.refuses(Op::Plug(odd.unwrap()), "does not consist of whole subsections");
    // A block that is there in part is not switched or removed as one.
    system.refuses(Op::Offline(sections::<X86_64>(3, 1)), "is not RAM");
    system.refuses(Op::RemoveMemory(sections::<X86_64>(3, 1)), "switch it offline");
    system.refuses(Op::AddMemory(sections::<X86_64>(3, 1)), "conflicts");
    // A block that is offline gets no parts: it could not be switched as a whole any more.
    system.apply(Op::AddMemory(sections::<X86_64>(5, 1))).unwrap();
    system.refuses(Op::Unplug(part(5, 0, 1)), "has this mark already");
    let hotplug = &mut system.hotplug;
    let error = hotplug
        .plug(&mut system.machine, &mut system.allocator, part(3, 0, 1), NodeId::new(1), Ram::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory block 3 is of node 0 and takes no memory of node 1: a block of several nodes could not go offline"
    );
    // A block that holds its own memmap goes as a whole.
    system.add_host(6, sparsemem_core::PageCount::new(512));
    system.apply(Op::Online(sections::<X86_64>(6, 1))).unwrap();
    system.refuses(Op::Unplug(part(6, 8, 1)), "hosts its own memmap");
}

/// The first part of a node is announced as its first memory, and the last as its last.
#[test]
fn the_first_and_the_last_memory_of_a_node_are_announced() {
    let Fixture { model, mut machine } =
        sparsemem_fixture::Pc::<sparsemem_machine::HostRcu<()>>::usual(sparsemem_fixture::Backend::Vmemmap);
    let ram = sections::<X86_64>(0, 1);
    boot(&model, &mut machine, &[MemoryRange { frames: ram, node: NODE }]);
    let recorder = sparsemem_fixture::Recorder::leaked("recorder");
    let mut hotplug = Hotplug::new(&model, Limits::new(BlockSize::SECTION), storage(4, 1, 8));
    hotplug.adopt_boot(bytes::<X86_64>(ram), NODE).unwrap();
    hotplug.register_notifier(0, recorder).unwrap();
    let mut allocator = sparsemem_fixture::Agreeable;
    let heard = |change| assert_eq!(recorder.last().unwrap().node_change, change);
    for (at, change) in [(part(3, 0, 1), NodeChange::First), (part(3, 1, 1), NodeChange::None)] {
        hotplug.plug(&mut machine, &mut allocator, at, NodeId::new(1), Ram::default()).unwrap();
        heard(change);
    }
    for (at, change) in [(part(3, 0, 1), NodeChange::None), (part(3, 1, 1), NodeChange::Last)] {
        let _ = hotplug.unplug(&mut machine, &mut allocator, at).unwrap();
        heard(change);
    }
}

/// Descriptors are there, and reset, before the allocator is asked; the allocator is the last who is asked.
fn the_order_of_calls<M: Model<Geometry = X86_64>>(fixture: Fixture<M>) {
    let mut system = system(fixture);
    let (frames, model) = (part(3, 4, 2), system.model);
    let look = move || match model.is_valid(frames.start()) {
        false => Look::Blank,
        true if model.read().online_page(frames.start()).is_some() => Look::Online,
        true => Look::Offline,
    };
    let log = Log::shared(look, &mut system.allocator, &system.notifiers);
    let hears = |word, look| ["first", "second", "third"].map(|name| (Event::Hears(name, word), look));
    let does = |call, look| vec![(Event::Does(call, frames), look)];
    system.apply(Op::Plug(frames)).unwrap();
    let expected = [
        hears(Word::Going, Look::Offline).to_vec(),
        does(Call::Give, Look::Offline),
        does(Call::Release, Look::Online),
        hears(Word::Done, Look::Online).to_vec(),
    ];
    assert_eq!(log.take(), expected.concat());
    system.apply(Op::Unplug(frames)).unwrap();
    let expected = [
        does(Call::Isolate, Look::Online),
        hears(Word::Going, Look::Online).to_vec(),
        does(Call::Evacuate, Look::Online),
        does(Call::Take, Look::Offline),
        hears(Word::Done, Look::Offline).to_vec(),
    ];
    assert_eq!(log.take(), expected.concat());
}

/// What only the model can refuse is refused before the allocator is asked to let anything go.
#[test]
fn the_wrong_page_tables_are_refused_before_anybody_is_asked() {
    let fixture = Fixture::<sparsemem_fixture::PcModel<sparsemem_machine::HostRcu<()>>>::usual(
        sparsemem_fixture::Backend::Vmemmap,
    );
    let mut system = system(fixture);
    system.apply(Op::Plug(part(3, 4, 2))).unwrap();
    let log = Log::shared(|| Look::Mixed, &mut system.allocator, &system.notifiers);
    let before = system.snapshot();
    let mut other = sparsemem_machine::Machine::new(&sparsemem_machine::MachineConfig::new()).unwrap();
    let error = system.hotplug.unplug(&mut other, &mut system.allocator, part(3, 4, 1)).unwrap_err();
    assert!(error.to_string().contains("page tables"), "{error}");
    assert_eq!((log.take(), system.snapshot()), (Vec::new(), before));
}
