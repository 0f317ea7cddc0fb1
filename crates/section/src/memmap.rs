//! One path that makes the memmap of a section, at boot and later, and one that frees it, for one section or for many.
//!
//! # Invariants
//!
//! 1. A word is made only when its descriptors exist and hold no data of an earlier use.
//! 2. **Unpublish, wait, free**: the usage of a section keeps the section's metadata while the writer waits for
//!    readers, and the writer gives it back after that. (Linux freed the usage first, until CVE-2023-52489, and still
//!    frees the memmap first.)

use core::ptr::NonNull;

use sparsemem_core::{
    Block, LostBlocks, MetadataMemory, Origin, PageCount, PfnRange, SectionFlags, SectionLoss, SectionNr,
};

use crate::entry::{RetiredSection, UsageBlock};
use crate::table::Entry;
use crate::writing::{Usage, free_usage};
use crate::{Content, Populate, PopulateRequest, SectionMemmap, SectionTable, SectionWord, Writing};

/// The word of a section, and the origin of its memmap.
pub(crate) type Mapped<T> = (SectionWord<<T as SectionTable>::Page>, Origin);

/// Makes the descriptors of a request exist, zeroed, and the word that leads to them. `block` may be used for them, if it is
/// there.
#[inline(always)]
pub(crate) fn bring_up<T, S, E>(
    writing: &mut Writing<'_, T, S>,
    env: &mut E,
    request: &PopulateRequest,
    flags: SectionFlags,
    block: &mut Option<Block>,
    lost: &mut LostBlocks,
) -> Result<Mapped<T>, SectionLoss>
where
    T: SectionTable,
    S: Populate<T, E>,
{
    let first = request.section.first_pfn::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
    let memmap = S::populate_with(writing, env, request, block, lost)?;
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

/// Zeroes descriptors that were just populated, because their memory may have held other descriptors before.
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
        // SAFETY: no lookup can find the frame yet, so no other code uses its descriptor.
        unsafe { page.write_bytes(0, 1) };
        pfn = pfn.saturating_add(PageCount::new(1));
    }
}

/// Sections that no new reader can find, and whose metadata is not freed yet: a list linked through their usages.
pub(crate) struct RetiredSections<T: SectionTable> {
    newest: Option<NonNull<Usage<T>>>,
}

impl<T: SectionTable> RetiredSections<T> {
    /// An empty list.
    pub(crate) const fn none() -> Self {
        Self { newest: None }
    }

    /// Unpublishes a section with its usage; its root stays.
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

    /// Takes the root of the section that was unpublished last out of the table, if it is empty, and keeps it with the
    /// section.
    pub(crate) fn unlink_root<S>(&mut self, writing: &mut Writing<'_, T, S>, nr: SectionNr) {
        let Some(block) = self.newest else { return };
        let Some(root) = writing.unlink_empty_root(nr) else { return };
        // SAFETY: as in `unpublish`.
        if let Some(section) = unsafe { UsageBlock::retired(block) } {
            section.root = Some(root);
        }
    }

    /// Gives back all metadata of the sections.
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
            // SAFETY: the caller's promise; the section left the list, so no other code gives it back.
            unsafe { free_section(writing, env, block, section, lost) };
        }
    }
}

/// Gives back all metadata of one section.
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
    writing.forget_usage(nr);
    // SAFETY: as above.
    unsafe { free_usage::<T, E>(env, block, lost) };
    if let Some(root) = root {
        // SAFETY: as above: the root was unlinked with the section.
        unsafe { root.give_back(env, lost) };
    }
}
