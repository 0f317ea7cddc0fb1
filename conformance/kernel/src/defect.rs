//! Broken variants of this kernel: each lacks one part of what protects readers on other processors, or of what a virtio-mem
//! device's memory needs, and the stories have to notice. A story switches a defect on (`stories/broken.rs`); nothing else does.
//!
//! The checks are where a processor waits, flushes or frees, and where the page allocator gets or gives up memory. No lookup has any.

use core::sync::atomic::{AtomicU8, Ordering};

/// A part that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Defect {
    /// Readers are not waited for.
    NoGracePeriod = 1,
    /// Other processors keep their translations.
    NoFlush = 2,
    /// Other processors are asked to flush, and not waited for.
    FlushUnacknowledged = 3,
    /// Memory is given back before the processors forget that they had it.
    FreedBeforeFlush = 4,
    /// The page allocator gets memory of a virtio-mem device that the direct map does not reach.
    UnreachedMemory = 5,
    /// Memory in use goes back to a virtio-mem device.
    UsedMemoryGoes = 6,
}

/// The one that is on.
static ON: AtomicU8 = AtomicU8::new(0);

impl Defect {
    /// Breaks the kernel for the rest of its run.
    pub(crate) fn switch_on(self) {
        // Relaxed: the processor that changes memory is the one that switches it on.
        ON.store(self as u8, Ordering::Relaxed);
    }

    /// True if the kernel is broken in this way.
    pub(crate) fn is_on(self) -> bool {
        // Relaxed: as above; a processor that sees it late behaves well for longer.
        ON.load(Ordering::Relaxed) == self as u8
    }
}
