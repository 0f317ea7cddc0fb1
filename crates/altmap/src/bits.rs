//! A bitmap over words that the caller owns.
//!
//! # Invariants
//!
//! 1. Bits beyond the last word are zero and stay so; no method panics for any number.

/// Bits of a word.
const BITS: u64 = u64::BITS as u64;

/// A bitmap in borrowed words.
#[derive(Debug)]
pub(crate) struct Bits<'w> {
    words: &'w mut [u64],
}

impl<'w> Bits<'w> {
    /// An empty bitmap.
    pub(crate) fn cleared(words: &'w mut [u64]) -> Self {
        words.fill(0);
        Self { words }
    }

    /// Words that hold `bits` bits.
    pub(crate) const fn words_for(bits: u64) -> u64 {
        bits.div_ceil(BITS)
    }

    /// True if a bit is set.
    pub(crate) fn contains(&self, bit: u64) -> bool {
        self.word(bit / BITS) >> (bit % BITS) & 1 == 1
    }

    /// Sets the bits from `start` up to, not including, `end`.
    pub(crate) fn insert(&mut self, start: u64, end: u64) {
        self.change(start, end, |word, mask| word | mask);
    }

    /// Clears the bits from `start` up to, not including, `end`.
    pub(crate) fn remove(&mut self, start: u64, end: u64) {
        self.change(start, end, |word, mask| word & !mask);
    }

    /// The highest set bit from `start` up to, not including, `end`.
    pub(crate) fn last_in(&self, start: u64, end: u64) -> Option<u64> {
        masks(start, end).rev().find_map(|(index, mask)| {
            let found = self.word(index) & mask;
            (found != 0).then(|| index * BITS + u64::from(found.ilog2()))
        })
    }

    /// The lowest clear bit from `start` up to, not including, `end`.
    pub(crate) fn first_clear_in(&self, start: u64, end: u64) -> Option<u64> {
        masks(start, end).find_map(|(index, mask)| {
            let found = !self.word(index) & mask;
            (found != 0).then(|| index * BITS + u64::from(found.trailing_zeros()))
        })
    }

    /// A word, zero beyond the last.
    fn word(&self, index: u64) -> u64 {
        usize::try_from(index).ok().and_then(|index| self.words.get(index)).copied().unwrap_or(0)
    }

    /// Changes the words of a range of bits.
    fn change(&mut self, start: u64, end: u64, new: impl Fn(u64, u64) -> u64) {
        for (index, mask) in masks(start, end) {
            let Some(word) = usize::try_from(index).ok().and_then(|index| self.words.get_mut(index)) else {
                return;
            };
            *word = new(*word, mask);
        }
    }
}

/// The words of a range of bits, each with a mask of those of its bits that lie in the range.
fn masks(start: u64, end: u64) -> impl DoubleEndedIterator<Item = (u64, u64)> {
    let words = if start < end { start / BITS..end.div_ceil(BITS) } else { 0..0 };
    words.map(move |index| {
        let from = start.saturating_sub(index * BITS);
        let to = (end - index * BITS).min(BITS);
        (index, (u64::MAX << from) & (u64::MAX >> (BITS - to)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_across_words_are_set_found_and_cleared() {
        let mut words = [u64::MAX; 3];
        let mut bits = Bits::cleared(&mut words);
        assert_eq!(bits.last_in(0, 192), None);
        bits.insert(60, 130);
        assert!(bits.contains(60) && bits.contains(64) && bits.contains(129));
        assert!(!bits.contains(59) && !bits.contains(130));
        assert_eq!((bits.last_in(0, 192), bits.last_in(0, 100)), (Some(129), Some(99)));
        assert_eq!((bits.first_clear_in(60, 192), bits.first_clear_in(60, 130)), (Some(130), None));
        bits.remove(61, 129);
        assert_eq!((bits.last_in(0, 129), bits.first_clear_in(60, 192)), (Some(60), Some(61)));
    }

    #[test]
    fn setting_twice_is_setting_once_and_clearing_twice_is_clearing_once() {
        let mut words = [0; 2];
        let mut bits = Bits::cleared(&mut words);
        bits.insert(60, 70);
        bits.insert(64, 80);
        assert_eq!((bits.first_clear_in(60, 128), bits.last_in(0, 128)), (Some(80), Some(79)));
        bits.remove(0, 62);
        bits.remove(61, 65);
        assert_eq!((bits.last_in(0, 65), bits.first_clear_in(65, 128)), (None, Some(80)));
    }

    #[test]
    fn bits_beyond_the_last_word_stay_zero() {
        let mut words = [0; 1];
        let mut bits = Bits::cleared(&mut words);
        bits.insert(62, u64::MAX);
        assert!(bits.contains(63) && !bits.contains(64) && !bits.contains(u64::MAX));
        assert_eq!(bits.last_in(64, 200), None);
        bits.remove(5, 5);
        assert_eq!(bits.last_in(9, 3), None);
    }
}
