//! Free memory that may hold old bytes. It is cleared when it is allocated again, or when there is much of it. It is
//! not cleared when it is freed, because a host call for every freed frame would cost more than the rest of a
//! teardown.
//!
//! # Invariants
//!
//! 1. Extents neither overlap nor are adjacent.
//! 2. All of it is free: a range is removed before it is allocated.

use std::collections::BTreeMap;

use sparsemem_core::{PhysAddr, PhysRange};

/// The largest number of bytes that may wait to be cleared.
const PATIENCE: u64 = 64 << 20;

/// Extents by their start, with their ends.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    extents: BTreeMap<PhysAddr, PhysAddr>,
    bytes: u64,
}

impl Dirty {
    /// Adds a range that was just freed, and joins it with its neighbours.
    pub(crate) fn insert(&mut self, range: PhysRange) {
        let (mut start, mut end) = (range.start(), range.end());
        if let Some((before, _)) = self.extents.range(..start).next_back().filter(|(_, end)| **end == start) {
            start = *before;
        }
        if let Some(after) = self.extents.remove(&end) {
            end = after;
        }
        self.extents.insert(start, end);
        self.bytes += range.count().get();
    }

    /// Removes every extent that `range` touches, as a whole, so that the next request nearby needs no clearing.
    pub(crate) fn claim(&mut self, range: PhysRange) -> Vec<PhysRange> {
        let mut claimed = Vec::new();
        while let Some((start, end)) = self.extents.range(..range.end()).next_back() {
            let extent = PhysRange::new(*start, *end).unwrap_or_default();
            if !extent.overlaps(range) {
                break;
            }
            self.remove(extent);
            claimed.push(extent);
        }
        claimed
    }

    /// Removes everything, if there is more than may wait.
    pub(crate) fn claim_excess(&mut self) -> Vec<PhysRange> {
        if self.bytes > PATIENCE { self.claim_all() } else { Vec::new() }
    }

    /// Removes everything.
    pub(crate) fn claim_all(&mut self) -> Vec<PhysRange> {
        self.bytes = 0;
        let extents = std::mem::take(&mut self.extents).into_iter();
        extents.filter_map(|(start, end)| PhysRange::new(start, end).ok()).collect()
    }

    fn remove(&mut self, extent: PhysRange) {
        self.extents.remove(&extent.start());
        self.bytes -= extent.count().get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
    }

    #[test]
    fn neighbours_join_and_are_claimed_together() {
        let mut dirty = Dirty::default();
        dirty.insert(range(0x1000, 0x2000));
        dirty.insert(range(0x3000, 0x4000));
        dirty.insert(range(0x2000, 0x3000));
        dirty.insert(range(0x8000, 0x9000));
        assert_eq!(dirty.claim(range(0x2800, 0x2810)), [range(0x1000, 0x4000)]);
        assert_eq!(dirty.claim(range(0x0, 0x8000)), []);
        assert_eq!(dirty.claim_all(), [range(0x8000, 0x9000)]);
    }

    #[test]
    fn a_range_over_several_extents_claims_them_all() {
        let mut dirty = Dirty::default();
        dirty.insert(range(0x1000, 0x2000));
        dirty.insert(range(0x3000, 0x4000));
        assert_eq!(dirty.claim(range(0x1800, 0x3800)).len(), 2);
        assert_eq!(dirty.claim(range(0, u64::MAX)), []);
    }

    #[test]
    fn excess_is_claimed_at_once() {
        let mut dirty = Dirty::default();
        dirty.insert(range(0, PATIENCE));
        assert_eq!(dirty.claim_excess(), []);
        dirty.insert(range(PATIENCE + 0x1000, PATIENCE + 0x2000));
        assert_eq!(dirty.claim_excess().len(), 2);
        assert_eq!(dirty.claim_excess(), []);
    }
}
