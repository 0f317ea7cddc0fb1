//! The blocks that an environment has given out, so that it can refuse all others.

#[cfg(feature = "alloc")]
use alloc::collections::btree_map::Entry;
use core::alloc::Layout;

use sparsemem_core::PhysAddr;

/// A block that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its physical address.
    pub at: PhysAddr,
    /// Its size and alignment.
    pub layout: Layout,
}

/// A list of blocks that are out.
///
/// # Safety
///
/// [`Ledger::strike`] returns true only for a block that was entered and has not been struck since. No method unwinds.
pub unsafe trait Ledger {
    /// Enters a block; false if there is no room for it, or another one at its address, and nothing has changed then.
    #[must_use = "a block that is not entered cannot be taken back"]
    fn enter(&mut self, block: Given) -> bool;

    /// Strikes a block out; false if it is not there.
    #[must_use = "a block that was not there must be refused"]
    fn strike(&mut self, block: Given) -> bool;
}

/// A ledger in memory of the kernel's choice, before there is a heap: sorted by address.
///
/// A section takes two entries, for its descriptors and its usage, and a root of the table one.
///
/// # Cost
///
/// A binary search, and a move of the entries after the found one.
#[derive(Debug)]
pub struct SliceLedger<'s> {
    entries: &'s mut [Option<Given>],
    len: usize,
}

impl<'s> SliceLedger<'s> {
    /// An empty ledger with room for as many blocks as the slice has entries, which it overwrites.
    #[must_use]
    pub fn new(entries: &'s mut [Option<Given>]) -> Self {
        entries.fill(None);
        Self { entries, len: 0 }
    }

    /// The place of a block, or where it would be.
    fn place(&self, at: PhysAddr) -> usize {
        let used = self.entries.get(..self.len).unwrap_or_default();
        used.partition_point(|entry| entry.is_some_and(|entry| entry.at < at))
    }
}

// SAFETY: a block is struck only if an equal one is found, which is removed then. The slices are never out of bounds.
unsafe impl Ledger for SliceLedger<'_> {
    fn enter(&mut self, block: Given) -> bool {
        let (place, len) = (self.place(block.at), self.len);
        if self.entries.get(place).is_some_and(|entry| entry.is_some_and(|entry| entry.at == block.at)) {
            return false;
        }
        let Some(tail) = self.entries.get_mut(place..=len) else { return false };
        tail.rotate_right(1);
        tail.first_mut().into_iter().for_each(|entry| *entry = Some(block));
        self.len += 1;
        true
    }

    fn strike(&mut self, block: Given) -> bool {
        let place = self.place(block.at);
        let Some(tail) = self.entries.get_mut(place..self.len) else { return false };
        if tail.first() != Some(&Some(block)) {
            return false;
        }
        tail.rotate_left(1);
        tail.last_mut().into_iter().for_each(|entry| *entry = None);
        self.len -= 1;
        true
    }
}

#[cfg(feature = "alloc")]
// SAFETY: a block is struck only if it is there with this layout. A heap that is exhausted ends the kernel and does not
// unwind.
unsafe impl Ledger for alloc::collections::BTreeMap<PhysAddr, Layout> {
    fn enter(&mut self, block: Given) -> bool {
        match self.entry(block.at) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(block.layout);
                true
            }
        }
    }

    fn strike(&mut self, block: Given) -> bool {
        self.get(&block.at) == Some(&block.layout) && self.remove(&block.at).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn given(at: u64, size: usize) -> Given {
        Given { at: PhysAddr::new(at), layout: Layout::from_size_align(size, 8).unwrap() }
    }

    #[test]
    fn both_ledgers_know_the_same_blocks() {
        let (mut entries, mut map) = ([None; 40], BTreeMap::new());
        let mut slice = SliceLedger::new(&mut entries);
        let mut random = 1_u64;
        for _ in 0..4000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let block = given((random >> 33) % 40 * 64, 8 << (random >> 60 & 1));
            if random >> 40 & 1 == 0 && !map.contains_key(&block.at) {
                assert!(slice.enter(block) && map.enter(block));
            } else {
                assert_eq!(slice.strike(block), map.strike(block), "{block:?}");
            }
            assert_eq!(slice.len, map.len());
        }
        assert!(slice.len > 0);
    }

    /// A block of another layout at the address would take the place of the first, and that could not be given back.
    #[test]
    fn no_ledger_has_two_blocks_at_one_address() {
        let (mut entries, mut map) = ([None; 4], BTreeMap::new());
        let mut slice = SliceLedger::new(&mut entries);
        for ledger in [&mut slice as &mut dyn Ledger, &mut map] {
            assert!(ledger.enter(given(8, 8)) && !ledger.enter(given(8, 16)) && !ledger.enter(given(8, 8)));
            assert!(!ledger.strike(given(8, 16)), "it was never entered");
            assert!(ledger.strike(given(8, 8)) && !ledger.strike(given(8, 8)));
        }
    }

    #[test]
    fn a_full_ledger_says_so_and_forgets_nothing() {
        let mut entries = [None; 2];
        let mut ledger = SliceLedger::new(&mut entries);
        assert!(ledger.enter(given(8, 8)) && ledger.enter(given(0, 8)));
        assert!(!ledger.enter(given(4, 8)));
        assert!(!ledger.strike(given(8, 16)), "another layout");
        assert!(ledger.strike(given(8, 8)) && ledger.strike(given(0, 8)) && !ledger.strike(given(0, 8)));
    }
}
