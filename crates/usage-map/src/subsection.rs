//! The subsection map: one bit per subsection of a section.
//!
//! # Invariants
//!
//! 1. A set bit is published with Release after its descriptors exist; readers load with Acquire.
//! 2. A call checks all of its bits before it changes any.

use core::fmt;

use sparsemem_core::primitive::{AtomicU64, Ordering};
use sparsemem_core::{BitWords, Geometry, PfnRange, SectionShape, SpanError, SubsectionBits, SubsectionIdx};

/// The reason why subsections could not be marked as populated. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FillError {
    /// The range is not a part of one section.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// Some of the range is populated already.
    #[error("{range} is populated already in subsections {populated:?}")]
    Populated {
        /// The requested range.
        range: PfnRange,
        /// The subsections of the range that are populated.
        populated: SubsectionBits,
    },
}

/// The reason why subsections could not be marked as absent. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClearError {
    /// The range is not a part of one section.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// Some of the range is not populated.
    #[error("{range} is not populated in subsections {absent:?}")]
    Absent {
        /// The requested range.
        range: PfnRange,
        /// The subsections of the range that are absent.
        absent: SubsectionBits,
    },
}

/// One bit per subsection; all-zero bytes are a map without members.
#[repr(transparent)]
pub struct SubsectionMap<G: Geometry> {
    words: G::SubsectionMap,
}

impl<G: Geometry> SubsectionMap<G> {
    /// A map without members, as a constant.
    #[cfg(not(sparsemem_loom))]
    #[allow(clippy::declare_interior_mutable_const, reason = "initialises places, and is not used as one")]
    pub const ZERO: Self = Self { words: G::SubsectionMap::ZERO };

    /// A map without members.
    #[must_use]
    pub fn new() -> Self {
        Self { words: G::SubsectionMap::zeroed() }
    }

    /// True if a subsection is a member.
    ///
    /// # Cost
    ///
    /// One load.
    #[inline]
    #[must_use]
    pub fn contains(&self, index: SubsectionIdx) -> bool {
        // Acquire: pairs with the Release in `insert`, so that the descriptors of the subsection are seen.
        self.words
            .words()
            .get(index.get() as usize / 64)
            .is_some_and(|word| word.load(Ordering::Acquire) >> (index.get() % 64) & 1 == 1)
    }

    /// True if every one of `bits` is set.
    #[inline]
    pub(crate) fn contains_all(&self, bits: &SubsectionBits) -> bool {
        // Acquire: as in `contains`.
        self.with(bits).all(|(word, bits)| word.load(Ordering::Acquire) & bits == *bits)
    }

    /// True if any of `bits` is set.
    #[inline]
    pub(crate) fn contains_any(&self, bits: &SubsectionBits) -> bool {
        // Acquire: as in `contains`.
        self.with(bits).any(|(word, bits)| word.load(Ordering::Acquire) & bits != 0)
    }

    /// True if a bit other than `bits` is set.
    #[inline]
    pub(crate) fn contains_others(&self, bits: &SubsectionBits) -> bool {
        // Acquire: as in `contains`.
        self.with(bits).any(|(word, bits)| word.load(Ordering::Acquire) & !bits != 0)
    }

    /// The word of a full map that begins with subsection `first`.
    const fn full_word(first: u32) -> u64 {
        match G::SUBSECTIONS_PER_SECTION.saturating_sub(first) {
            left @ 0..64 => (1 << left) - 1,
            _ => u64::MAX,
        }
    }

