//! An environment whose memmaps come from an altmap, and everything else from the environment behind it.
//!
//! # Invariants
//!
//! 1. What is given out as a memmap is the device's own or nothing: there is no way from here to RAM for it.
//! 2. A block goes to the altmap if it says that it came from one and lies in this one, else to the environment behind;
//!    several altmaps can so be stacked, and a block of none of them is refused by the last.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, CompleteModel, ForeignBlock, Geometry, InstallModel, MemoryModel, MetadataMemory,
    NodeId, Origin, OutOfMemory, PageCount, PfnRange, PhysAddr, Rejected, RetireModel, SectionShape,
    forward_to_field,
};

use crate::device::Altmap;

/// An environment `E` with an altmap before it, for the time of one slow call.
///
/// [`MetadataMemory::alloc_memmap`] gives zeroed blocks of the altmap in whole frames; page tables, usages and roots
/// still come from `E`. When no block for a large mapping is left, the array asks for base pages: that fall-back is the
/// model's, and works here as with RAM (Linux refuses, V-13, and has it as a wish, D-06).
///
/// Removal has to go through the same altmap. Without it, or with another, the environment behind refuses the blocks,
/// which [`Retired`](sparsemem_core::Retired) counts; in Linux they went to the page allocator.
#[derive(Debug)]
pub struct WithAltmap<'a, 'w, G, E> {
    env: &'a mut E,
    altmap: &'a mut Altmap<'w, G>,
}

impl<'a, 'w, G: Geometry, E: MetadataMemory> WithAltmap<'a, 'w, G, E> {
    /// Puts `altmap` before `env`.
    ///
    /// # Safety
    ///
    /// The direct map of `env` has the free frames of the altmap as [`PhysMap`](sparsemem_core::PhysMap) promises it for
    /// a block that `env` gave out itself, all of them together being one such block, as long as this value lives and as
    /// long as blocks of the altmap are out:
    ///
    /// 1. Every byte of them is reached, for reading and writing, and
    ///    [`virt_to_phys`](sparsemem_core::PhysMap::virt_to_phys) leads back to it.
    /// 2. They are contiguous: bytes that follow each other in memory follow each other in the direct map, and the pointer
    ///    to one of them may access all. A block of several frames is used through the pointer to its first byte.
    /// 3. Where a block is aligned in memory it is aligned in the direct map, up to the largest alignment that a model
    ///    asks of a memmap.
    pub const unsafe fn new(env: &'a mut E, altmap: &'a mut Altmap<'w, G>) -> Self {
        Self { env, altmap }
    }

    /// The altmap.
    #[must_use]
    pub const fn altmap(&self) -> &Altmap<'w, G> {
        self.altmap
    }

    /// The environment behind it.
    #[must_use]
    pub const fn inner(&self) -> &E {
        self.env
    }

    /// The environment behind it, to be used.
    ///
    /// # Safety
    ///
    /// It must not be exchanged for another, and what [`WithAltmap::new`] asks of its direct map stays true: the altmap's
    /// frames are reached through it.
    pub const unsafe fn inner_mut(&mut self) -> &mut E {
        self.env
    }

    /// Frames of the altmap for a block, with where they are reached.
    fn take(&mut self, layout: Layout) -> Option<(NonNull<u8>, PhysAddr)> {
        let align = frames_of::<G>(layout.align());
        let frames = self.altmap.take(frames_of::<G>(layout.size()), align).ok()?;
        let Some(phys) = frames.start().phys::<G>() else {
            // SAFETY: the frames were taken a moment ago, and nobody was told of them.
            let returned = unsafe { self.altmap.give_back(frames) };
            debug_assert!(returned.is_ok(), "the block was taken a moment ago");
            return None;
        };
        Some((self.env.phys_to_virt(phys), phys))
    }

    /// The frames of a block, if it begins like one of an altmap.
    fn frames(block: &Block) -> Option<PfnRange> {
        let aligned = block.phys().is_aligned(G::PAGE_SIZE);
        let count = frames_of::<G>(block.layout().size());
        PfnRange::from_start_count(block.phys().pfn::<G>(), count).filter(|_| aligned)
    }

    /// Whether a block says that it is of this altmap.
    fn claims(&self, block: &Block) -> bool {
        let free = self.altmap.spec().free_frames();
        block.origin() == Origin::Altmap && free.contains(block.phys().pfn::<G>())
    }
}

/// How many whole frames hold `bytes` bytes.
const fn frames_of<G: Geometry>(bytes: usize) -> PageCount {
    PageCount::new((bytes as u64).div_ceil(G::PAGE_SIZE))
}

// SAFETY: the borrow keeps the environment, whose direct map has the altmap's frames as it has its own blocks
// (`WithAltmap::new`).
forward_to_field!(unsafe impl ['w, 'e, G: Geometry, E: MetadataMemory] PhysMap for WithAltmap<'w, 'e, G, E> => env);

// SAFETY: blocks of the environment behind are as it promises. For blocks of the altmap: (1) the pool gives a frame to
// one block at a time, and nothing else lies in it (`Altmap::claim`); (2) they are zeroed here; (3) frames are aligned
// to their size, and the pool aligns to what was asked for beyond that; (4) what did not come from the pool as this very
// block is refused; (5) nothing here can panic. Where a block is reached, and how it is aligned there, is what
// `WithAltmap::new` asks of the direct map.
unsafe impl<G: Geometry, E: MetadataMemory> MetadataMemory for WithAltmap<'_, '_, G, E> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.env.alloc_zeroed(layout, node)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let (start, phys) = self.take(layout).ok_or(OutOfMemory::new(layout, node))?;
        // SAFETY: the frames were just given to this block alone, hold the layout, and are contiguous in the direct map
        // (`WithAltmap::new`, 1 and 2).
        unsafe { start.write_bytes(0, layout.size()) };
        // SAFETY: as above; `take` aligned them in memory as the layout says, and so they are in the direct map
        // (`WithAltmap::new`, 3).
        Ok(unsafe { Block::from_parts(start, phys, layout, Origin::Altmap) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if !self.claims(&block) {
            return self.env.free(block);
        }
        let known = block.start() == self.env.phys_to_virt(block.phys());
        let frames = Self::frames(&block).filter(|_| known);
        // SAFETY: the block is owned, so nobody else uses its frames (`Block::from_parts`).
        match frames.map(|frames| unsafe { self.altmap.give_back(frames) }) {
            Some(Ok(())) => Ok(()),
            _ => Err(Rejected { error: block.foreign(), returned: block }),
        }
    }
}

// SAFETY: as above; what is mapped is only noted by the environment, and lies in memory that its direct map reaches.
forward_to_field!(
    unsafe impl ['w, 'e, G: Geometry, E: MetadataMemory + AddressSpace] AddressSpace for WithAltmap<'w, 'e, G, E> => env
);

/// A model that is changed with an environment `E`, and with an altmap before it: all that generic code has to ask of it.
pub trait AltmapModel<E>:
    CompleteModel<E>
    + for<'a, 'w> InstallModel<WithAltmap<'a, 'w, <Self as MemoryModel>::Geometry, E>>
    + for<'a, 'w> RetireModel<WithAltmap<'a, 'w, <Self as MemoryModel>::Geometry, E>>
{
}

impl<M, E> AltmapModel<E> for M where
    M: CompleteModel<E>
        + for<'a, 'w> InstallModel<WithAltmap<'a, 'w, <M as MemoryModel>::Geometry, E>>
        + for<'a, 'w> RetireModel<WithAltmap<'a, 'w, <M as MemoryModel>::Geometry, E>>
{
}
