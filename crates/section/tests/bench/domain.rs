//! Domains of readers: one that keeps its promise, and one that does not.

use loom::sync::{RwLock, RwLockReadGuard};
use sparsemem_core::{GracePeriod, Reclaim};

loom::lazy_static! {
    /// Readers share it; whoever waits for them takes it alone. Waiting costs no spinning, which loom would explore.
    static ref READERS: RwLock<()> = RwLock::new(());
}

/// Proof of being inside.
pub(crate) struct Inside {
    _shared: RwLockReadGuard<'static, ()>,
}

/// A domain that waits for its readers.
pub(crate) struct Patient;

// SAFETY: `synchronize` waits until no guard is left.
unsafe impl Reclaim for Patient {
    type Guard = Inside;

    fn enter() -> Inside {
        Inside { _shared: READERS.read().unwrap() }
    }
}

// SAFETY: see above.
unsafe impl GracePeriod for Patient {
    fn synchronize() {
        drop(READERS.write().unwrap());
    }
}

/// A domain that breaks its promise: it does not wait.
pub(crate) struct Impatient;

// SAFETY: none; this is the broken variant.
unsafe impl Reclaim for Impatient {
    type Guard = Inside;

    fn enter() -> Inside {
        Patient::enter()
    }
}

// SAFETY: none; this is the broken variant.
unsafe impl GracePeriod for Impatient {
    fn synchronize() {}
}
