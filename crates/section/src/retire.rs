//! Subsections go: one section at a time, readers first.
//!
//! # Invariants
//!
//! 1. **Unpublish, wait, free**: bits, word, usage and root are out of readers' sight before the grace period, and
//!    given back after it. (Linux freed the usage first, until CVE-2023-52489, and frees the memmap first to this day.)

use core::ptr::NonNull;

use sparsemem_core::{
    ForeignBlock, FramesError, GracePeriod, Left, MetadataMemory, PfnRange, RetireError, RetireModel,
    Retired, SectionFlags, SectionNr, SubsectionBits, Usage, trace_event,
};

use crate::table::{Entry, FreshRoot, Occupied};
use crate::usage_block::free_usage;
use crate::{Content, Populate, SectionMemmap, SectionTable, SectionWord, SparseModel};

/// What readers may still hold, and nobody can find any more.
struct Unpublished<T: SectionTable> {
    word: SectionWord<T::Page>,
    usage: NonNull<T::Usage>,
    root: Option<FreshRoot>,
}

impl<T, S, R, E> RetireModel<E> for SparseModel<T, S, R>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: GracePeriod,
    E: MetadataMemory,
{
    fn retire(&self, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError> {
        let (section, bits) = FramesError::check::<T::Geometry>(frames)?;
        let _writer = self.writer.take().ok_or(RetireError::Busy)?;
        let none = RetireError::Absent { frames, section, absent: bits };
        // SAFETY: this is the model's writer, so roots stay.
        let entry = unsafe { self.table.entry(section) }.ok_or(none)?;
        let usage = entry.usage().ok_or(none)?;
        // SAFETY: this is the model's writer, so usages in entries stay.
        let map = unsafe { usage.as_ref() };
        let (absent, online) = (bits.difference(map.snapshot()), bits.intersection(map.online()));
        if !absent.is_empty() {
            return Err(RetireError::Absent { frames, section, absent });
        }
        if !online.is_empty() {
            return Err(RetireError::Online { frames, section, online });
        }
        trace_event!(DEBUG, "retiring {frames} of section {section}");
        Ok(self.retire_from(env, entry, usage, (section, frames, bits)))
    }
}

impl<T: SectionTable, S, R: GracePeriod> SparseModel<T, S, R> {
    /// Retires subsections that are all populated.
    fn retire_from<E: MetadataMemory>(
        &self,
        env: &mut E,
        entry: &Entry<T>,
        usage: NonNull<T::Usage>,
        (section, frames, bits): (SectionNr, PfnRange, SubsectionBits),
    ) -> Retired
    where
        S: Populate<T, E>,
    {
        // SAFETY: the caller is the model's writer, and the usage is in the entry.
        let map = unsafe { usage.as_ref() };
        let mut refused = Refused::default();
        let last = bits.contains_all(map.snapshot());
        if last {
            let gone = self.unpublish(section, entry, usage);
            R::synchronize();
            self.give_back(env, section, gone, &mut refused);
            return refused.into_retired(Left::Nothing);
        }
        map.remove(bits);
        if !entry.word().flags().contains(SectionFlags::EARLY) {
            R::synchronize();
            // SAFETY: the bits are gone and a grace period has passed: nobody holds a descriptor of the frames.
            unsafe { self.placement.shrink(&self.table, env, frames, &mut |block| refused.count(block)) };
        }
        refused.into_retired(Left::Partial)
    }

    /// Takes a section with all that belongs to it out of readers' sight.
    fn unpublish(&self, nr: SectionNr, entry: &Entry<T>, usage: NonNull<T::Usage>) -> Unpublished<T> {
        let word = entry.word();
        entry.set_word(SectionWord::ABSENT);
        entry.set_usage(None);
        self.table.note(nr, Occupied::No);
        // SAFETY: the caller is the model's writer and does not use `entry` any more; the root is given back after
        // the grace period.
        let root = unsafe { self.table.unlink_empty_root(nr) };
        Unpublished { word, usage, root }
    }

    /// Gives back what was taken out, after the grace period.
    fn give_back<E: MetadataMemory>(
        &self,
        env: &mut E,
        nr: SectionNr,
        gone: Unpublished<T>,
        refused: &mut Refused,
    ) where
        S: Populate<T, E>,
    {
        // SAFETY: the usage was taken out of its entry, and a grace period has passed.
        let origin = unsafe { gone.usage.as_ref() }.memmap_origin();
        let section = nr.frames::<T::Geometry>().unwrap_or_default();
        if let Some(first) = NonNull::new(gone.word.descriptor(section.start())) {
            let memmap = SectionMemmap { first, origin, content: Content::MaybeOld };
            // SAFETY: word and origin are those of the section's memmap; it was unpublished, and a grace period passed.
            unsafe {
                self.placement
                    .depopulate(&self.table, env, section, memmap, &mut |block| refused.count(block));
            }
        }
        // SAFETY: as for the origin.
        refused.note(unsafe { free_usage(env, gone.usage) });
        if let Some(root) = gone.root {
            // SAFETY: the root was unlinked before the grace period.
            refused.note(unsafe { root.give_back(env) });
        }
    }
}

/// Blocks that did not go back.
#[derive(Default)]
struct Refused {
    count: u64,
    first: Option<ForeignBlock>,
}

impl Refused {
    fn count(&mut self, block: ForeignBlock) {
        self.count += 1;
        self.first.get_or_insert(block);
    }

    fn note(&mut self, returned: Result<(), ForeignBlock>) {
        if let Err(block) = returned {
            self.count(block);
        }
    }

    const fn into_retired(self, left: Left) -> Retired {
        Retired { left, refused: self.count, first_refused: self.first }
    }
}
