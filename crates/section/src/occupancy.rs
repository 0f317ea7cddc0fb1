//! Summary bits over a table, so that walks skip empty stretches.
//!
//! Two levels of bits over at most [`Occupancy::SLOTS`] slots; a slot stands for one or more neighbouring entries of
//! the table. The size is fixed (about 4 KiB), so that it needs neither allocation nor another type parameter.
//!
//! # Invariants
//!
//! 1. The bit of a slot is set before anything in the slot becomes visible, and cleared only after all of it is
//!    removed.
//! 2. A set bit may be stale; a clear bit is not.

use sparsemem_core::primitive::{AtomicU64, Ordering};
use sparsemem_core::{atomic_array, const_fn};

/// Words of the lower level; a model checker takes long for every atomic, so it gets few.
const WORDS: usize = if cfg!(sparsemem_loom) { 2 } else { 512 };
/// Words of the upper level.
const TOPS: usize = WORDS.div_ceil(64);

/// The slots of a table that may hold something.
#[derive(Debug)]
pub struct Occupancy {
    tops: [AtomicU64; TOPS],
    words: [AtomicU64; WORDS],
}

impl Occupancy {
    /// The number of slots.
    pub const SLOTS: u64 = WORDS as u64 * 64;

    const_fn! {
        /// No slot is occupied.
        #[must_use]
        pub const fn new() -> Self {
            Self { tops: atomic_array![AtomicU64::new(0); TOPS], words: atomic_array![AtomicU64::new(0); WORDS] }
        }
    }

    /// The number of entries of a table of `entries` that share a slot.
    #[must_use]
    pub const fn stride(entries: u64) -> u64 {
        let stride = entries.div_ceil(Self::SLOTS);
        if stride == 0 { 1 } else { stride }
    }

    /// Notes that a slot is about to hold something. Slots beyond the last are not recorded.
    pub fn set(&self, slot: u64) {
        let Some((word, top)) = self.locate(slot) else { return };
        // Release, both: pair with the Acquires in `next`.
        word.fetch_or(1 << (slot % 64), Ordering::Release);
        top.fetch_or(1 << (slot / 64 % 64), Ordering::Release);
    }

    /// Notes that a slot holds nothing any more.
    pub fn clear(&self, slot: u64) {
        let Some((word, top)) = self.locate(slot) else { return };
        // Release, both: a reader that finds the bit clear sees the slot empty. Only the one writer sets and clears.
        let before = word.fetch_and(!(1 << (slot % 64)), Ordering::Release);
        if before & !(1 << (slot % 64)) == 0 {
            top.fetch_and(!(1 << (slot / 64 % 64)), Ordering::Release);
        }
    }

    /// The first slot at or after `from` that may hold something.
    #[inline]
    #[must_use]
    pub fn next(&self, from: u64) -> Option<u64> {
        let word = from / 64;
        if let Some(slot) = self.in_word(word, from % 64) {
            return Some(slot);
        }
        let mut next = self.next_word(word + 1)?;
        loop {
            if let Some(slot) = self.in_word(next, 0) {
                return Some(slot);
            }
            next = self.next_word(next + 1)?;
        }
    }

    /// The first set bit of a word at or after `bit`, as a slot.
    fn in_word(&self, word: u64, bit: u64) -> Option<u64> {
        // Acquire: pairs with `set`.
        let bits = self.words.get(usize::try_from(word).ok()?)?.load(Ordering::Acquire) & (u64::MAX << bit);
        (bits != 0).then(|| word * 64 + u64::from(bits.trailing_zeros()))
    }

    /// The first word at or after `from` that may have a bit.
    fn next_word(&self, from: u64) -> Option<u64> {
        let start = usize::try_from(from / 64).ok()?;
        (from / 64..).zip(self.tops.get(start..)?).find_map(|(index, top)| {
            let ahead = if index == from / 64 { u64::MAX << (from % 64) } else { u64::MAX };
            // Acquire: pairs with `set`.
            let bits = top.load(Ordering::Acquire) & ahead;
            (bits != 0).then(|| index * 64 + u64::from(bits.trailing_zeros()))
        })
    }

