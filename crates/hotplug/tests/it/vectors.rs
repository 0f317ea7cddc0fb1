//! Linux' worked vectors on every model, with the geometry of a PC.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    ByteLen, InstallError, MemoryModel, NodeId, Pfn, PfnRange, PhysAddr, RetireError, SectionFlags,
    SectionNr, SectionState,
};
use sparsemem_fixture::{Fixture, NODE, on_every_backend, sections};
use sparsemem_hotplug::{
    BlockSize, Direction, Limits, MemoryKind, NodeChange, Request, ResourceKind, add, frames_of_bytes,
};

on_every_backend!(
    [X86_64]
    a_hole_of_an_early_section_costs_nothing,
    subsections_come_and_go_one_by_one,
    notifiers_hear_what_concerns_them,
    two_devices_share_a_section_with_ram,
    blocks_of_several_sections,
    frames_in_use_stay_online,
);

type G = X86_64;
const MIB: u64 = 1 << 20;

fn mib(start: u64, len: u64) -> PfnRange {
    frames_of_bytes::<G>(PhysAddr::new(start * MIB), ByteLen::new(len * MIB)).unwrap()
}

fn limits<M: Model>() -> Limits<M::Geometry> {
    Limits::new(BlockSize::SECTION)
}

fn part<M: Model>(frames: PfnRange) -> Request<M::Geometry> {
    Request::new(frames, NODE, MemoryKind::RamPart, &limits::<M>()).unwrap()
}

/// T-09: RAM comes into the hole of an early section, without any allocation, and goes again.
fn a_hole_of_an_early_section_costs_nothing<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, limits::<M>(), &[mib(1, 299)]);
    let (model, machine) = (system.model, &mut system.machine);
    let (before, allocations) = (machine.state_digest(), machine.allocations());
    let early =
        SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP | SectionFlags::EARLY | SectionFlags::ONLINE;
    let mut writer = model.write().unwrap();
    add(&mut writer, machine, &part::<M>(mib(320, 64))).unwrap();
    let state = model.section(SectionNr::new(2));
    assert_eq!(state.flags, early);
    assert_eq!(state.subsections.words()[0], 0xffff_ffff_003f_ffff);
    assert_eq!(state.online.words()[0], 0x3f_ffff);
    assert_eq!(machine.allocations(), allocations);
    let populated = add(&mut writer, machine, &part::<M>(mib(256, 2))).unwrap_err();
    assert!(matches!(populated, InstallError::Populated { section, .. } if section.get() == 2));
    let retired = writer.retire(machine, mib(320, 64)).unwrap();
    assert_eq!((retired.sections, retired.gone), (1, 0));
    assert!(retired.lost.is_empty());
    let state = model.section(SectionNr::new(2));
    assert_eq!((state.flags, state.subsections.words()[0]), (early, 0x3f_ffff));
    assert_eq!(machine.state_digest(), before);
}

/// T-10: two subsections of a new section come one after the other, and go.
fn subsections_come_and_go_one_by_one<M: Model>(fixture: Fixture<M>) {
    let Fixture { model, mut machine } = fixture;
    machine.finish_boot();
    let before = machine.state_digest();
    let (first, second) = (part::<M>(mib(8192, 2)), part::<M>(mib(8194, 2)));
    let mut writer = model.write().unwrap();
    add(&mut writer, &mut machine, &first).unwrap();
    add(&mut writer, &mut machine, &second).unwrap();
    let nr = SectionNr::new(64);
    assert_eq!(model.section(nr).subsections.words()[0], 3);
    let _ = writer.retire(&mut machine, first.frames()).unwrap();
    assert!(model.is_valid(second.frames().start()) && !model.is_valid(first.frames().start()));
    let _ = writer.retire(&mut machine, second.frames()).unwrap();
    assert_eq!(model.section(nr), SectionState::ABSENT);
    assert_eq!(machine.state_digest(), before, "root and tables are given back too");
    // T-29: what was never added.
    let absent = writer.retire(&mut machine, first.frames()).unwrap_err();
    assert!(matches!(absent, RetireError::Absent { section, .. } if section == nr));
}

/// T-23, T-24 and the node's first and last memory.
fn notifiers_hear_what_concerns_them<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, limits::<M>(), &[sections::<M::Geometry>(0, 1)]);
    let there = NodeId::new(3);
    let block = sections::<M::Geometry>(4, 1);
    system.hotplug.add_memory(&mut system.machine, block, there, Default::default()).unwrap();
    system.apply(Op::Online(block)).unwrap();
    let heard = system.notifiers[0].last().unwrap();
    assert_eq!((heard.direction, heard.node, heard.frames), (Direction::Online, there, block));
    assert_eq!(heard.node_change, NodeChange::First);
    system.notifiers[1].refuse(true);
    system.refuses(Op::Offline(block), "notifier second (priority 7) refuses: not now");
    let cancelled: Vec<_> = system.notifiers.iter().map(|it| it.cancelled_count()).collect();
    assert_eq!(cancelled, [1, 0, 0], "Linux tells all three");
    system.notifiers[1].refuse(false);
    system.apply(Op::Offline(block)).unwrap();
    assert_eq!(system.notifiers[2].last().unwrap().node_change, NodeChange::Last);
    system.apply(Op::AddMemory(sections::<M::Geometry>(5, 1))).unwrap();
    system.apply(Op::Online(sections::<M::Geometry>(5, 1))).unwrap();
    assert_eq!(system.notifiers[2].last().unwrap().node_change, NodeChange::None);
}

