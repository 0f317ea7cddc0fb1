//! Bad input for each operation: each is refused in words that name it, and changes nothing.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{
    ByteLen, MemoryModel, MemoryRange, NodeId, PageCount, Pfn, PfnRange, PhysAddr, SectionShape,
};
use sparsemem_fixture::{Fixture, NODE, boot, bytes, on_every_backend, sections, storage, subsections};
use sparsemem_hotplug::{
    AddMemoryError, BlockSize, Hotplug, Limits, Merge, Ram, RequestError, Resource, ResourceKind,
    frames_of_bytes,
};

on_every_backend!([Tiny, X86_64] bad_input_changes_nothing, small_tables_are_full_without_harm);
on_every_backend!([Tiny] a_split_without_room_changes_nothing);

type MakeOp = fn(PfnRange) -> Op;
const ALL: [MakeOp; 6] =
    [Op::AddMemory, Op::RemoveMemory, Op::Online, Op::Offline, Op::AddDevice, Op::RemoveDevice];

fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

/// Ranges that every operation refuses by their shape, whatever is there.
fn shapes<M: Model>(system: &mut System<M>) {
    let pages = M::Geometry::PAGES_PER_SECTION;
    let max = M::Geometry::MAX_PFN;
    let top = (u64::MAX / pages - 1) * pages;
    for op in ALL {
        system.refuses(op(frames(0, 0)), "has no frames");
        system.refuses(op(frames(pages, pages)), "has no frames");
        system.refuses(op(frames(pages * 4, pages * 5 - 1)), "does not consist of whole");
        system.refuses(op(frames(pages * 4 + 1, pages * 5)), "does not consist of whole");
        system.refuses(op(frames(max - pages, max + pages)), "ends beyond the last possible frame");
        system.refuses(op(frames(max, max + pages)), "ends beyond the last possible frame");
        system.refuses(op(frames(top, top + pages)), "ends beyond the last possible frame");
    }
    let wraps = frames_of_bytes::<M::Geometry>(PhysAddr::new(1 << 32), ByteLen::new(u64::MAX));
    assert!(matches!(wraps, Err(RequestError::Wraps { .. })));
    let half = subsections::<M::Geometry>(4, 0, u64::from(M::Geometry::SUBSECTIONS_PER_SECTION) / 2);
    for op in [Op::AddMemory, Op::RemoveMemory, Op::Online, Op::Offline] {
        system.refuses(op(half), "does not consist of whole memory blocks");
    }
}

/// Ranges that operations refuse because of what is there already, or is not, or is online.
fn states<M: Model>(system: &mut System<M>) {
    let at = |first, count| sections::<M::Geometry>(first, count);
    for op in [Op::RemoveMemory, Op::Online, Op::Offline] {
        system.refuses(op(at(6, 1)), "memory block 6 does not exist");
        system.refuses(op(at(0, 8)), "memory block");
    }
    system.refuses(Op::RemoveDevice(at(6, 1)), "is not registered as Device");
    system.refuses(Op::RemoveDevice(at(0, 1)), "is not registered as Device");
    // Section 0: RAM of boot, online. Section 3: added, offline. Section 5: a device.
    for covered in [at(0, 1), at(3, 1), at(5, 1), at(2, 2), at(4, 4)] {
        system.refuses(Op::AddMemory(covered), "conflicts with");
        system.refuses(Op::AddDevice(covered), "conflicts with");
    }
    system.refuses(Op::RemoveMemory(at(0, 1)), "switch it offline before removing it");
    system.refuses(Op::Online(at(0, 1)), "is online and cannot become going online");
    system.refuses(Op::Offline(at(3, 1)), "is offline and cannot become going offline");
    system.refuses(Op::RemoveMemory(at(3, 2)), "memory block 4 does not exist");
    system.refuses(Op::RemoveMemory(at(5, 1)), "memory block 5 does not exist");
}

/// An early section with a hole: its block cannot go offline (H-50).
fn holes<M: Model>(system: &mut System<M>) {
    system.refuses(Op::Offline(sections::<M::Geometry>(1, 1)), "is not RAM");
    system.refuses(Op::AddMemory(sections::<M::Geometry>(1, 1)), "conflicts with SystemRam");
}

/// Somebody went around the tables: the model still refuses.
fn behind_the_back<M: Model>(system: &mut System<M>) {
    let (hidden, node, model) = (sections::<M::Geometry>(6, 1), NODE, system.model);
    let write = || model.write().unwrap();
    write().install(&mut system.machine, hidden, node).unwrap();
    system.refuses(Op::AddMemory(sections::<M::Geometry>(6, 2)), "is populated already");
    system.refuses(Op::AddDevice(subsections::<M::Geometry>(6, 1, 1)), "is populated already");
    let _ = write().retire(&mut system.machine, hidden).unwrap();
    let offline = sections::<M::Geometry>(3, 1);
    write().set_online(offline).unwrap();
    system.refuses(Op::Online(offline), "has this mark already");
    system.refuses(Op::RemoveMemory(offline), "offline it first");
    // The second of two sections: the first must not go before it was looked at.
    let first = sections::<M::Geometry>(2, 1);
    system.apply(Op::AddMemory(first)).unwrap();
    system.refuses(Op::RemoveMemory(sections::<M::Geometry>(2, 2)), "offline it first");
    system.apply(Op::RemoveMemory(first)).unwrap();
    write().set_offline(offline).unwrap();
}

