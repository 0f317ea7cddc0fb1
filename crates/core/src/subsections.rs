//! Sets of subsections of one section, as plain values.
//!
//! # Invariants
//!
//! 1. Bit *n* stands for the subsection at the *n*-th lowest address; bits beyond the geometry's last are zero.
//! 2. A set is made from frames only if they are not empty and lie in one section, so "all bits" never arises from
//!    "no frames"; Linux' mask helper returns all bits for no frames (O-40).

use core::fmt;

use crate::{Geometry, Pfn, PfnRange, SectionNr, SectionShape, SubsectionIdx};

/// 64-bit words that hold the subsections of the largest section.
const WORDS: usize = 8;

/// The reason why frames are not a set of subsections of one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanError {
    /// The range has no frames.
    #[error("{range} has no frames")]
    Empty {
        /// The range that was given.
        range: PfnRange,
    },
    /// The range reaches into a second section.
    #[error("{range} reaches beyond the section it starts in; split it at section borders")]
    CrossesSection {
        /// The range that was given.
        range: PfnRange,
    },
}

/// A set of subsections of one section.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SubsectionBits {
    words: [u64; WORDS],
}

impl SubsectionBits {
    /// The set without members.
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    /// The set with these bits, lowest word first; words after the eighth are ignored.
    #[must_use]
    pub fn from_words(words: impl IntoIterator<Item = u64>) -> Self {
        let mut set = Self::EMPTY;
        for (to, from) in set.words.iter_mut().zip(words) {
            *to = from;
        }
        set
    }

    /// Every subsection that `range` touches, also those of which it covers only a part.
    ///
    /// # Errors
    ///
    /// [`SpanError`] if the range is empty or lies in more than one section.
    pub fn touched<G: Geometry>(range: PfnRange) -> Result<Self, SpanError> {
        if range.is_empty() {
            return Err(SpanError::Empty { range });
        }
        let last = Pfn::new(range.end().get() - 1);
        if range.start().section::<G>() != last.section::<G>() {
            return Err(SpanError::CrossesSection { range });
        }
        let mut set = Self::EMPTY;
        set.insert_up_to(range.start().subsection::<G>(), last.subsection::<G>());
        Ok(set)
    }

    /// Every subsection of the geometry.
    #[must_use]
    pub fn full<G: Geometry>() -> Self {
        let mut set = Self::EMPTY;
        set.insert_up_to(SubsectionIdx::new(0), SubsectionIdx::new(G::SUBSECTIONS_PER_SECTION - 1));
        set
    }

    /// Adds the subsections from `first` to `last`, both included.
    fn insert_up_to(&mut self, first: SubsectionIdx, last: SubsectionIdx) {
        for (word, base) in self.words.iter_mut().zip((0u32..).step_by(64)) {
            let from = first.get().max(base);
            let to = last.get().min(base + 63);
            if from <= to {
                *word |= (u64::MAX >> (63 - (to - from))) << (from - base);
            }
        }
    }

    /// True if `index` is in the set.
    #[must_use]
    pub fn contains(&self, index: SubsectionIdx) -> bool {
        let word = self.words.get(index.get() as usize / 64).copied().unwrap_or(0);
        word >> (index.get() % 64) & 1 == 1
    }

    /// True if the set has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        // Not by comparison with `EMPTY`, which is a call of `memcmp`.
        self.words.iter().fold(0, |all, word| all | word) == 0
    }

    /// The number of members.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// The lowest run of successive members that starts at or after `from`: first member, and the subsection after the
    /// last.
    #[must_use]
    pub fn next_run(&self, from: SubsectionIdx) -> Option<(SubsectionIdx, SubsectionIdx)> {
        let first = self.find(from, Self::MEMBERS)?;
        let end = self.find(first, Self::HOLES).unwrap_or(SubsectionIdx::new(Self::BITS));
        Some((first, end))
    }

    /// The first run of `part`, which lies in section `nr`, whose subsections are members.
    #[must_use]
    pub fn first_run_in<G: Geometry>(&self, nr: SectionNr, part: PfnRange) -> Option<PfnRange> {
        let (first, end) = self.next_run(part.start().subsection::<G>())?;
        let base = nr.first_pfn::<G>()?.get();
        let frame =
            |index: SubsectionIdx| Pfn::new(base + (u64::from(index.get()) << G::PFN_SUBSECTION_SHIFT));
        let run = PfnRange::new(frame(first), frame(end)).ok()?.intersection(part);
        (!run.is_empty()).then_some(run)
    }

    /// Bits of the largest set.
    const BITS: u32 = 512;
    /// Masks that make [`SubsectionBits::find`] look for members or for holes.
    const MEMBERS: u64 = 0;
    const HOLES: u64 = u64::MAX;

    /// The first bit at or after `from` that is set once the words are flipped by `flip`.
    fn find(&self, from: SubsectionIdx, flip: u64) -> Option<SubsectionIdx> {
        let start = from.get() / 64;
        (start..).zip(self.words.iter().skip(start as usize)).find_map(|(index, word)| {
            let ahead = if index == start { u64::MAX << (from.get() % 64) } else { u64::MAX };
            let hits = (word ^ flip) & ahead;
            (hits != 0).then(|| SubsectionIdx::new(index * 64 + hits.trailing_zeros()))
        })
    }

    /// The members of either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        self.combine(other, |mine, theirs| mine | theirs)
    }

    /// The members of both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        self.combine(other, |mine, theirs| mine & theirs)
    }

    /// The members of this set that are not in `other`.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        self.combine(other, |mine, theirs| mine & !theirs)
    }

    /// True if every member of `other` is in this set.
    #[must_use]
    pub fn contains_all(&self, other: Self) -> bool {
        other.difference(*self).is_empty()
    }

    /// The 64-bit words of the set, lowest first; a geometry uses as many of them as it needs.
    #[must_use]
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.words
    }

    /// The set as hexadecimal digits, highest subsection first, 16 digits per 64 subsections of the geometry.
    #[must_use]
    pub fn hex<G: Geometry>(&self) -> impl fmt::Display + use<G> {
        Hex { words: self.words, used: (G::SUBSECTIONS_PER_SECTION as usize).div_ceil(64) }
    }

    /// Joins two sets word by word.
    fn combine(mut self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        for (mine, theirs) in self.words.iter_mut().zip(other.words) {
            *mine = join(*mine, theirs);
        }
        self
    }
}

