//! Calling several outsiders when one of them may unwind.
//!
//! # Invariants
//!
//! 1. Who has to be called is called, also if one before it unwinds; then unwinding goes on. (If a second one unwinds
//!    meanwhile, the program aborts, as everywhere in Rust.)

/// Calls `act` with every item.
pub(crate) fn for_every<I: Iterator>(items: I, act: impl FnMut(I::Item)) {
    let mut rest = Rest { items, act };
    rest.go_on();
}

/// Items that are still to be acted on.
struct Rest<I: Iterator, F: FnMut(I::Item)> {
    items: I,
    act: F,
}

impl<I: Iterator, F: FnMut(I::Item)> Rest<I, F> {
    fn go_on(&mut self) {
        for item in self.items.by_ref() {
            (self.act)(item);
        }
    }
}

impl<I: Iterator, F: FnMut(I::Item)> Drop for Rest<I, F> {
    fn drop(&mut self) {
        self.go_on();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::vec::Vec;

    use super::*;

    #[test]
    fn all_are_called_whoever_unwinds() {
        for bad in 0..4 {
            let mut called = Vec::new();
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                for_every(0..3, |item| {
                    called.push(item);
                    assert_ne!(item, bad);
                });
            }));
            assert_eq!((called.as_slice(), unwound.is_err()), ([0, 1, 2].as_slice(), bad < 3));
        }
    }
}
