//! A model that refuses marks on command. A model of this workspace does not: it has no reason left once the frames were
//! checked. Others may have reasons of their own.

use std::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::{FramesError, MarkError, PfnRange};
use sparsemem_fixture::{Difference, Differing};

/// A model behind a reference that refuses marks.
pub type Refusing<M> = Differing<'static, M, Refusals>;

/// The mark that is refused.
pub struct Refusals {
    /// The number of marks that are granted before; then one is refused.
    granted: AtomicU64,
}

/// Nothing is going to be refused.
const NEVER: u64 = u64::MAX;

/// The model as it is, until it is told to refuse.
pub const fn refusing<M>(inner: &'static M) -> Refusing<M> {
    Differing { inner, difference: Refusals { granted: AtomicU64::new(NEVER) } }
}

impl Refusals {
    /// Refuses one call that marks frames, after `granted` others.
    pub fn refuse_mark_after(&self, granted: u64) {
        self.granted.store(granted, Ordering::Relaxed);
    }

    /// Refuses nothing any more, and says whether what was to be refused was.
    pub fn heal(&self) -> bool {
        self.granted.swap(NEVER, Ordering::Relaxed) == NEVER
    }
}

impl Difference for Refusals {
    /// The error is one that hotplug excludes before it asks.
    fn check_mark(&self, frames: PfnRange) -> Result<(), MarkError> {
        match self.granted.load(Ordering::Relaxed) {
            NEVER => Ok(()),
            0 => {
                self.granted.store(NEVER, Ordering::Relaxed);
                Err(MarkError::Frames(FramesError::Empty { frames }))
            }
            left => {
                self.granted.store(left - 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}
