//! The contract of a placement, which decides where memmaps lie and how a descriptor is found.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    Block, CompoundOrder, FoldError, Footprint, LostBlocks, MetadataBlock, NodeId, Origin, OtherAddressSpace,
    PageCount, Pfn, PfnRange, PhysRange, QuietDescriptors, RefoldError, SectionLoss, SectionNr,
};

use crate::{SectionTable, SectionWord, Writing};

/// The method by which a model finds the descriptor of a frame.
///
/// # Safety
///
/// For a valid frame all three methods refer to the one descriptor that [`Populate::populate`] made for the frame,
/// aligned and no other frame's, unless it shares the memory of a folded compound's tails; descriptors of a
/// subsection's frames lie one after the other, and pointers to them may be used for each other. No method unwinds.
pub unsafe trait Placement<T: SectionTable>: Send + Sync {
    /// The name of the model over table `T`.
    const NAME: &'static str;

    /// True if [`Placement::descriptor`] reads the word that it gets. If not, lookups of a table with planes do not
    /// load it, and pass [`SectionWord::ABSENT`].
    const READS_WORD: bool = true;

    /// The frames of a folded compound, from its head on, that have descriptors of their own; `None` if the placement cannot
    /// fold, and then no [`PopulateRequest::compound`] is ever asked of it.
    const OWN_IN_COMPOUND: Option<PageCount> = None;

    /// The descriptor of a frame, from the word of its section.
    ///
    /// # Safety
    ///
    /// `word` is that of the section of `pfn`, or the placement does not read it; and the descriptor of `pfn` is populated and stays so meanwhile.
    unsafe fn descriptor(&self, word: SectionWord<T::Page>, pfn: Pfn) -> NonNull<T::Page>;

    /// The descriptor of a frame that is known to be valid.
    ///
    /// # Safety
    ///
    /// `pfn` is valid and stays so meanwhile.
    unsafe fn descriptor_unchecked(&self, table: &T, pfn: Pfn) -> NonNull<T::Page>;

    /// The frame of a descriptor.
    ///
    /// # Safety
    ///
    /// `page` is the descriptor of a valid frame, initialised, and stays so meanwhile.
    unsafe fn frame(&self, table: &T, page: NonNull<T::Page>) -> Pfn;

    /// Bytes of the memmaps of `sections` present sections, and of the page tables to them; the table and the usages
    /// are counted elsewhere. May be called at any time, also while a writer is at work.
    fn footprint(&self, sections: u64) -> Footprint;

    /// The model calls this after a teardown: no frame is valid, and all memmaps were taken back. Does nothing by
    /// default.
    fn torn_down(&mut self) {}
}

/// A request for a memmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopulateRequest {
    /// The section.
    pub section: SectionNr,
    /// The frames of it that need descriptors: whole subsections.
    pub frames: PfnRange,
    /// The neighbourhood that is, or is going to be, populated from the same node: a larger mapping may cover it.
    pub neighbourhood: PfnRange,
    /// The node to take memory from.
    pub node: NodeId,
    pub(crate) before: Before,
    pub(crate) compound: Option<CompoundOrder>,
}

impl PopulateRequest {
    /// Says whether any frame had a descriptor before the operation that asks.
    #[must_use]
    pub const fn before(&self) -> Before {
        self.before
    }

    /// The order of the compounds that the frames are to be folded in, if they are. The frames are whole compounds then,
    /// or all of a section that is smaller than one.
    #[must_use]
    pub const fn compound(&self) -> Option<CompoundOrder> {
        self.compound
    }
}

/// A request to fold compounds whose memory is up: whole ones, in any number of sections that have memmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldRequest {
    /// The frames.
    pub frames: PfnRange,
    /// The node to take memory from.
    pub node: NodeId,
    /// The order of the compounds.
    pub order: CompoundOrder,
    /// The frames whose descriptors may move, because nobody writes to them.
    pub quiet: QuietDescriptors,
}

/// The descriptors that a fold or an unfold moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// All frames whose descriptors may lie elsewhere now.
    pub frames: PfnRange,
    /// True if some lie in an altmap.
    pub has_altmap: bool,
    /// Bytes of descriptors that were given back.
    pub given_back: u64,
    /// Bytes of descriptors that were taken.
    pub taken: u64,
}