    /// True if every subsection is a member.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        let full = (0u32..).step_by(64).map(Self::full_word);
        // Acquire: as in `contains`.
        self.words.words().iter().zip(full).all(|(word, full)| word.load(Ordering::Acquire) == full)
    }

    /// True if no subsection is a member.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // Acquire: as in `contains`.
        self.words.words().iter().all(|word| word.load(Ordering::Acquire) == 0)
    }

    /// The words of the map, each with those of a set.
    fn with<'m>(&'m self, bits: &'m SubsectionBits) -> impl Iterator<Item = (&'m AtomicU64, &'m u64)> {
        self.words.words().iter().zip(bits.words())
    }

    /// A copy of the map; its words are read one after the other.
    #[must_use]
    pub fn snapshot(&self) -> SubsectionBits {
        // Acquire: as in `contains`.
        SubsectionBits::from_words(self.words.words().iter().map(|word| word.load(Ordering::Acquire)))
    }

    /// Sets the bits that `range` touches, if none is set.
    pub(crate) fn fill(&self, range: PfnRange) -> Result<(), FillError> {
        let wanted = SubsectionBits::touched::<G>(range)?;
        let populated = self.snapshot().intersection(wanted);
        if !populated.is_empty() {
            return Err(FillError::Populated { range, populated });
        }
        self.insert(wanted);
        Ok(())
    }

    /// Clears the bits that `range` touches, if all are set.
    pub(crate) fn clear(&self, range: PfnRange) -> Result<(), ClearError> {
        let wanted = SubsectionBits::touched::<G>(range)?;
        let absent = wanted.difference(self.snapshot());
        if !absent.is_empty() {
            return Err(ClearError::Absent { range, absent });
        }
        self.remove(wanted);
        Ok(())
    }

    /// Removes members, whatever was there.
    pub fn remove(&self, bits: SubsectionBits) {
        for (word, bits) in self.words.words().iter().zip(bits.words()) {
            // Release: a reader that finds the bit cleared sees the writer's earlier stores.
            word.fetch_and(!bits, Ordering::Release);
        }
    }

    /// Adds members, whatever was there.
    ///
    /// # Concurrency
    ///
    /// Release: a reader that sees a member also sees everything that was written before it was added.
    pub fn insert(&self, bits: SubsectionBits) {
        for (word, bits) in self.words.words().iter().zip(bits.words()) {
            // Release: pairs with the Acquire in `contains` and `snapshot`.
            word.fetch_or(*bits, Ordering::Release);
        }
    }
}

impl<G: Geometry> Default for SubsectionMap<G> {
    fn default() -> Self {
        Self::new()
    }
}

impl<G: Geometry> fmt::Debug for SubsectionMap<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.snapshot(), G::SUBSECTIONS_PER_SECTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparsemem_core::presets::{Arm64Page64K, X86_64};
    use sparsemem_core::{PageCount, Pfn};
    use std::vec;

    fn span(start: u64, count: u64) -> PfnRange {
        PfnRange::from_start_count(Pfn::new(start), PageCount::new(count)).unwrap()
    }

    #[test]
    fn filling_twice_names_the_overlap_and_changes_nothing() {
        let map = SubsectionMap::<X86_64>::new();
        map.fill(span(0x8000, 0x400)).unwrap();
        let error = map.fill(span(0x8200, 0x400)).unwrap_err();
        let populated = SubsectionBits::from_words(vec![0b10]);
        assert_eq!(error, FillError::Populated { range: span(0x8200, 0x400), populated });
        assert_eq!(map.snapshot().words()[0], 0b11);
    }

    #[test]
    fn clearing_what_is_not_there_names_the_missing_and_changes_nothing() {
        let map = SubsectionMap::<X86_64>::new();
        map.fill(span(0x8000, 0x400)).unwrap();
        let error = map.clear(span(0x8200, 0x400)).unwrap_err();
        let absent = SubsectionBits::from_words(vec![0b100]);
        assert_eq!(error, ClearError::Absent { range: span(0x8200, 0x400), absent });
        assert_eq!(map.snapshot().words()[0], 0b11);
    }

    #[test]
    fn empty_and_section_crossing_requests_are_errors() {
        let map = SubsectionMap::<X86_64>::new();
        let (none, two) = (span(0x8000, 0), span(0xff00, 0x200));
        assert_eq!(map.fill(none), Err(FillError::Span(SpanError::Empty { range: none })));
        assert_eq!(map.clear(none), Err(ClearError::Span(SpanError::Empty { range: none })));
        assert_eq!(map.fill(two), Err(FillError::Span(SpanError::CrossesSection { range: two })));
        assert!(map.snapshot().is_empty());
    }

    #[test]
    fn wide_maps_work_across_words() {
        let map = SubsectionMap::<Arm64Page64K>::new();
        let frames = Arm64Page64K::PAGES_PER_SUBSECTION;
        map.fill(span(62 * frames, 4 * frames)).unwrap();
        assert_eq!(map.snapshot().words()[..2], [0b11 << 62, 0b11]);
        map.clear(span(63 * frames, 2 * frames)).unwrap();
        assert!(map.contains(SubsectionIdx::new(62)) && !map.contains(SubsectionIdx::new(63)));
        assert!(!map.contains(SubsectionIdx::new(100_000)));
    }
}
