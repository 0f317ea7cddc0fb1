//! Where memmaps lie, and how a descriptor is found: the second of the two questions.

use core::ptr::NonNull;

use sparsemem_core::{Footprint, ForeignBlock, NodeId, Origin, Pfn, PfnRange, SectionLoss, SectionNr};

use crate::{SectionTable, SectionWord};

/// How a frame's descriptor is found.
///
/// # Safety
///
/// For a valid frame all three methods speak of the one descriptor that [`Populate::populate`] made for the frame, and
/// pointers to descriptors of a subsection's frames lie one after the other and may be used for each other.
pub unsafe trait Placement<T: SectionTable>: Send + Sync {
    /// The name of the model over table `T`.
    const NAME: &'static str;

    /// The descriptor of a frame, from the word of its section.
    ///
    /// # Safety
    ///
    /// `word` has a memmap, `pfn` is a valid frame of its section.
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
}

/// What a memmap is wanted for.
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
}

/// Where the descriptors of a section are.
#[derive(Debug)]
pub struct SectionMemmap<P> {
    /// The descriptor of the section's first frame; the frame itself need not be populated.
    pub first: NonNull<P>,
    /// Where the memory goes back to, for placements that take it as one block.
    pub origin: Origin,
    /// Whether the requested descriptors are known to be zero.
    pub content: Content,
}

/// What is in descriptors that were just made to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zero bytes: all of their memory is new.
    Zero,
    /// Some of their memory was there before, and may hold an earlier life of them.
    MaybeOld,
}

/// Makes memmaps and takes them back, with memory and mappings from `E`.
///
/// # Safety
///
/// After a successful [`Populate::populate`], the descriptors of the requested frames are readable and writable, and
/// zero if it said so, until [`Populate::depopulate`] of the frames.
pub unsafe trait Populate<T: SectionTable, E>: Placement<T> {
    /// Makes the descriptors of `request.frames` exist. What exists already is left alone.
    ///
    /// Blocks that the environment would not take back while a failure is undone are told to `refused` and are lost.
    ///
    /// # Errors
    ///
    /// [`SectionLoss`]; everything is then as it was before the call.
    fn populate(
        &self,
        table: &T,
        env: &mut E,
        request: &PopulateRequest,
        refused: &mut dyn FnMut(ForeignBlock),
    ) -> Result<SectionMemmap<T::Page>, SectionLoss>;

    /// Takes back the descriptors of a section none of whose frames is valid any more, except where neighbours share
    /// their memory. `frames` are those that may have been populated.
    ///
    /// Blocks that the environment refuses are told to `refused` and are lost.
    ///
    /// # Safety
    ///
    /// `memmap` is what [`Populate::populate`] returned for the section, no frame of the section is valid in `table`,
    /// and no reader holds a descriptor of them.
    unsafe fn depopulate(
        &self,
        table: &T,
        env: &mut E,
        frames: PfnRange,
        memmap: SectionMemmap<T::Page>,
        refused: &mut dyn FnMut(ForeignBlock),
    );

    /// Takes back the descriptors of `frames`, of a section that has other valid frames, as far as that frees memory.
    ///
    /// Blocks that the environment refuses are told to `refused` and are lost.
    ///
    /// # Safety
    ///
    /// The frames lie in one section, are valid no more in `table`, and no reader holds a descriptor of them.
    unsafe fn shrink(&self, table: &T, env: &mut E, frames: PfnRange, refused: &mut dyn FnMut(ForeignBlock));

    /// Bytes of memmaps and page tables now; the table's and the usages' are not this trait's to count.
    ///
    /// # Safety
    ///
    /// The caller is the model's writer.
    unsafe fn footprint(&self, table: &T, env: &E) -> Footprint;
}
