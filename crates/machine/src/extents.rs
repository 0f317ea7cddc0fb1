//! Free memory of one node: ranges that are joined as soon as they are adjacent.
//!
//! # Invariants
//!
//! 1. No two extents overlap or are adjacent, so a set of free bytes has exactly one representation.
//! 2. `by_class[n]` holds the starts of exactly the extents of `2^n` up to `2^(n+1)` bytes.

use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::{ByteLen, PhysAddr, PhysRange};

/// The end of the memory that a block is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The lowest place that fits.
    Bottom,
    /// The highest place that fits.
    Top,
}

/// A set of free bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extents {
    /// The end of each extent, by its start.
    by_start: BTreeMap<u64, u64>,
    /// The starts of extents, by class; only classes with extents have a key.
    by_class: BTreeMap<u32, BTreeSet<u64>>,
}

/// The class of a length, which is not zero.
const fn class(len: u64) -> u32 {
    63 - len.leading_zeros()
}

impl Extents {
    /// The free ranges, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.by_start.iter().map(|(start, end)| (*start, *end))
    }

    /// Adds bytes that are not in the set.
    pub(crate) fn insert(&mut self, range: PhysRange) {
        let (mut start, mut end) = (range.start().get(), range.end().get());
        if range.is_empty() {
            return;
        }
        if let Some((below, touching)) = self.by_start.range(..start).next_back()
            && *touching == start
        {
            start = *below;
            self.forget(start);
        }
        if let Some(above) = self.by_start.get(&end).copied() {
            self.forget(end);
            end = above;
        }
        self.note(start, end);
    }

    /// Removes `bytes` bytes at a multiple of `align`, a power of two, from the chosen end. Nothing changes if no
    /// extent fits.
    pub(crate) fn take(&mut self, bytes: u64, align: u64, from: End) -> Option<PhysRange> {
        let start = match from {
            End::Bottom => self.lowest(bytes, align),
            End::Top => self.highest(bytes, align),
        }?;
        self.carve(start, start + bytes);
        PhysRange::from_start_count(PhysAddr::new(start), ByteLen::new(bytes))
    }

    /// The lowest start that fits: the best of the first fit in each class.
    fn lowest(&self, bytes: u64, align: u64) -> Option<u64> {
        let fit = |start: &u64| {
            let place = start.checked_next_multiple_of(align)?;
            (place.checked_add(bytes)? <= *self.by_start.get(start)?).then_some(place)
        };
        let classes = self.by_class.range(class(bytes)..);
        classes.filter_map(|(_, starts)| starts.iter().find_map(fit)).min()
    }

    /// The highest start that fits: the best of the last fit in each class.
    fn highest(&self, bytes: u64, align: u64) -> Option<u64> {
        let fit = |start: &u64| {
            let place = self.by_start.get(start)?.checked_sub(bytes)? & !(align - 1);
            (place >= *start).then_some(place)
        };
        let classes = self.by_class.range(class(bytes)..);
        classes.filter_map(|(_, starts)| starts.iter().rev().find_map(fit)).max()
    }

    /// Removes the bytes from `start` to `end` from the extent that holds them.
    fn carve(&mut self, start: u64, end: u64) {
        let Some((outer, outer_end)) = self.by_start.range(..=start).next_back().map(|(s, e)| (*s, *e))
        else {
            return;
        };
        self.forget(outer);
        self.note(outer, start);
        self.note(end, outer_end);
    }

    /// Records an extent, unless it is empty.
    fn note(&mut self, start: u64, end: u64) {
        if start < end {
            self.by_start.insert(start, end);
            self.by_class.entry(class(end - start)).or_default().insert(start);
        }
    }

    /// Removes an extent.
    fn forget(&mut self, start: u64) {
        let Some(end) = self.by_start.remove(&start) else { return };
        let class = class(end - start);
        let Some(starts) = self.by_class.get_mut(&class) else { return };
        starts.remove(&start);
        if starts.is_empty() {
            self.by_class.remove(&class);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
    }

    fn set(ranges: &[(u64, u64)]) -> Extents {
        let mut set = Extents::default();
        ranges.iter().for_each(|(start, end)| set.insert(range(*start, *end)));
        set
    }

    fn all(set: &Extents) -> Vec<(u64, u64)> {
        set.iter().collect()
    }

    #[test]
    fn touching_ranges_join_on_both_sides() {
        assert_eq!(all(&set(&[(0, 16), (32, 48), (16, 32)])), [(0, 48)]);
        assert_eq!(all(&set(&[(32, 48), (0, 16)])), [(0, 16), (32, 48)]);
        assert!(set(&[(16, 16)]).iter().next().is_none());
    }

    #[test]
    fn both_ends_respect_alignment() {
        let mut set = set(&[(16, 256), (272, 512)]);
        assert_eq!(set.take(64, 64, End::Bottom), Some(range(64, 128)));
        assert_eq!(set.take(80, 64, End::Top), Some(range(384, 464)));
        assert_eq!(all(&set), [(16, 64), (128, 256), (272, 384), (464, 512)]);
        assert_eq!(set.take(32, 16, End::Bottom), Some(range(16, 48)));
        assert_eq!(set.take(48, 16, End::Top), Some(range(464, 512)));
    }

    #[test]
    fn a_better_place_in_a_smaller_class_wins() {
        let mut set = set(&[(0, 1 << 20), (2 << 20, (2 << 20) + 96)]);
        assert_eq!(set.take(80, 16, End::Top), Some(range((2 << 20) + 16, (2 << 20) + 96)));
        let mut set = self::set(&[(64, 192), (1 << 20, 2 << 20)]);
        assert_eq!(set.take(128, 16, End::Bottom), Some(range(64, 192)));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut set = set(&[(16, 128), (160, 224)]);
        assert_eq!(set.take(128, 16, End::Bottom), None);
        assert_eq!(set.take(64, 128, End::Top), None);
        assert_eq!(set.take(u64::MAX, 16, End::Top), None);
        assert_eq!(all(&set), [(16, 128), (160, 224)]);
    }
}
