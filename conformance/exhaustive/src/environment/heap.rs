//! Bookkeeping of the allocated parts of the arena, by offsets.
//!
//! # Invariants
//!
//! 1. A slot is allocated at most once at a time. It is freed with the layout and the origin that it was allocated
//!    with; other frees are refused.
//! 2. The digest depends only on the set of allocated slots: equal sets have equal digests.

use std::alloc::Layout;

use sparsemem_core::Origin;

/// The unit of the bookkeeping: every slot begins at a multiple of it.
const GRAIN: usize = 64;

/// The purpose of an allocated slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Descriptors.
    Memmap,
    /// Usages, roots, page tables.
    Other,
}

/// An allocated slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) layout: Layout,
    pub(super) origin: Origin,
    pub(super) used_for: Use,
}

/// Freed slots of one layout.
struct Shelf {
    layout: Layout,
    free: Vec<usize>,
}

/// The slots of an arena.
pub(super) struct Heap {
    len: usize,
    /// The offset from which on slots were never allocated.
    next: usize,
    shelves: Vec<Shelf>,
    /// Allocated slots, indexed by offset in units of [`GRAIN`].
    out: Vec<Option<Slot>>,
    digest: u64,
    counts: [u16; 2],
}

impl Heap {
    /// A heap whose arena of `len` bytes is completely free.
    pub(super) fn new(len: usize) -> Self {
        Self { len, next: 0, shelves: Vec::new(), out: vec![None; len / GRAIN], digest: 0, counts: [0; 2] }
    }

    /// Allocates a slot: the one that was freed last, or a new one.
    pub(super) fn take(&mut self, slot: Slot) -> Option<usize> {
        let offset = match self.shelf(slot.layout).free.pop() {
            Some(offset) => offset,
            None => self.fresh(slot.layout)?,
        };
        *self.out.get_mut(offset / GRAIN)? = Some(slot);
        self.digest ^= mark(offset, slot);
        self.counts[slot.used_for as usize] += 1;
        Some(offset)
    }

    /// Frees a slot, if it is allocated with this layout and origin.
    pub(super) fn give(&mut self, offset: usize, layout: Layout, origin: Origin) -> bool {
        let Some(slot) = self.slot(offset).filter(|slot| slot.layout == layout && slot.origin == origin)
        else {
            return false;
        };
        self.out[offset / GRAIN] = None;
        self.digest ^= mark(offset, slot);
        self.counts[slot.used_for as usize] -= 1;
        self.shelf(layout).free.push(offset);
        true
    }

    /// The slot that is allocated at an offset.
    pub(super) fn slot(&self, offset: usize) -> Option<Slot> {
        if !offset.is_multiple_of(GRAIN) {
            return None;
        }
        *self.out.get(offset / GRAIN)?
    }

    /// The number of slots that are allocated for a purpose.
    pub(super) const fn count(&self, used_for: Use) -> u16 {
        self.counts[used_for as usize]
    }

    /// A number that depends on the set of allocated slots.
    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    fn shelf(&mut self, layout: Layout) -> &mut Shelf {
        let known = self.shelves.iter().position(|shelf| shelf.layout == layout);
        let index = known.unwrap_or_else(|| {
            self.shelves.push(Shelf { layout, free: Vec::new() });
            self.shelves.len() - 1
        });
        &mut self.shelves[index]
    }

    fn fresh(&mut self, layout: Layout) -> Option<usize> {
        let offset = self.next.next_multiple_of(layout.align().max(GRAIN));
        let end = offset.checked_add(layout.size()).filter(|end| *end <= self.len)?;
        self.next = end;
        Some(offset)
    }
}

/// A number for one slot (the finaliser of SplitMix64).
fn mark(offset: usize, slot: Slot) -> u64 {
    let mixed = offset as u64 ^ (slot.layout.size() as u64) << 24 ^ u64::from(slot.origin.code()) << 56;
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(size: usize) -> Slot {
        let layout = Layout::from_size_align(size, 64).unwrap();
        Slot { layout, origin: Origin::Runtime, used_for: Use::Other }
    }

    #[test]
    fn a_slot_comes_back_once_and_as_it_went() {
        let mut heap = Heap::new(4096);
        let at = heap.take(slot(100)).unwrap();
        assert_ne!(heap.digest(), 0);
        assert!(!heap.give(at, slot(100).layout, Origin::Boot));
        assert!(!heap.give(at, slot(101).layout, Origin::Runtime));
        assert!(!heap.give(at + 64, slot(100).layout, Origin::Runtime));
        assert!(heap.give(at, slot(100).layout, Origin::Runtime));
        assert!(!heap.give(at, slot(100).layout, Origin::Runtime));
        assert_eq!((heap.digest(), heap.count(Use::Other)), (0, 0));
    }

    #[test]
    fn slots_do_not_overlap_and_the_arena_ends() {
        let mut heap = Heap::new(256);
        let taken: Vec<_> = std::iter::from_fn(|| heap.take(slot(100))).collect();
        assert_eq!(taken, [0, 128]);
    }
}
