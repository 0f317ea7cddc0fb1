//! `get_page_info` of a kernel like Redox: a record of 16 bytes for each frame, lent for ever.
#![no_std]

mod kernel;

use core::sync::atomic::Ordering::Relaxed;
pub use kernel::PageInfo;
use sparsemem::*;
use sparsemem_environments::{BootArena, PageTables};

// SAFETY: atomic integers: zeros are valid, nothing has to be dropped, and nothing unwinds.
unsafe impl PageDescriptor for PageInfo {
    unsafe fn initialise(&self, _: Pfn, section: SectionNr) {
        self.stamp.store(section.get() as u32 + 1, Relaxed); // published by whoever hands the frame out
    }
}

// SAFETY: `initialise` stores it; only the table models read it.
unsafe impl SectionStamp for PageInfo {
    fn section(&self) -> SectionNr {
        SectionNr::new(u64::from(self.stamp.load(Relaxed)) - 1)
    }
}

pub struct Kernel;
impl Config for Kernel {
    type Geometry = presets::X86_64;
    type Page = PageInfo;
    type Reclaim = NeverReclaim;
    type Array = Array;
}

// SAFETY: slot 468 of the top-level table is between the physical map and the heap, and nobody else's.
array_place!(unsafe pub struct Array at 0xffff_ea00_0000_0000, bytes 1 << 38); // 16 bytes for each of 2^34 frames

sparsemem::declare! { static MODEL: Kernel; }

/// # Safety
/// `tables` are the kernel's, and `allocate` gives a block of so many bytes to nobody else.
pub unsafe fn boot<M: PhysMap>(
    tables: PageTables<M>,
    areas: &[MemoryRange],
    allocate: impl FnOnce(ByteLen) -> Option<PhysAddr>,
) {
    let areas = areas.iter().copied();
    // SAFETY: the caller's promise.
    let arena = unsafe { BootArena::new(tables, MODEL.boot_bytes(areas.clone()), allocate) };
    let (mut arena, mut writer) = (arena.expect("memory"), MODEL.write().expect("one processor"));
    let booted = writer.boot(&mut arena, areas, &mut |_| ()).expect("the first boot");
    assert_eq!(booted.lost, 0, "an area without records");
}

pub fn initialise_areas(areas: &[MemoryRange]) -> u64 {
    areas.iter().map(|area| initialise(&MODEL, area.frames).get()).sum()
}

pub fn get_page_info(frame: Pfn) -> Option<&'static PageInfo> {
    StaticReader::new(&MODEL).page(frame).filter(|info| info.stamp.load(Relaxed) != 0)
}
