//! One way up for the memmap of a section, at boot and later, and one way down, for one section or for many.
//!
//! # Invariants
//!
//! 1. A word is made only when the descriptors behind it exist and hold nothing of an earlier life.
//! 2. **Unpublish, wait, free**: what a section had is remembered in its own usage while readers are waited for, and given
//!    back after that. (Linux freed the usage first, until CVE-2023-52489, and frees the memmap first to this day.)

use core::ptr::NonNull;

use sparsemem_core::{
    LostBlocks, MetadataMemory, Origin, PageCount, PfnRange, SectionFlags, SectionLoss, SectionNr,
};

use crate::entry::{RetiredSection, UsageBlock};
use crate::table::Entry;
use crate::writing::{Usage, free_usage};
use crate::{Content, Populate, PopulateRequest, SectionMemmap, SectionTable, SectionWord, Writing};

/// The word of a section, and where its memmap goes back to.
pub(crate) type Mapped<T> = (SectionWord<<T as SectionTable>::Page>, Origin);

/// Makes the descriptors of a request exist, zeroed, and the word that leads to them.
#[inline(always)]
pub(crate) fn bring_up<T, S, E>(
    writing: &mut Writing<'_, T, S>,
    env: &mut E,
    request: &PopulateRequest,
    flags: SectionFlags,
    lost: &mut LostBlocks,
) -> Result<Mapped<T>, SectionLoss>
where
    T: SectionTable,
    S: Populate<T, E>,
{
    let first = request.section.first_pfn::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
    let memmap = S::populate(writing, env, request, lost)?;
    let (origin, content) = (memmap.origin, memmap.content);
    writing.notes().note_origin(origin);
    match SectionWord::mapped(memmap.first, first, flags) {
        Ok(word) => {
            clear_descriptors(writing, word, request.frames, content);
            Ok((word, origin))
        }
        Err(error) => {
            // SAFETY: the memmap was just populated and never published.
            unsafe { S::depopulate(writing, env, request.frames, memmap, lost) };
            Err(SectionLoss::Misaligned { address: error.address })
        }
    }
}

/// Zeroes descriptors that were just populated and may have been others' before.
pub(crate) fn clear_descriptors<T, S>(
    writing: &Writing<'_, T, S>,
    word: SectionWord<T::Page>,
    frames: PfnRange,
    content: Content,
) where
    T: SectionTable,
    S: crate::Placement<T>,
{
    if content == Content::Zero {
        return;
    }
    let mut pfn = frames.start();
    while pfn < frames.end() {
        // SAFETY: the descriptor is populated, and the word is that of its section.
        let page = unsafe { writing.placement().descriptor(word, pfn) };
        // SAFETY: nobody can find the frame yet, so nobody else uses its descriptor.
        unsafe { page.write_bytes(0, 1) };
        pfn = pfn.saturating_add(PageCount::new(1));
    }
}

/// Sections that nobody finds any more, and whose metadata is still there: a list threaded through their usages.
pub(crate) struct RetiredSections<T: SectionTable> {
    newest: Option<NonNull<Usage<T>>>,
}

impl<T: SectionTable> RetiredSections<T> {
    /// None yet.
    pub(crate) const fn none() -> Self {
        Self { newest: None }
    }

    /// Takes a section with its usage out of readers' sight; its root stays.
    #[inline]
    pub(crate) fn unpublish<S>(&mut self, writing: &Writing<'_, T, S>, nr: SectionNr, entry: &Entry<T>) {
        let (word, usage) = (entry.word(), entry.usage());
        writing.unpublish(nr, entry);
        let Some(block) = usage else { return };
        let section = RetiredSection { nr, word, root: None, next: self.newest };
        // SAFETY: the usage is live until it is given back, and this is for the writer alone (entry, invariant 3).
        *unsafe { UsageBlock::retired(block) } = Some(section);
        self.newest = Some(block);
    }

    /// Takes the root of the section that was unpublished last along, if it is empty.
    pub(crate) fn unlink_root<S>(&mut self, writing: &mut Writing<'_, T, S>, nr: SectionNr) {
        let Some(block) = self.newest else { return };
        let Some(root) = writing.unlink_empty_root(nr) else { return };
        // SAFETY: as in `unpublish`.
        if let Some(section) = unsafe { UsageBlock::retired(block) } {
            section.root = Some(root);
        }
    }

    /// Gives back everything that the sections had.
    ///
    /// # Safety
    ///
    /// No reader holds anything of the sections: a grace period has passed since they were unpublished, or the caller has
    /// `&mut` of the model.
    pub(crate) unsafe fn give_back<S, E>(
        mut self,
        writing: &mut Writing<'_, T, S>,
        env: &mut E,
        lost: &mut LostBlocks,
    ) where
        S: Populate<T, E>,
        E: MetadataMemory,
    {
        while let Some(block) = self.newest {
            // SAFETY: as in `unpublish`, which wrote it.
            let Some(section) = unsafe { UsageBlock::retired(block) }.take() else { return };
            self.newest = section.next;
            // SAFETY: the caller's promise; the section left the list, so nobody else gives it back.
            unsafe { free_section(writing, env, block, section, lost) };
        }
    }
}

/// Gives back what one section had.
///
/// # Safety
///
/// As [`RetiredSections::give_back`]; `block` is the section's usage.
unsafe fn free_section<T, S, E>(
    writing: &mut Writing<'_, T, S>,
    env: &mut E,
    block: NonNull<Usage<T>>,
    section: RetiredSection<T::Page, T::Geometry>,
    lost: &mut LostBlocks,
) where
    T: SectionTable,
    S: Populate<T, E>,
    E: MetadataMemory,
{
    let RetiredSection { nr, word, root, .. } = section;
    // SAFETY: the usage was taken out of its entry and is not yet given back.
    let origin = unsafe { block.as_ref() }.usage().memmap_origin();
    let frames = nr.frames::<T::Geometry>().unwrap_or_default();
    if let (true, Some(first)) = (word.has_memmap(), NonNull::new(word.descriptor(frames.start()))) {
        let memmap = SectionMemmap { first, origin, content: Content::MaybeOld };
        // SAFETY: word and origin are those of the section's memmap, and the caller promises that no reader is left.
        unsafe { S::depopulate(writing, env, frames, memmap, lost) };
    }
    // SAFETY: as above.
    unsafe { free_usage::<T, E>(env, block, lost) };
    if let Some(root) = root {
        // SAFETY: as above: the root was unlinked with the section.
        unsafe { root.give_back(env, lost) };
    }
}
