//! Whether memory of the array is still needed by valid frames.
//!
//! Linux marks unused parts of a large leaf with a byte pattern and remembers one unfinished tail in a global; with
//! small mappings it does not look at all (V-30 to V-38, T-18). Here the section table answers: it knows every valid
//! frame, so it knows who else has a descriptor in a leaf. There is no count that could go wrong.

use sparsemem_core::{PfnRange, SectionFlags, SectionNr, SubsectionBits, Usage};
use sparsemem_section::SectionTable;

/// Whether a frame of `frames` is valid.
///
/// # Safety
///
/// The caller is the writer of the model that `table` belongs to.
pub(crate) unsafe fn any_valid<T: SectionTable>(table: &T, frames: PfnRange) -> bool {
    let mut rest = frames;
    while !rest.is_empty() {
        // SAFETY: the caller's promise covers it.
        let next = unsafe { table.next_known(rest.start().section::<T::Geometry>()) };
        let Some(nr) = next else { return false };
        let Some(section) = nr.frames::<T::Geometry>() else { return false };
        let part = rest.intersection(section);
        // SAFETY: the caller's promise is the same.
        if !part.is_empty() && unsafe { any_valid_in(table, nr, part) } {
            return true;
        }
        rest = rest.split_at(section.end()).1;
    }
    false
}

/// Whether a frame of `part`, which lies in section `nr`, is valid.
///
/// # Safety
///
/// As [`any_valid`].
unsafe fn any_valid_in<T: SectionTable>(table: &T, nr: SectionNr, part: PfnRange) -> bool {
    // SAFETY: the caller is the writer.
    let Some(entry) = (unsafe { table.entry(nr) }) else { return false };
    let word = entry.word();
    if !word.has_memmap() {
        return false;
    }
    if word.flags().contains(SectionFlags::EARLY) {
        return true;
    }
    let populated = entry.usage().map_or(SubsectionBits::EMPTY, |usage| {
        // SAFETY: a usage in an entry is live while nobody else writes.
        unsafe { usage.as_ref() }.snapshot()
    });
    SubsectionBits::touched::<T::Geometry>(part)
        .is_ok_and(|wanted| !populated.intersection(wanted).is_empty())
}
