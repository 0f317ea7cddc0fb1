//! The environment over the global allocator: of a kernel whose heap lies in its direct map, and of a host.

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::collections::BTreeMap;
use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, MetadataMemory, NodeId, Origin, OutOfMemory, PhysAddr, PhysMap,
    Rejected, forward_to_field,
};

use crate::direct_map::has;
use crate::{Given, Ledger};

/// Physical addresses that are virtual ones: of a host, where nobody else looks at them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

// SAFETY: the two are the same number, and the pointer's provenance is exposed when its address is taken.
unsafe impl PhysMap for Identity {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        #[expect(clippy::cast_possible_truncation, reason = "it was an address of the target")]
        let start = core::ptr::with_exposed_provenance_mut(at.get() as usize);
        NonNull::new(start).unwrap_or(NonNull::dangling())
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        Some(PhysAddr::new(at.as_ptr().expose_provenance() as u64))
    }
}

/// An environment over the global allocator, whose memory the map `M` has.
///
/// ```
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{MemoryModel, MemoryRange, NeverReclaim, NodeId, Page, Pfn, PfnRange};
/// use sparsemem_environments::StdHeap;
/// use sparsemem_sparse_extreme::SparseExtreme;
/// # use sparsemem_core::{BootModel, SectionShape};
///
/// static MODEL: SparseExtreme<X86_64, Page, NeverReclaim, { X86_64::NR_ROOTS_LEN }> = SparseExtreme::new();
///
/// let ram = MemoryRange { frames: PfnRange::new(Pfn::new(0), Pfn::new(0x8000))?, node: NodeId::new(0) };
/// let mut heap = StdHeap::default();
/// let summary = MODEL.write().unwrap().boot(&mut heap, [ram].into_iter(), &mut |_event| ())?;
/// assert_eq!(summary.sections, 1);
/// assert!(MODEL.is_valid(Pfn::new(0x1234)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Heap<M> {
    map: M,
    blocks: BTreeMap<PhysAddr, Layout>,
}

/// The environment of a host: of tests, and of a virtual machine monitor with a record for each frame of its guest.
pub type StdHeap = Heap<Identity>;

impl Default for StdHeap {
    fn default() -> Self {
        Self { map: Identity, blocks: BTreeMap::new() }
    }
}

impl<M: PhysMap> Heap<M> {
    /// An environment over the global allocator.
    ///
    /// # Safety
    ///
    /// `map` reaches all memory of the global allocator, and keeps alignments.
    #[must_use]
    pub const unsafe fn new(map: M) -> Self {
        Self { map, blocks: BTreeMap::new() }
    }

    /// The number of blocks that are out.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }
}

// SAFETY: the map is never exchanged.
forward_to_field!(unsafe impl [M: PhysMap] PhysMap for Heap<M> => map);
// SAFETY: as above.
forward_to_field!(unsafe impl [M: AddressSpace] AddressSpace for Heap<M> => map);

// SAFETY: the global allocator gives no byte twice and zeroes what it gives; the map has it. A heap that is exhausted by the
// ledger ends the program and does not unwind.
unsafe impl<M: PhysMap> MetadataMemory for Heap<M> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let none = OutOfMemory::new(layout, node);
        if layout.size() == 0 {
            return Err(none);
        }
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(none)?;
        start.as_ptr().expose_provenance(); // a map makes pointers of addresses
        let phys = self.map.virt_to_phys(start).filter(|at| at.is_aligned(layout.align() as u64));
        let Some(at) = phys.filter(|at| self.blocks.enter(Given { at: *at, layout })) else {
            // SAFETY: it was just allocated, and nobody has it.
            unsafe { dealloc(start.as_ptr(), layout) };
            return Err(none);
        };
        // SAFETY: the block is new, and nobody else has it.
        Ok(unsafe { Block::from_parts(start, at, layout, Origin::Runtime) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let given = Given { at: block.phys(), layout: block.layout() };
        let is_here = block.origin() == Origin::Runtime && has(&self.map, &block);
        if !is_here || !self.blocks.strike(given) {
            return Err(Rejected { error: block.foreign(), returned: block });
        }
        // SAFETY: it was in the ledger, and whoever had it has given the block up.
        unsafe { dealloc(block.start().as_ptr(), block.layout()) };
        Ok(())
    }
}