    /// The words that record a slot.
    fn locate(&self, slot: u64) -> Option<(&AtomicU64, &AtomicU64)> {
        let word = usize::try_from(slot / 64).ok()?;
        Some((self.words.get(word)?, self.tops.get(word / 64)?))
    }
}

impl Default for Occupancy {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn all(occupancy: &Occupancy) -> Vec<u64> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(slot) = occupancy.next(from) {
            found.push(slot);
            from = slot + 1;
        }
        found
    }

    #[test]
    fn walks_find_what_was_set_and_nothing_else() {
        let occupancy = Occupancy::new();
        let slots = BTreeSet::from([0, 1, 63, 64, 4095, 4096, 20_000, Occupancy::SLOTS - 1]);
        slots.iter().for_each(|slot| occupancy.set(*slot));
        assert_eq!(all(&occupancy), slots.iter().copied().collect::<Vec<_>>());
        for slot in slots {
            occupancy.clear(slot);
            assert!(!all(&occupancy).contains(&slot));
        }
        assert_eq!(occupancy.next(0), None);
    }

    #[test]
    fn whatever_is_cleared_the_others_stay() {
        let slots = BTreeSet::from([0, 1, 63, 64, 4095, 4096, 20_000, Occupancy::SLOTS - 1]);
        for gone in &slots {
            let occupancy = Occupancy::new();
            slots.iter().for_each(|slot| occupancy.set(*slot));
            occupancy.clear(*gone);
            assert!(all(&occupancy).iter().eq(slots.iter().filter(|slot| *slot != gone)));
        }
    }

    #[test]
    fn neighbours_of_what_is_cleared_are_found_from_far_away() {
        let occupancy = Occupancy::new();
        let (word, far) = (4096 + 128, 3 * 4096);
        [word, word + 1, word + 63, far].iter().for_each(|slot| occupancy.set(*slot));
        for (cleared, next) in [(word, word + 1), (word + 63, word + 1), (word + 1, far)] {
            occupancy.clear(cleared);
            // Twice, for a slot may be noted as empty again.
            occupancy.clear(cleared);
            assert_eq!(occupancy.next(0), Some(next));
            assert_eq!(occupancy.next(far + 1), None);
        }
    }

    /// A state that a reader may see while the writer clears a slot: the word is empty, the bit above it is still set.
    #[test]
    fn a_stale_bit_hides_nothing() {
        let occupancy = Occupancy::new();
        occupancy.set(700);
        for word in [0, 2, 5, 20] {
            occupancy.tops[0].fetch_or(1 << word, Ordering::Relaxed);
        }
        assert_eq!([0, 150, 700].map(|from| occupancy.next(from)), [Some(700); 3]);
        assert_eq!([701, 1280, 1281].map(|from| occupancy.next(from)), [None; 3]);
    }

    /// The cost of a walk: after the last slot is cleared it does not read words any more.
    #[test]
    fn nothing_is_left_of_what_was_cleared() {
        let occupancy = Occupancy::new();
        let bits =
            |words: &[AtomicU64]| words.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum();
        let set = || -> (u32, u32) { (bits(&occupancy.tops), bits(&occupancy.words)) };
        let slots = [5, 6, 64, 4095, 4096, Occupancy::SLOTS - 1];
        slots.iter().for_each(|slot| occupancy.set(*slot));
        assert_eq!(set(), (5, 6));
        slots.iter().for_each(|slot| occupancy.clear(*slot));
        assert_eq!(set(), (0, 0));
    }

    #[test]
    fn slots_beyond_the_last_are_ignored() {
        let occupancy = Occupancy::new();
        occupancy.set(Occupancy::SLOTS);
        occupancy.set(u64::MAX);
        occupancy.clear(u64::MAX);
        assert_eq!(occupancy.next(0), None);
        assert_eq!(occupancy.next(u64::MAX), None);
    }

    #[test]
    fn strides_cover_the_table() {
        assert_eq!(Occupancy::stride(8), 1);
        assert_eq!(Occupancy::stride(1 << 19), 16);
        assert_eq!(Occupancy::stride((1 << 15) + 1), 2);
        assert_eq!(Occupancy::stride(0), 1);
    }
}
