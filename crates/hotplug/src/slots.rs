//! Items in order, in memory that the caller supplies.
//!
//! # Invariants
//!
//! 1. The first `len` slots hold items, and the others are `None`.
//! 2. A [`Change`] was prepared with enough room, so it cannot fail.

/// The supplied memory has no room for another item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{taken} of {capacity} slots are taken and {wanted} more are needed; supply more at the start")]
pub struct Full {
    /// Slots that were supplied.
    pub capacity: usize,
    /// Slots that hold an item.
    pub taken: usize,
    /// Additional slots that are needed.
    pub wanted: usize,
}

/// Items in order.
#[derive(Debug)]
pub(crate) struct Slots<'a, T> {
    slots: &'a mut [Option<T>],
    len: usize,
}

impl<'a, T: Copy> Slots<'a, T> {
    /// A list without items; earlier contents of the slots are dropped.
    pub(crate) fn new(slots: &'a mut [Option<T>]) -> Self {
        slots.fill(None);
        Self { slots, len: 0 }
    }

    /// The items in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        self.slots.iter().take(self.len).flatten()
    }

    /// The item at an index.
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.slots.get(at)?.as_ref()
    }

    /// Replaces the item at an index; does nothing if the slot is empty.
    pub(crate) fn replace(&mut self, at: usize, item: T) {
        if let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.is_some()) {
            *slot = Some(item);
        }
    }

    /// Removes and returns the item at an index, if there is one.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let removed = *self.get(at)?;
        if let Ok(change) = self.change(at, 1, 0) {
            change.commit([]);
        }
        Some(removed)
    }

    /// The items in `count` slots from `at`, or `None` if fewer slots hold an item.
    pub(crate) fn run_mut(&mut self, at: usize, count: usize) -> Option<&mut [Option<T>]> {
        let end = at.checked_add(count).filter(|end| *end <= self.len)?;
        self.slots.get_mut(at..end)
    }

    /// The index of the first item for which `before` does not hold; it must hold for a prefix.
    pub(crate) fn place(&self, before: impl Fn(&T) -> bool) -> usize {
        self.slots.partition_point(|slot| slot.as_ref().is_some_and(&before))
    }

    /// The number of slots that hold an item, and the number of slots.
    pub(crate) const fn usage(&self) -> (usize, usize) {
        (self.len, self.slots.len())
    }

    /// Prepares to replace `remove` items from index `at` by `insert` others.
    ///
    /// # Errors
    ///
    /// [`Full`] if the supplied memory has too few slots.
    pub(crate) fn change(&mut self, at: usize, remove: usize, insert: usize) -> Result<Change<'_, T>, Full> {
        let (taken, capacity) = self.usage();
        let full = Full { capacity, taken, wanted: insert.saturating_sub(remove) };
        let end = taken.saturating_sub(remove).checked_add(insert).ok_or(full)?.max(taken);
        let affected = self.slots.get_mut(at..end).ok_or(full)?;
        Ok(Change { affected, len: &mut self.len, remove, insert })
    }
}

/// A change that cannot fail any more.
#[must_use = "nothing changes before the commit"]
#[derive(Debug)]
pub(crate) struct Change<'s, T> {
    /// The slots from the first item of the change to the last slot that holds an item before or after it.
    affected: &'s mut [Option<T>],
    len: &'s mut usize,
    remove: usize,
    insert: usize,
}

impl<T: Copy> Change<'_, T> {
    /// Makes the change. `items` must have as many items as were announced.
    pub(crate) fn commit(self, items: impl IntoIterator<Item = T>) {
        let Self { affected, len, remove, insert } = self;
        let (grow, shrink) = (insert.saturating_sub(remove), remove.saturating_sub(insert));
        affected.rotate_right(grow);
        affected.rotate_left(shrink);
        for slot in affected.iter_mut().rev().take(shrink) {
            *slot = None;
        }
        for (slot, item) in affected.iter_mut().take(insert).zip(items) {
            *slot = Some(item);
        }
        *len = len.saturating_add(grow).saturating_sub(shrink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn items(slots: &Slots<'_, u8>) -> Vec<u8> {
        slots.iter().copied().collect()
    }

    #[test]
    fn items_are_replaced_in_the_middle() {
        let mut memory = [None; 6];
        let mut slots = Slots::new(&mut memory);
        slots.change(0, 0, 4).unwrap().commit([1, 2, 3, 4]);
        slots.change(1, 1, 3).unwrap().commit([7, 8, 9]);
        assert_eq!(items(&slots), [1, 7, 8, 9, 3, 4]);
        slots.change(0, 4, 1).unwrap().commit([5]);
        assert_eq!(items(&slots), [5, 3, 4]);
        assert_eq!(slots.remove(1), Some(3));
        assert_eq!(slots.remove(2), None);
        slots.replace(1, 6);
        slots.replace(2, 6);
        assert_eq!(items(&slots), [5, 6]);
        assert_eq!(slots.place(|item| *item < 6), 1);
    }

    #[test]
    fn a_full_store_says_how_much_is_missing() {
        let mut memory = [None; 2];
        let mut slots = Slots::new(&mut memory);
        slots.change(0, 0, 2).unwrap().commit([1, 2]);
        assert_eq!(slots.change(1, 0, 3).unwrap_err(), Full { capacity: 2, taken: 2, wanted: 3 });
        assert!(slots.change(0, 2, 2).is_ok(), "replacing needs no room");
        assert!(slots.run_mut(1, 2).is_none() && slots.run_mut(1, usize::MAX).is_none());
    }
}
