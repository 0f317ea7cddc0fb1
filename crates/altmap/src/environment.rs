//! An environment that allocates memmaps from an altmap, and everything else from the environment that it wraps.
//!
//! # Invariants
//!
//! 1. A memmap is allocated from the device's own memory or not at all: no path from here leads to RAM for it.
//! 2. A block is given to the altmap if its origin is an altmap and it lies in this one, else to the wrapped
//!    environment; so several altmaps can wrap each other, and the last environment refuses a block of none of them.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, CompleteModel, ForeignBlock, Geometry, InstallModel, MemoryModel, MetadataMemory,
    NodeId, Origin, OutOfMemory, PageCount, PfnRange, PhysAddr, PhysRange, Rejected, RetireModel,
    SectionShape, forward_to_field,
};

use crate::device::Altmap;

/// An environment `E` wrapped with an altmap, for the time of one slow call.
///
/// [`MetadataMemory::alloc_memmap`] gives zeroed blocks of the altmap in whole frames; page tables, usages and roots
/// are still allocated from `E`. When no block for a large mapping is left, the array asks for base pages: the model
/// does that with RAM, too (Linux refuses instead, V-13, and lists the fall-back as a wish, D-06).
///
/// Removal has to use the same altmap. Without it, or with another, the model refuses to remove the memory
/// ([`RetireError::OtherAltmap`](sparsemem_core::RetireError::OtherAltmap)); Linux gave the blocks to the page allocator
/// (X-15, X-19). A model that takes no memmap from altmaps does not ask.
///
/// ```
/// use sparsemem_altmap::{Altmap, AltmapModel, WithAltmap};
/// use sparsemem_core::{MemoryModel, MetadataMemory, NodeId, PfnRange};
///
/// /// Adds a section whose descriptors lie in its own device, and removes it.
/// ///
/// /// # Safety
/// ///
/// /// The direct map of `env` has the altmap's frames.
/// unsafe fn through_a_device<M: AltmapModel<E>, E: MetadataMemory>(
///     model: &M,
///     env: &mut E,
///     altmap: &mut Altmap<'_, M::Geometry>,
///     section: PfnRange,
/// ) -> Result<(), Box<dyn core::error::Error>> {
///     // SAFETY: the caller's promise.
///     let mut env = unsafe { WithAltmap::new(env, altmap) };
///     let mut writer = model.write().ok_or("another processor changes the model")?;
///     writer.install(&mut env, section, NodeId::new(0))?;
///     // With the same altmap: without it this is an error, and nothing changes.
///     writer.retire(&mut env, section)?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct WithAltmap<'a, 'w, G, E> {
    env: &'a mut E,
    altmap: &'a mut Altmap<'w, G>,
}

impl<'a, 'w, G: Geometry, E: MetadataMemory> WithAltmap<'a, 'w, G, E> {
    /// Wraps `env` with `altmap`.
    ///
    /// # Safety
    ///
    /// The direct map of `env` has the free frames of the altmap as [`PhysMap`](sparsemem_core::PhysMap) promises it
    /// for a block that `env` gave out itself, all of them together being one such block, as long as this value lives
    /// and as long as blocks of the altmap are in use:
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

    /// The wrapped environment.
    #[must_use]
    pub const fn inner(&self) -> &E {
        self.env
    }

    /// The wrapped environment, for changes.
    ///
    /// # Safety
    ///
    /// It must not be exchanged for another, and the requirements of [`WithAltmap::new`] for its direct map stay true:
    /// the altmap's frames are reached through it.
    pub const unsafe fn inner_mut(&mut self) -> &mut E {
        self.env
    }

    /// Frames of the altmap for a block, with their pointer.
    fn take(&mut self, layout: Layout) -> Option<(NonNull<u8>, PhysAddr)> {
        let align = frames_of::<G>(layout.align());
        let frames = self.altmap.take(frames_of::<G>(layout.size()), align).ok()?;
        let Some(phys) = frames.start().phys::<G>() else {
            // SAFETY: the frames were taken a moment ago, and no other code knows them.
            let returned = unsafe { self.altmap.give_back(frames) };
            debug_assert!(returned.is_ok(), "the block was taken a moment ago");
            return None;
        };
        Some((self.env.phys_to_virt(phys), phys))
    }

    /// The frames of a block, if it begins on a frame border, like a block of an altmap.
    fn frames(block: &Block) -> Option<PfnRange> {
        let aligned = block.phys().is_aligned(G::PAGE_SIZE);
        let count = frames_of::<G>(block.layout().size());
        PfnRange::from_start_count(block.phys().pfn::<G>(), count).filter(|_| aligned)
    }

    /// True if a block belongs to this altmap, by its origin and its frames.
    fn claims(&self, block: &Block) -> bool {
        let free = self.altmap.spec().free_frames();
        block.origin() == Origin::Altmap && free.contains(block.phys().pfn::<G>())
    }
}

/// The number of whole frames that hold `bytes` bytes.
const fn frames_of<G: Geometry>(bytes: usize) -> PageCount {
    PageCount::new((bytes as u64).div_ceil(G::PAGE_SIZE))
}

// SAFETY: the borrow keeps the environment, whose direct map has the altmap's frames as it has its own blocks
// (`WithAltmap::new`).
forward_to_field!(unsafe impl ['w, 'e, G: Geometry, E: MetadataMemory] PhysMap for WithAltmap<'w, 'e, G, E> => env);

// SAFETY: blocks of the wrapped environment are as it promises. For blocks of the altmap: (1) the pool gives a frame to
// one block at a time, and nothing else lies in it (`Altmap::claim`); (2) they are zeroed here; (3) frames are aligned
// to their size, and the pool aligns to the requested alignment beyond that; (4) a block that the pool did not give as
// this very block is refused; (5) nothing here can panic. The pointer of a block, and its alignment there, are as
// `WithAltmap::new` requires of the direct map.
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
        // SAFETY: the block is owned, so no other code uses its frames (`Block::from_parts`).
        match frames.map(|frames| unsafe { self.altmap.give_back(frames) }) {
            Some(Ok(())) => Ok(()),
            _ => Err(Rejected { error: block.foreign(), returned: block }),
        }
    }

    fn has_altmap(&self, memory: PhysRange) -> bool {
        let bytes = self.altmap.spec().free_frames().bytes::<G>();
        bytes.is_some_and(|bytes| bytes.contains_range(memory)) || self.env.has_altmap(memory)
    }
}

// SAFETY: as above; the environment only records mappings, and they lie in memory that its direct map reaches.
forward_to_field!(
    unsafe impl ['w, 'e, G: Geometry, E: MetadataMemory + AddressSpace] AddressSpace for WithAltmap<'w, 'e, G, E> => env
);

/// A model that is changed with an environment `E`, and with an altmap around it: one bound for generic code.
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