/// The earlier descriptors of a model: whether any frame had one before the operation that needs more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// No frame had one: the model boots. Memory for descriptors that a placement finds was made by the same boot, for
    /// neighbours, and no other code has written to the rest of it.
    NoFrame,
    /// Some frames may have had one: memory that a placement finds may hold old descriptors.
    SomeFrames,
}

/// The location of a section's descriptors.
#[derive(Debug)]
pub struct SectionMemmap<P> {
    /// The descriptor of the section's first frame; the frame itself need not be populated.
    pub first: NonNull<P>,
    /// The origin of the memory, for placements that take it as one block; for others, [`Origin::Altmap`] if any of it
    /// is in an altmap.
    pub origin: Origin,
    /// The content of the requested descriptors: whether they are known to be zero.
    pub content: Content,
}

/// The subsections of a section that stay when some of it is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// None: the section goes, with its memmap.
    Nothing,
    /// Some, and their descriptors; those of the retired subsections go.
    Parts,
    /// Some, and the descriptors of the whole section: it is one of boot.
    Whole,
}

/// The content of descriptors that were just made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zero bytes: all of their memory is new.
    Zero,
    /// Some of their memory was there before, and may hold old descriptors.
    MaybeOld,
}

/// Makes memmaps and takes them back, with memory and mappings from `E`.
///
/// There is no `&self`: the placement that is changed is [`Writing::placement`], so it is that of a model of which the
/// caller is the writer. Safe code can neither call this outside a model's operations nor mix two models up:
///
/// ```compile_fail
/// # use sparsemem_core::LostBlocks;
/// # use sparsemem_section::{Populate, PopulateRequest, SectionTable};
/// fn beside<T: SectionTable, S: Populate<T, E>, E>(placement: &S, env: &mut E, request: &PopulateRequest) {
///     let _ = S::populate(placement, env, request, &mut LostBlocks::default());
/// }
/// ```
///
/// # Safety
///
/// After a successful [`Populate::populate`], the descriptors of the requested frames are readable and writable, used
/// by nothing else, and zero if it reported so (those of a folded compound's tails are readable and zero), until
/// [`Populate::depopulate`] or [`Populate::shrink`] of the frames. [`Populate::fold`] and [`Populate::unfold`] change the
/// memory and the access, and no content. No method unwinds. A placement that wraps another
/// passes on a request of the same operation.
pub unsafe trait Populate<T: SectionTable, E>: Placement<T> {
    /// Makes the descriptors of `request.frames` exist. Descriptors that exist already stay as they are.
    ///
    /// Blocks that the environment refuses while a failure is undone are counted in `lost`.
    ///
    /// # Errors
    ///
    /// [`SectionLoss`]; everything is then as it was before the call.
    fn populate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &PopulateRequest,
        lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss>
    where
        Self: Sized;

    /// The block of [`MetadataMemory::alloc_memmap`](sparsemem_core::MetadataMemory::alloc_memmap) that
    /// [`Populate::populate`] will take for a request, if it will take one; `None` by default.
    ///
    /// While several processors bring sections up, each allocates this block before its turn, so that memory is zeroed by all
    /// of them at once. Another processor may be in a populate at the same time.
    fn beforehand(&self, env: &E, request: &PopulateRequest) -> Option<Layout> {
        let _ = (env, request);
        None
    }

    /// Populates as [`Populate::populate`] does, with a block that the model allocated for [`Populate::beforehand`].
    /// The placement takes the block if it uses it, and leaves it otherwise; it leaves it by default.
    ///
    /// # Errors
    ///
    /// As [`Populate::populate`].
    fn populate_with(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &PopulateRequest,
        block: &mut Option<Block>,
        lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss>
    where
        Self: Sized,
    {
        let _ = block;
        Self::populate(writing, env, request, lost)
    }

    /// Takes back the descriptors of a section none of whose frames is valid any more, except where neighbours share
    /// their memory. `frames` are those that may have been populated.
    ///
    /// Blocks that the environment refuses are counted in `lost`.
    ///
    /// # Safety
    ///
    /// `memmap` is the value that [`Populate::populate`] returned for the section, no frame of the section is valid any
    /// more, and no reader holds a descriptor of them.
    unsafe fn depopulate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        memmap: SectionMemmap<T::Page>,
        lost: &mut LostBlocks,
    ) where
        Self: Sized;

