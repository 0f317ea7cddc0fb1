//! The lookups of this kernel as functions of their own, so that the suite can look at their instructions in the image.

use core::ptr::NonNull;

use sparsemem::{MemoryModel, Page, Pfn, Reclaim};

use crate::glue::{Guard, MODEL, OneProcessor};

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

/// The descriptor of a frame, if it has one. The guard is the caller's, who holds one for many lookups: to count readers
/// is this kernel's affair, and no part of a lookup.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn kernel_lookup(frame: u64, guard: &Guard) -> Option<NonNull<Page>> {
    MODEL.lookup_with(Pfn::new(frame), guard)
}

/// Whether both find the same descriptor for a frame, or the frame is not valid.
pub(crate) fn agree(frame: Pfn) -> bool {
    let guard = OneProcessor::enter();
    // SAFETY: asked only for a frame that was found valid, and nothing is removed while the guard is held.
    let unchecked = |_| unsafe { kernel_lookup_unchecked(frame.get()) };
    kernel_lookup(frame.get(), &guard).is_none_or(|page| page == unchecked(page))
}
