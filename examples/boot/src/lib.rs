//! A model that boots from a boot allocator, before any heap exists.
//!
//! Everything that a kernel writes is above the test; the test boots it in a piece of ordinary memory. The model is the one
//! whose feature is enabled.
#![cfg_attr(not(test), no_std)]

use sparsemem::{
    ByteLen, Config, MemoryModel, MemoryRange, NeverReclaim, Page, PagingDepth, PhysAddr, VirtRange,
    presets::X86_64,
};
use sparsemem_environments::{BootArena, DirectMap, PageTables};

/// The parts of the model that this kernel provides.
pub struct Kernel;

impl Config for Kernel {
    type Geometry = X86_64;
    type Page = Page; // 64 bytes; any type that is valid when zeroed can take its place
    type Reclaim = NeverReclaim; // this kernel never removes memory, so its readers are free
    type Array = Array; // where vmemmap keeps its array; `NoArray` will do for the others
}

// SAFETY: nothing else of this kernel uses these addresses, nor any in the blocks of 512 GiB that they touch.
sparsemem::array_place!(unsafe pub struct Array at 0xffff_ea00_0000_0000, bytes 1 << 40);

sparsemem::declare! {
    /// All zero bytes: no room in the image, usable before any heap.
    pub static MODEL: Kernel;
}

/// Boots the model from what the firmware says is memory. `take` is the boot allocator, which is asked for one block;
/// `cr3` and `forget` (`invlpg` for each page) are for vmemmap alone.
///
/// # Panics
///
/// If the model is up already, or memory for metadata was short.
///
/// # Safety
///
/// `map` reaches all memory, `cr3` is what the register holds, and the block is nobody else's from now on.
pub unsafe fn boot(
    map: DirectMap,
    cr3: PhysAddr,
    forget: fn(VirtRange),
    firmware: &[MemoryRange],
    take: impl FnOnce(ByteLen) -> Option<PhysAddr>,
) {
    let ranges = firmware.iter().copied();
    // SAFETY: the caller's promise; one processor is up, so what it forgets, all have forgotten.
    let tables = unsafe { PageTables::new(map, cr3, PagingDepth::Four, forget) };
    // SAFETY: the caller's promise.
    let arena = unsafe { BootArena::new(tables, MODEL.boot_bytes(ranges.clone()), take) };
    let mut arena = arena.expect("the boot allocator has a block for the metadata");
    // Whoever changes a model takes its writer; readers take nothing.
    let mut writer = MODEL.write().expect("nobody else changes the model");
    let summary = writer.boot(&mut arena, ranges, &mut |_event| ()).expect("the first boot");
    assert_eq!(summary.lost, 0, "a section has no metadata");
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::{alloc::Layout, ptr::NonNull};
    use sparsemem::{NodeId, Pfn, PhysRange};

    #[test]
    fn any_frame_finds_its_descriptor_without_a_lock() {
        let bytes = |start, end| PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap();
        // Physical address 0 is the first byte of a piece of memory, and a page of it is the top-level page table, which
        // no processor uses.
        // SAFETY: the layout is not empty.
        let ram = unsafe { std::alloc::alloc_zeroed(Layout::from_size_align(16 << 20, 1 << 21).unwrap()) };
        // SAFETY: the memory is leaked.
        let map = unsafe { DirectMap::new(ram.expose_provenance(), bytes(0, 16 << 20)) };
        // 640 KiB, then 256 MiB up to the middle of a section.
        let firmware = [bytes(0, 0xa_0000), bytes(0x10_0000, 0x1010_0000)]
            .map(|ram| MemoryRange::from_bytes::<X86_64>(ram, NodeId::new(0)));
        // SAFETY: nobody else uses the memory.
        unsafe { boot(map, PhysAddr::new(0x1000), |_| (), &firmware, |_| Some(PhysAddr::new(0x10_0000))) };

        let (reader, frame) = (MODEL.read(), Pfn::new(0x1234));
        let page = NonNull::from(reader.page(frame).expect("frame 0x1234 is RAM"));
        assert!(reader.page(Pfn::new(0x1_8000)).is_none(), "section 3 is absent");
        if cfg!(feature = "vmemmap") {
            return; // no processor uses these page tables, so its array can be found, but not touched
        }
        // Each descriptor gets its frame. Until then it is zero bytes, and the way back from it finds nothing.
        for range in firmware {
            sparsemem::initialise(&MODEL, range.frames);
        }
        // SAFETY: the descriptor is the model's, and it was initialised.
        assert_eq!(unsafe { MODEL.pfn_of(page) }, frame);
    }
}
