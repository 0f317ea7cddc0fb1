//! The kernel's own record. Its count had 64 bits; half of them are the stamp now, so it has 16 bytes as before.

use core::sync::atomic::{AtomicU32, AtomicUsize};

/// The record of a frame.
#[derive(Debug, Default)]
pub struct PageInfo {
    /// The users of the frame.
    pub refcount: AtomicU32,
    /// The frame's section, and one. Zero for a frame that is no RAM.
    pub(crate) stamp: AtomicU32,
    /// The next free frame, and the order of this one.
    pub next: AtomicUsize,
}
