//! The lookups of this kernel as functions of their own, so that the suite can look at their instructions in the image.

use core::ptr::NonNull;

use sparsemem::{MemoryModel, Page, Pfn};

use crate::glue::MODEL;

/// The descriptor of a frame that is known to be valid.
///
/// # Safety
///
/// The frame is valid.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) unsafe extern "C" fn kernel_lookup_unchecked(frame: u64) -> NonNull<Page> {
    // SAFETY: the caller's promise.
    unsafe { MODEL.lookup_unchecked(Pfn::new(frame)) }
}

/// The descriptor of a frame, if it has one.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn kernel_lookup(frame: u64) -> Option<NonNull<Page>> {
    MODEL.lookup(Pfn::new(frame))
}

/// Whether both find the same descriptor for a frame, or the frame is not valid.
pub(crate) fn agree(frame: Pfn) -> bool {
    // SAFETY: asked only for a frame that was found valid, and nothing is removed meanwhile.
    let unchecked = |_| unsafe { kernel_lookup_unchecked(frame.get()) };
    kernel_lookup(frame.get()).is_none_or(|page| page == unchecked(page))
}