fn bad_input_changes_nothing<M: Model>(fixture: Fixture<M>) {
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let early = [sections::<M::Geometry>(0, 1), subsections::<M::Geometry>(1, 0, subs / 2)];
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &early);
    system.apply(Op::AddMemory(sections::<M::Geometry>(3, 1))).unwrap();
    system.apply(Op::AddDevice(sections::<M::Geometry>(5, 1))).unwrap();
    shapes(&mut system);
    states(&mut system);
    holes(&mut system);
    behind_the_back(&mut system);
}

/// Tables with too few slots, a machine that addresses little, and a section that two nodes share.
fn small_tables_are_full_without_harm<M: Model>(fixture: Fixture<M>) {
    let Fixture { model, mut machine } = fixture;
    let at = |first, count| sections::<M::Geometry>(first, count);
    boot(&model, &mut machine, &[MemoryRange { frames: at(0, 1), node: NODE }]);
    let limits = Limits::new(BlockSize::SECTION).addressable(at(0, 7));
    let mut hotplug = Hotplug::new(&model, limits, storage(2, 0, 2));
    hotplug.adopt_boot(bytes::<M::Geometry>(at(0, 1)), NODE).unwrap();
    let before = machine.state_digest();
    let mut add =
        |hotplug: &mut Hotplug<'_, M>, frames| hotplug.add_memory(&mut machine, frames, NODE, Ram::default());
    let full = add(&mut hotplug, at(3, 2)).unwrap_err();
    assert!(matches!(full, AddMemoryError::Block(_)), "{full}");
    assert!(full.to_string().contains("no room for memory blocks: 1 of 2"), "{full}");
    let far = add(&mut hotplug, at(6, 2)).unwrap_err();
    assert!(matches!(far, AddMemoryError::Request(RequestError::NotAddressable { .. })), "{far}");
    add(&mut hotplug, at(3, 1)).unwrap();
    let full = add(&mut hotplug, at(4, 1)).unwrap_err();
    assert!(matches!(full, AddMemoryError::Resource(_)), "{full}");
    assert!(hotplug.adopt_boot(bytes::<M::Geometry>(at(5, 1)), NODE).is_err());
    let _ = hotplug.remove_memory(&mut machine, at(3, 1)).unwrap();
    assert_eq!(machine.state_digest(), before);
    several_nodes(&mut hotplug);
}

/// The block of boot gets memory of a second node, so it cannot change its state any more (H-32).
fn several_nodes<M: Model>(hotplug: &mut Hotplug<'_, M>) {
    let granule = M::Geometry::PAGES_PER_SUBSECTION;
    let tail = PfnRange::from_start_count(Pfn::new(0), PageCount::new(granule)).unwrap();
    hotplug.resources_mut().release(bytes::<M::Geometry>(tail), ResourceKind::SystemRam).unwrap();
    hotplug.adopt_boot(bytes::<M::Geometry>(tail), NodeId::new(1)).unwrap();
    let mut allocator = sparsemem_fixture::TestAllocator::new(granule);
    let error = hotplug.offline(&mut allocator, sections::<M::Geometry>(0, 1)).unwrap_err();
    assert_eq!(error.to_string(), "memory block 0 has memory of several nodes and cannot change its state");
}

/// A removal from the middle of a resource needs a slot for the second piece; without one nothing changes.
fn a_split_without_room_changes_nothing<M: Model>(fixture: Fixture<M>) {
    let early = [sections::<M::Geometry>(0, 3)];
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &early);
    let middle = sections::<M::Geometry>(1, 1);
    system.apply(Op::Offline(middle)).unwrap();
    fill_resources(&mut system);
    system.refuses(Op::RemoveMemory(middle), "no room for a resource");
}

/// Takes every slot that is left.
fn fill_resources<M: Model>(system: &mut System<M>) {
    let page = M::Geometry::PAGE_SIZE;
    let far = sections::<M::Geometry>(6, 1).start().phys::<M::Geometry>().unwrap().get();
    let (kind, name, merge) = (ResourceKind::Window, "window", Merge::Separate);
    let range = sparsemem_core::PhysRange::from_start_count(PhysAddr::new(far), ByteLen::new(page)).unwrap();
    while system.hotplug.resources_mut().request(Resource { range, kind, name, merge }).is_ok() {}
}