/// Seed 001's reason: two devices with lifetimes of their own in one section, next to RAM.
fn two_devices_share_a_section_with_ram<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, limits::<M>(), &[mib(0, 1028)]);
    let (one, two) = (mib(1028, 34), mib(1072, 22));
    let before = system.snapshot();
    system.apply(Op::AddDevice(one)).unwrap();
    system.apply(Op::AddDevice(two)).unwrap();
    let flags = system.section(8).flags;
    assert!(flags.contains(SectionFlags::TAINT_ZONE_DEVICE | SectionFlags::EARLY | SectionFlags::ONLINE));
    let ram = mib(1024, 2).start();
    let kind = |system: &System<M>, pfn| system.hotplug.resource_of(pfn).map(|it| it.kind);
    assert_eq!(kind(&system, ram), Some(ResourceKind::SystemRam));
    assert_eq!(kind(&system, one.start()), Some(ResourceKind::Device));
    assert_eq!(kind(&system, one.end()), None);
    assert!(system.hotplug.is_device(two.start()) && !system.hotplug.is_device(ram));
    let reader = system.model.read();
    assert!(reader.online_page(ram).is_some() && reader.online_page(one.start()).is_none());
    assert!(reader.page(one.start()).is_some());
    drop(reader);
    system.refuses(Op::RemoveDevice(mib(1028, 32)), "is not the whole of a device");
    system.refuses(Op::RemoveDevice(mib(1026, 36)), "is not the whole of a device");
    system.refuses(Op::AddDevice(mib(1060, 14)), "conflicts with Device \"device\"");
    system.apply(Op::RemoveDevice(one)).unwrap();
    assert!(system.hotplug.is_device(two.start()));
    system.apply(Op::RemoveDevice(two)).unwrap();
    // The mark stays, as in Linux, until the section goes.
    let after = system.snapshot();
    assert_eq!(after.sections[8].flags, before.sections[8].flags | SectionFlags::TAINT_ZONE_DEVICE);
    assert_eq!((after.digest, after.resources), (before.digest, before.resources));
}

/// Blocks of several sections, resources that merge and are cut, and descriptors that know their section.
fn blocks_of_several_sections<M: Model>(fixture: Fixture<M>) {
    let limits = Limits::new(BlockSize::new(ByteLen::new(256 * MIB)).unwrap());
    fixture.model.write().unwrap().reserve(mib(0, 1280));
    let mut system = System::boot(fixture, limits, &[mib(0, 256)]);
    system.refuses(Op::AddMemory(mib(512, 128)), "does not consist of whole memory blocks");
    system.apply(Op::AddMemory(mib(512, 256))).unwrap();
    system.apply(Op::AddMemory(mib(768, 512))).unwrap();
    assert_eq!(system.snapshot().resources.len(), 2, "neighbours merged");
    assert_eq!(system.snapshot().blocks.len(), 4);
    system.apply(Op::Online(mib(512, 512))).unwrap();
    let pfn = mib(700, 2).start();
    let page = system.model.lookup(pfn).unwrap();
    // SAFETY: the frame is valid, and coming online has initialised its descriptor.
    assert_eq!(unsafe { system.model.pfn_of(page) }, pfn);
    system.refuses(Op::RemoveMemory(mib(512, 768)), "memory block 2 is online");
    system.refuses(Op::Online(mib(768, 512)), "memory block 3 is online and cannot become going online");
    system.apply(Op::Offline(mib(768, 256))).unwrap();
    system.apply(Op::RemoveMemory(mib(768, 256))).unwrap();
    let ranges: Vec<_> = system.snapshot().resources.iter().map(|it| it.range.start().get() / MIB).collect();
    assert_eq!(ranges, [0, 512, 1024]);
}

/// The allocator keeps a frame: its number travels in the error.
fn frames_in_use_stay_online<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, limits::<M>(), &[mib(0, 256)]);
    system.allocator.pinned.insert(0x8123);
    system.refuses(Op::Offline(mib(128, 128)), "the allocator refuses frames [0x8123, 0x8124): in use");
    assert!(
        system.allocator.has_usable(0x8000) && system.model.read().online_page(Pfn::new(0x8000)).is_some()
    );
    system.apply(Op::Offline(mib(0, 128))).unwrap();
    system.apply(Op::RemoveMemory(mib(0, 128))).unwrap();
    assert_eq!(system.section(0), SectionState::ABSENT);
}
