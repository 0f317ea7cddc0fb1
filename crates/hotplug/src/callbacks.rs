//! The answers that a kernel's callbacks may give, and a loop that calls all of them even if one unwinds.
//!
//! # Invariants
//!
//! 1. Every callback that has to be called is called, even if an earlier one unwinds; then unwinding continues. (If a
//!    second callback unwinds meanwhile, the program aborts, as everywhere in Rust.)

use sparsemem_core::PfnRange;

/// The reason why a notifier or an allocator refuses.
///
/// Source: the reasons that Linux prints when offlining fails (M-16), as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The frames are in use, and their users can neither be moved nor end.
    #[error("in use")]
    InUse,
    /// The frames hold data of a kind that cannot be moved.
    #[error("not movable")]
    Unmovable,
    /// The frames are known to be broken.
    #[error("poisoned")]
    Poisoned,
    /// The allocator or notifier cannot get memory that it needs.
    #[error("no memory for it")]
    OutOfMemory,
    /// The caller was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// A rule of the kernel, in the kernel's words.
    #[error("{0}")]
    Policy(&'static str),
}

/// An allocator's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frames {frames}: {reason}")]
pub struct FramesRefused {
    /// The frames that are refused.
    pub frames: PfnRange,
    /// The reason.
    pub reason: Reason,
}

/// Calls `act` with every item.
pub(crate) fn for_every<I: Iterator>(items: I, act: impl FnMut(I::Item)) {
    let mut rest = Rest { items, act };
    rest.go_on();
}

/// Items for which `act` has not been called yet.
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
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::vec::Vec;

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