    /// Takes back the descriptors of `frames`, of a section that has other valid frames, as far as that frees memory.
    ///
    /// Blocks that the environment refuses are counted in `lost`.
    ///
    /// # Safety
    ///
    /// The frames lie in one section, are valid no more, and no reader holds a descriptor of them.
    unsafe fn shrink(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        lost: &mut LostBlocks,
    ) where
        Self: Sized;

    /// Refuses an environment that is not the one whose page tables lead to the memmaps. By default every environment
    /// is valid: each of them refuses blocks that are not its own.
    ///
    /// # Errors
    ///
    /// [`OtherAddressSpace`].
    fn check_environment(writing: &Writing<'_, T, Self>, env: &E) -> Result<(), OtherAddressSpace>
    where
        Self: Sized,
    {
        let _ = (writing, env);
        Ok(())
    }

    /// Lets the tails of compounds share descriptors, and gives back the memory that theirs had. Refuses by default.
    ///
    /// It allocates everything, then calls `announce` once, and then compares the descriptors of tails: the model says
    /// that the frames are folded, and waits for whoever may still write to them. After the first descriptor has moved
    /// nothing fails.
    ///
    /// # Errors
    ///
    /// [`RefoldError`]; everything is then as it was before the call. Blocks that the environment refused are counted in
    /// `lost`.
    fn fold(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &FoldRequest,
        announce: &mut dyn FnMut(&Writing<'_, T, Self>),
        lost: &mut LostBlocks,
    ) -> Result<Moved, RefoldError>
    where
        Self: Sized,
    {
        let _ = (writing, env, request, announce, lost);
        Err(FoldError::Unsupported.into())
    }

    /// Gives every frame, all of which are folded, a descriptor of its own again, equal to the one that it shared. Refuses by
    /// default.
    ///
    /// # Errors
    ///
    /// As [`Populate::fold`].
    fn unfold(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        lost: &mut LostBlocks,
    ) -> Result<Moved, RefoldError>
    where
        Self: Sized,
    {
        let _ = (writing, env, frames, node, lost);
        Err(FoldError::Unsupported.into())
    }

    /// Calls `visit` with every block that holds descriptors of a section that has a memmap, or page tables to them
    /// ([`MetadataModel`](sparsemem_core::MetadataModel)). The default reports none.
    fn each_block(
        writing: &Writing<'_, T, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) where
        Self: Sized,
    {
        let _ = (writing, env, section, visit);
    }

    /// Memory of an altmap that `env` does not have, and that retiring `frames` would give back
    /// ([`MetadataMemory::has_altmap`](sparsemem_core::MetadataMemory::has_altmap)): `frames` cannot be retired with `env`.
    ///
    /// The model calls this before every retirement, once any [`SectionMemmap::origin`] of the model has been
    /// [`Origin::Altmap`]. A placement that takes no memory with [`MetadataMemory::alloc_memmap`][alloc_memmap] leaves the
    /// default.
    ///
    /// [alloc_memmap]: sparsemem_core::MetadataMemory::alloc_memmap
    fn other_altmap(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PhysRange>
    where
        Self: Sized,
    {
        let _ = (writing, env, frames);
        None
    }

    /// Valid frames outside of `frames` whose descriptors lie in the memory of `frames`: an altmap that holds the memmap
    /// of neighbours too. As long as they are valid, `frames` cannot be retired.
    ///
    /// The model calls this before every retirement, once any [`SectionMemmap::origin`] of the model has been
    /// [`Origin::Altmap`]: the frames that hold descriptors need not have any in an altmap themselves. A placement that
    /// never takes memory for several ranges at once leaves the default.
    fn needed_by(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PfnRange>
    where
        Self: Sized,
    {
        let _ = (writing, env, frames);
        None
    }
}
