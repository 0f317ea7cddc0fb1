//! Makes overlapping ranges disjoint: at each address the greatest of the keys there counts.
//!
//! # Invariants
//!
//! 1. The result is sorted, free of overlaps and of empty ranges, and does not depend on the order of the input.
//! 2. Cost is `n log n` in the number of ranges, whatever the addresses.

use std::collections::BTreeMap;

use sparsemem_core::PhysRange;

use crate::addresses;

/// The disjoint pieces of `items`, each with the greatest key of the ranges that cover it. Neighbours with equal keys
/// are one piece.
pub(crate) fn greatest<K: Ord + Copy>(items: &[(PhysRange, K)]) -> Vec<(PhysRange, K)> {
    let mut active: BTreeMap<K, usize> = BTreeMap::new();
    let mut pieces = Vec::new();
    let mut from = 0;
    for (at, change, key) in borders(items) {
        if let Some((&top, _)) = active.last_key_value() {
            push(&mut pieces, addresses::between(from, at), top);
        }
        from = at;
        match change {
            Border::Opens => *active.entry(key).or_default() += 1,
            Border::Closes => close(&mut active, &key),
        }
    }
    pieces
}

/// A range opens or closes at an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Border {
    Opens,
    Closes,
}

/// Every start and end of a range, lowest first.
fn borders<K: Ord + Copy>(items: &[(PhysRange, K)]) -> Vec<(u64, Border, K)> {
    let mut borders = Vec::with_capacity(items.len() * 2);
    for (range, key) in items.iter().filter(|(range, _)| !range.is_empty()) {
        borders.push((range.start().get(), Border::Opens, *key));
        borders.push((range.end().get(), Border::Closes, *key));
    }
    borders.sort_unstable();
    borders
}

/// Counts one open range of that key less.
fn close<K: Ord>(active: &mut BTreeMap<K, usize>, key: &K) {
    match active.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            active.remove(key);
        }
    }
}

/// Appends a range that lies above the others, or lengthens the last one.
pub(crate) fn push<K: PartialEq>(pieces: &mut Vec<(PhysRange, K)>, range: PhysRange, key: K) {
    if range.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some((last, last_key)) if last.end() == range.start() && *last_key == key => {
            *last = addresses::between(last.start().get(), range.end().get());
        }
        _ => pieces.push((range, key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::between as range;

    #[test]
    fn the_greater_key_cuts_the_lesser_one() {
        let items = [(range(0, 10), 1), (range(3, 5), 2), (range(10, 12), 1), (range(4, 4), 9)];
        assert_eq!(greatest(&items), [(range(0, 3), 1), (range(3, 5), 2), (range(5, 12), 1)]);
    }

    #[test]
    fn ranges_of_equal_keys_end_on_their_own() {
        let items = [(range(0, 10), 1), (range(2, 4), 1), (range(20, u64::MAX), 1)];
        assert_eq!(greatest(&items), [(range(0, 10), 1), (range(20, u64::MAX), 1)]);
    }
}
