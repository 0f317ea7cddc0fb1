//! `FrameList::get_frame` of a kernel like moss: a record with links for each frame, behind the allocator's own lock.
#![no_std]

mod kernel;

pub use kernel::Frame;
use sparsemem::*;
use sparsemem_environments::{BootArena, DirectMap};

// SAFETY: it does not unwind.
unsafe impl SlotValue for Frame {
    fn new(pfn: Pfn) -> Self {
        Frame::free(pfn.get())
    }
}

pub struct Kernel;
impl Config for Kernel {
    type Geometry = presets::Arm64Page4K;
    type Page = Slot<Frame>; // an enum and a link: neither valid when zeroed, nor `Sync`
    type Reclaim = NeverReclaim;
    type Array = NoArray;
}

sparsemem::declare! { static MODEL: Kernel; }

/// # Safety
/// `map` reaches all memory, and `allocate` gives a block of so many bytes to nobody else.
pub unsafe fn boot(
    map: DirectMap,
    regions: &[MemoryRange],
    allocate: impl FnOnce(ByteLen) -> Option<PhysAddr>,
) {
    let regions = regions.iter().copied();
    // SAFETY: the caller's promise.
    let arena = unsafe { BootArena::new(map, MODEL.boot_bytes(regions.clone()), allocate) };
    let (mut arena, mut writer) = (arena.expect("memory"), MODEL.write().expect("one processor"));
    let booted = writer.boot(&mut arena, regions.clone(), &mut |_| ()).expect("the first boot");
    assert_eq!(booted.lost, 0, "a region without records");
    for region in regions {
        initialise(&MODEL, region.frames);
    }
}

/// The record of a frame of RAM. Whoever holds the allocator's lock may use it.
pub fn get_frame(frame: Pfn) -> Option<*mut Frame> {
    StaticReader::new(&MODEL).page(frame)?.as_ptr().map(core::ptr::NonNull::as_ptr)
}
