//! How readers are protected from removal: by being the only ones.

use sparsemem::{GracePeriod, Reclaim};

/// A kernel of one processor, whose trap handlers look nothing up: whoever removes memory is not reading.
pub(crate) struct OneProcessor;

// SAFETY: what is looked up stays until the same processor removes it, and it does not do so while it holds a guard:
// no story and no scenario keeps a reader over a removal.
unsafe impl Reclaim for OneProcessor {
    type Guard = ();

    #[inline]
    fn enter() -> Self::Guard {}
}

// SAFETY: when this is called, no reader of the only processor is under way; see above.
unsafe impl GracePeriod for OneProcessor {
    fn synchronize() {}
}