impl fmt::Debug for SubsectionBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = WORDS - self.words.iter().rev().take_while(|word| **word == 0).count();
        write!(f, "{}", Hex { words: self.words, used: used.max(1) })
    }
}

/// Prints the lowest `used` words, highest first.
struct Hex {
    words: [u64; WORDS],
    used: usize,
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words.iter().take(self.used).rev().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::{Arm64Page64K, Ppc64Page64K, Sparc64, X86_64};
    use crate::{PageCount, Pfn};
    use std::string::ToString;

    fn span(start: u64, count: u64) -> PfnRange {
        PfnRange::from_start_count(Pfn::new(start), PageCount::new(count)).unwrap()
    }

    fn touched(start: u64, count: u64) -> SubsectionBits {
        SubsectionBits::touched::<X86_64>(span(start, count)).unwrap()
    }

    #[test]
    fn masks_are_those_of_the_worked_vectors() {
        // The worked vectors (T-02).
        assert_eq!(touched(0x10_8000, 0x200).words()[0], 1);
        assert_eq!(touched(0x10_8200, 0x400).words()[0], 0x6);
        assert_eq!(touched(0x10_8000, 0x8000).words()[0], u64::MAX);
        // One frame marks its whole subsection (O-34).
        assert_eq!(touched(0x10_8000 + 0x3ff, 1).words()[0], 0x2);
    }

    #[test]
    fn no_frames_and_two_sections_are_errors() {
        // T-03: Linux' helper returns all 64 bits for the first.
        let none = span(0x10_8000, 0);
        assert_eq!(SubsectionBits::touched::<X86_64>(none), Err(SpanError::Empty { range: none }));
        let two = span(0x10_ff00, 0x200);
        assert_eq!(SubsectionBits::touched::<X86_64>(two), Err(SpanError::CrossesSection { range: two }));
    }

    #[test]
    fn wide_sections_use_several_words() {
        assert_eq!(SubsectionBits::full::<Sparc64>().count(), 512);
        assert_eq!(
            SubsectionBits::full::<Arm64Page64K>().words()[..5],
            [u64::MAX, u64::MAX, u64::MAX, u64::MAX, 0]
        );
        assert_eq!(SubsectionBits::full::<Ppc64Page64K>().words()[0], 0xff);
        // Subsections 60 to 70 straddle a word.
        let frames = Arm64Page64K::PAGES_PER_SUBSECTION;
        let set = SubsectionBits::touched::<Arm64Page64K>(span(60 * frames, 11 * frames)).unwrap();
        assert_eq!(set.words()[..2], [0xf << 60, 0x7f]);
        assert!(set.contains(SubsectionIdx::new(70)) && !set.contains(SubsectionIdx::new(71)));
        assert!(!set.contains(SubsectionIdx::new(u32::MAX)));
    }

    #[test]
    fn sets_print_sixteen_digits_per_64_subsections() {
        assert_eq!(touched(0x10_8200, 0x400).hex::<X86_64>().to_string(), "0000000000000006");
        assert_eq!(SubsectionBits::full::<Arm64Page64K>().hex::<Arm64Page64K>().to_string().len(), 64);
    }

    #[test]
    fn runs_are_found_across_words() {
        let set = SubsectionBits::from_words([0b1_0110, 1 << 63, 0b11]);
        let run = |from| set.next_run(SubsectionIdx::new(from)).map(|(first, end)| (first.get(), end.get()));
        assert_eq!(run(0), Some((1, 3)));
        assert_eq!(run(2), Some((2, 3)));
        assert_eq!(run(3), Some((4, 5)));
        assert_eq!(run(5), Some((127, 130)));
        assert_eq!(run(130), None);
        assert_eq!(run(u32::MAX), None);
        let full = SubsectionBits::full::<Sparc64>();
        assert_eq!(
            full.next_run(SubsectionIdx::new(7)),
            Some((SubsectionIdx::new(7), SubsectionIdx::new(512)))
        );
    }

    #[test]
    fn set_algebra() {
        let low = touched(0x10_8000, 0x400);
        let high = touched(0x10_8200, 0x400);
        assert_eq!(low.union(high).words()[0], 7);
        assert_eq!(low.intersection(high).words()[0], 2);
        assert_eq!(low.difference(high).words()[0], 1);
        assert!(low.contains_all(low.intersection(high)) && !low.contains_all(high));
    }
}
