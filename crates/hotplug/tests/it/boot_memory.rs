//! Memory of boot as the tables know it: what the model has of it, and whose it is.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{
    ByteLen, MemoryRange, NodeId, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr, SectionShape,
};
use sparsemem_fixture::{
    Fixture, NODE, Recorder, TestAllocator, bytes, on_every_backend, sections, storage, subsections,
};
use sparsemem_hotplug::{
    AdoptError, BlockNr, BlockSize, Direction, Hotplug, Limits, NodeChange, Ram, ResourceKind,
};
use sparsemem_machine::Which;

on_every_backend!(
    [Tiny, X86_64]
    what_the_model_does_not_have_is_not_registered,
    ram_that_boot_lost_can_be_added_later,
    a_node_of_a_shared_block_is_online,
);

const OTHER: NodeId = NodeId::new(1);

/// What the model does not have online is not registered, and nothing else changes.
fn what_the_model_does_not_have_is_not_registered<M: Model>(fixture: Fixture<M>) {
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let early = [sections::<M::Geometry>(0, 2), subsections::<M::Geometry>(2, 0, subs / 2)];
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &early);
    let rest = subsections::<M::Geometry>(2, subs / 2, subs - subs / 2);
    // A hole, a section that is absent, one behind a hole, one that is there but not online.
    refused(&mut system, rest, 2);
    refused(&mut system, sections::<M::Geometry>(5, 1), 5);
    refused(&mut system, subsections::<M::Geometry>(2, subs / 2, subs), 2);
    let device = sections::<M::Geometry>(6, 1);
    system.apply(Op::AddDevice(device)).unwrap();
    let resources = system.hotplug.resources_mut();
    resources.release(bytes::<M::Geometry>(device), ResourceKind::Device).unwrap();
    refused(&mut system, device, 6);
    beyond(&mut system);
}

/// Refuses frames, and names the section.
fn refused<M: Model>(system: &mut System<M>, frames: PfnRange, section: u64) {
    let (before, range) = (system.snapshot(), bytes::<M::Geometry>(frames));
    let error = system.hotplug.adopt_boot(range, NODE).unwrap_err();
    let in_section = frames.intersection(sections::<M::Geometry>(section, 1));
    let section = SectionNr::new(section);
    assert_eq!(error, AdoptError::NotBooted { range, section, frames: in_section });
    assert!(
        error.to_string().contains(&format!("of section {section} is not online in the model")),
        "{error}"
    );
    assert_eq!(system.snapshot(), before);
}

/// Addresses beyond the last frame, and across it.
fn beyond<M: Model>(system: &mut System<M>) {
    let (page, max) = (M::Geometry::PAGE_SIZE, M::Geometry::MAX_PFN);
    for (first, count) in [(max, 4), (max - 2, 3)] {
        let before = system.snapshot();
        let (start, bytes) = (PhysAddr::new(first * page), ByteLen::new(count * page));
        let range = PhysRange::from_start_count(start, bytes).unwrap();
        let error = system.hotplug.adopt_boot(range, NODE).unwrap_err();
        let beyond = PfnRange::new(Pfn::new(max), Pfn::new(first + count)).unwrap();
        assert_eq!(error, AdoptError::BeyondMaximum { range, beyond });
        assert_eq!(system.snapshot(), before);
    }
}

/// The boot loses a section for want of memory: its RAM is refused, and comes when there is memory.
fn ram_that_boot_lost_can_be_added_later<M: Model>(fixture: Fixture<M>) {
    let Fixture { model, mut machine } = fixture;
    let memory = MemoryRange { frames: sections::<M::Geometry>(0, 4), node: NODE };
    machine.faults().fail_after(Which::All, 0);
    let summary = model.write().unwrap().boot(&mut machine, [memory].into_iter(), &mut |_| {}).unwrap();
    machine.faults().heal();
    machine.finish_boot();
    assert_eq!((summary.sections, summary.lost), (0, 4));
    let mut hotplug = Hotplug::new(&model, Limits::new(BlockSize::SECTION), storage(4, 0, 4));
    let error = hotplug.adopt_boot(bytes::<M::Geometry>(memory.frames), NODE).unwrap_err();
    assert!(matches!(error, AdoptError::NotBooted { section, .. } if section.get() == 0), "{error}");
    assert_eq!((hotplug.blocks().iter().count(), hotplug.resources().iter().count()), (0, 0));
    hotplug.add_memory(&mut machine, memory.frames, NODE, Ram::default()).unwrap();
    hotplug.online(&mut TestAllocator::new(M::Geometry::PAGES_PER_SUBSECTION), memory.frames).unwrap();
}

/// Two nodes share the first block: memory that comes and goes later is never their first, nor their last.
fn a_node_of_a_shared_block_is_online<M: Model>(fixture: Fixture<M>) {
    let Fixture { model, mut machine } = fixture;
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let halves =
        [subsections::<M::Geometry>(0, 0, subs / 2), subsections::<M::Geometry>(0, subs / 2, subs / 2)];
    let memory = [(halves[0], NODE), (halves[1], OTHER)].map(|(frames, node)| MemoryRange { frames, node });
    model.write().unwrap().boot(&mut machine, memory.into_iter(), &mut |_| {}).unwrap();
    machine.finish_boot();
    let notifier = Recorder::leaked("it");
    let mut hotplug = Hotplug::new(&model, Limits::new(BlockSize::SECTION), storage(4, 1, 8));
    hotplug.register_notifier(0, notifier).unwrap();
    memory.iter().for_each(|it| hotplug.adopt_boot(bytes::<M::Geometry>(it.frames), it.node).unwrap());
    assert_eq!(hotplug.blocks().get(BlockNr::new(0)).unwrap().node, None);
    let mut allocator = TestAllocator::new(M::Geometry::PAGES_PER_SUBSECTION);
    let later = [(3, NODE, false), (4, OTHER, false), (5, NodeId::new(2), true)];
    for (block, node, is_all) in later {
        let frames = sections::<M::Geometry>(block, 1);
        let heard = |direction| match (is_all, direction) {
            (false, _) => NodeChange::None,
            (true, Direction::Online) => NodeChange::First,
            (true, Direction::Offline) => NodeChange::Last,
        };
        hotplug.add_memory(&mut machine, frames, node, Ram::default()).unwrap();
        hotplug.online(&mut allocator, frames).unwrap();
        assert_eq!(notifier.last().unwrap().node_change, heard(Direction::Online), "block {block}");
        hotplug.offline(&mut allocator, frames).unwrap();
        assert_eq!(notifier.last().unwrap().node_change, heard(Direction::Offline), "block {block}");
    }
}
