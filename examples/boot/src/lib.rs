//! A model that boots from a boot allocator, before any heap exists.
//!
//! Everything that a kernel writes is above the test; the test boots it in a piece of ordinary memory. The model is the one
//! whose feature is enabled.
#![cfg_attr(not(test), no_std)]

use core::alloc::Layout;
use core::ptr::NonNull;
use sparsemem::{
    AddressSpace, ArrayPlace, Block, Config, ForeignBlock, MemoryModel, MemoryRange, MetadataMemory,
    NeverReclaim, NodeId, Origin, OutOfMemory, Page, PagingDepth, PhysAddr, PhysMap, PhysRange, PlaceClaim,
    Rejected, VirtRange, presets::X86_64,
};

/// The parts of the model that this kernel provides.
pub struct Kernel;

impl Config for Kernel {
    type Geometry = X86_64;
    type Page = Page; // 64 bytes; any type that is valid when zeroed can take its place
    type Reclaim = NeverReclaim; // this kernel never removes memory, so its readers are free
    type Array = Array; // where vmemmap keeps its array; `NoArray` will do for the others
}

/// The place of vmemmap's array.
pub struct Array;

// SAFETY: nothing else of this kernel uses these addresses, nor any in the blocks of 512 GiB that they touch.
unsafe impl ArrayPlace for Array {
    const START: u64 = 0xffff_ea00_0000_0000;
    const BYTES: u64 = 1 << 40;

    fn claim() -> &'static PlaceClaim {
        static CLAIM: PlaceClaim = PlaceClaim::new(); // two models cannot share the place
        &CLAIM
    }
}

sparsemem::declare! {
    /// All zero bytes: no room in the image, usable before any heap.
    pub static MODEL: Kernel;
}

/// The boot allocator: hands out zeroed memory upwards, and never takes any back.
pub struct BootMemory {
    /// Where physical address 0 is mapped.
    pub direct_map: NonNull<u8>,
    /// What is left.
    pub free: PhysRange,
    /// What CR3 holds.
    pub page_tables: PhysAddr,
    /// `invlpg` for the page at an address.
    pub forget: fn(u64),
}

// SAFETY: the direct map reaches every byte of `free` and of what was cut from it.
unsafe impl PhysMap for BootMemory {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        let start = self.direct_map.as_ptr().wrapping_add(at.get() as usize);
        NonNull::new(start).unwrap_or(self.direct_map) // an address that no block has: any answer is harmless
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        let offset = at.addr().get().checked_sub(self.direct_map.addr().get())? as u64;
        (offset < self.free.end().get()).then_some(PhysAddr::new(offset))
    }
}

// SAFETY: every block is cut from the front of `free`, so no byte is given twice; the memory was zero from the start.
unsafe impl MetadataMemory for BootMemory {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let none = OutOfMemory::new(layout, node);
        let start = self.free.start().get().checked_next_multiple_of(layout.align() as u64).ok_or(none)?;
        let end = PhysAddr::new(start.checked_add(layout.size() as u64).ok_or(none)?);
        self.free = PhysRange::new(end, self.free.end()).map_err(|_| none)?;
        let start = PhysAddr::new(start);
        // SAFETY: the bytes were free until now.
        Ok(unsafe { Block::from_parts(self.phys_to_virt(start), start, layout, Origin::Boot) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        Err(Rejected { error: block.foreign(), returned: block })
    }
}

// SAFETY: `page_tables` is what CR3 holds, and nobody else maps anything in the array's place. While booting there is one
// processor with one address space: what it forgets, all have forgotten.
unsafe impl AddressSpace for BootMemory {
    fn root(&self) -> PhysAddr {
        self.page_tables
    }

    fn depth(&self) -> PagingDepth {
        PagingDepth::Four
    }

    fn flush(&mut self, range: VirtRange) {
        // Only vmemmap asks for it.
        (range.start().get()..range.end().get()).step_by(4096).for_each(self.forget);
    }
}

/// Boots the model from what the firmware says is memory.
///
/// # Panics
///
/// If the model is up already, or memory for metadata was short.
pub fn boot(memory: &mut BootMemory, firmware: &[MemoryRange]) {
    // Whoever changes a model takes its writer; readers take nothing.
    let mut writer = MODEL.write().expect("nobody else changes the model");
    let ranges = firmware.iter().copied();
    let summary = writer.boot(memory, ranges, &mut |_event| ()).expect("the first boot");
    assert_eq!(summary.lost, 0, "a section has no metadata");
}

/// Gives each descriptor its frame. Until then it is zero bytes, and the way back from it finds nothing.
pub fn initialise(firmware: &[MemoryRange]) {
    for range in firmware {
        sparsemem::initialise(&MODEL, range.frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparsemem::Pfn;

    #[test]
    fn any_frame_finds_its_descriptor_without_a_lock() {
        let bytes = |start, end| PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap();
        // Physical address 0 is the first byte of a piece of memory, and a page of it is the top-level page table, which
        // no processor uses.
        // SAFETY: the layout is not empty.
        let ram = unsafe { std::alloc::alloc_zeroed(Layout::from_size_align(16 << 20, 1 << 21).unwrap()) };
        let mut memory = BootMemory {
            direct_map: NonNull::new(ram).unwrap(),
            free: bytes(0x10_0000, 16 << 20),
            page_tables: PhysAddr::new(0x1000),
            forget: |_page| {},
        };
        // 640 KiB, then 256 MiB up to the middle of a section.
        let firmware = [bytes(0, 0xa_0000), bytes(0x10_0000, 0x1010_0000)]
            .map(|ram| MemoryRange::from_bytes::<X86_64>(ram, NodeId::new(0)));
        boot(&mut memory, &firmware);

        let (reader, frame) = (MODEL.read(), Pfn::new(0x1234));
        let page = NonNull::from(reader.page(frame).expect("frame 0x1234 is RAM"));
        assert!(reader.page(Pfn::new(0x1_8000)).is_none(), "section 3 is absent");
        if cfg!(feature = "vmemmap") {
            return; // no processor uses these page tables, so its array can be found, but not touched
        }
        initialise(&firmware);
        // SAFETY: the descriptor is the model's, and it was initialised.
        assert_eq!(unsafe { MODEL.pfn_of(page) }, frame);
    }
}
