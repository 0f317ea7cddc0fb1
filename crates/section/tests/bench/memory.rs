//! Memory that is written off instead of freed, and descriptors in it.

use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::{
    Block, ForeignBlock, MetadataMemory, NodeId, Origin, OutOfMemory, PageDescriptor, Pfn, PhysAddr, PhysMap,
    Rejected, SectionNr, SectionStamp,
};

use super::ledger;

/// A descriptor of `BYTES` bytes, which begin with its section. Readers look at its place in the ledger.
#[repr(C)]
pub(crate) union Descriptor<const BYTES: usize> {
    /// Not one of the model checker's atomics: descriptors are made of zero bytes.
    section: ManuallyDrop<AtomicU64>,
    bytes: [u8; BYTES],
}

// SAFETY: bytes; zero is valid, nothing to drop.
unsafe impl<const BYTES: usize> PageDescriptor for Descriptor<BYTES> {
    unsafe fn initialise(&self, _pfn: Pfn, section: SectionNr) {
        // SAFETY: any bytes are an integer.
        unsafe { &self.section }.store(section.get(), Ordering::Relaxed);
    }
}

// SAFETY: it answers with what `initialise` wrote.
unsafe impl<const BYTES: usize> SectionStamp for Descriptor<BYTES> {
    fn section(&self) -> SectionNr {
        // SAFETY: as above.
        SectionNr::new(unsafe { &self.section }.load(Ordering::Relaxed))
    }
}

/// Memory that is written off instead of freed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory;

// SAFETY: virtual addresses serve as physical ones.
unsafe impl PhysMap for Memory {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(at.get() as usize)).unwrap()
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        Some(PhysAddr::new(at.as_ptr().expose_provenance() as u64))
    }
}

// SAFETY: blocks are fresh from the heap, and stay allocated until the execution ends.
unsafe impl MetadataMemory for Memory {
    fn alloc_zeroed(&mut self, layout: Layout, _node: NodeId) -> Result<Block, OutOfMemory> {
        let start = NonNull::new(ledger::allocate(layout)).unwrap();
        let phys = PhysAddr::new(start.as_ptr().expose_provenance() as u64);
        // SAFETY: the block is fresh.
        Ok(unsafe { Block::from_parts(start, phys, layout, Origin::Runtime) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if ledger::write_off(block.start().addr().get()) {
            return Ok(());
        }
        Err(Rejected { error: block.foreign(), returned: block })
    }
}
