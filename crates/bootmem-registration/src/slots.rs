//! A sorted list in a slice that the caller owns.
//!
//! # Invariants
//!
//! 1. The first `len` slots are in use; the slots after them have no meaning.

/// The list is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// The number of items that the list has room for.
    pub(crate) capacity: usize,
}

/// A list in borrowed slots.
#[derive(Debug)]
pub(crate) struct Slots<'r, T> {
    slots: &'r mut [T],
    len: usize,
}

impl<'r, T: Copy> Slots<'r, T> {
    /// An empty list.
    pub(crate) const fn new(slots: &'r mut [T]) -> Self {
        Self { slots, len: 0 }
    }

    /// The items.
    pub(crate) fn items(&self) -> &[T] {
        self.slots.get(..self.len).unwrap_or_default()
    }

    /// Inserts an item before the one at `at`. The items after it move, so inserting is cheap at the end of the list.
    pub(crate) fn insert(&mut self, at: usize, item: T) -> Result<(), Full> {
        let capacity = self.slots.len();
        let moved = self.slots.get_mut(at..=self.len).ok_or(Full { capacity })?;
        moved.rotate_right(1);
        if let Some(first) = moved.first_mut() {
            *first = item;
        }
        self.len += 1;
        Ok(())
    }

    /// Removes and returns the item at `at`.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let moved = self.slots.get_mut(at..self.len)?;
        let item = *moved.first()?;
        moved.rotate_left(1);
        self.len -= 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_order_until_the_list_is_full() {
        let mut slots = [0; 3];
        let mut list = Slots::new(&mut slots);
        list.insert(0, 5).unwrap();
        list.insert(0, 3).unwrap();
        list.insert(1, 4).unwrap();
        assert_eq!(list.items(), [3, 4, 5]);
        assert_eq!(list.insert(1, 9), Err(Full { capacity: 3 }));
        assert_eq!(list.remove(3), None);
        assert_eq!((list.remove(1), list.items()), (Some(4), [3, 5].as_slice()));
        assert_eq!((list.remove(1), list.remove(0), list.remove(0)), (Some(5), Some(3), None));
    }
}
