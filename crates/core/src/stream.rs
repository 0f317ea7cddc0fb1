//! Stores of whole descriptors that bypass the caches.
//!
//! # Invariants
//!
//! 1. Bytes are moved as they are, whatever they mean: a descriptor may have padding.
//! 2. Streamed stores are not ordered like others: the code that streamed calls [`order_streams`] before it publishes
//!    anything, or gives up the guard that keeps the memory.

use core::ptr::NonNull;

use crate::{PageCount, PageDescriptor};

/// Stores copies of `value` one after the other.
///
/// # Safety
///
/// `first` and the following, `count` in all, may be written, and no other code uses them.
pub(crate) unsafe fn stream_all<P: PageDescriptor>(first: NonNull<P>, count: PageCount, value: &P) {
    #[expect(clippy::cast_possible_truncation, reason = "descriptors that exist have addresses")]
    for index in 0..count.get() as usize {
        // SAFETY: the caller's promise.
        let to = unsafe { first.add(index) };
        // SAFETY: as above.
        unsafe { stream(to, value) };
    }
}

/// Stores a copy of `value`, past the caches if it fills cache lines and the processor can.
///
/// # Safety
///
/// `to` may be written, and no other code uses it.
#[inline]
unsafe fn stream<P: PageDescriptor>(to: NonNull<P>, value: &P) {
    let from = core::ptr::from_ref(value);
    if const { size_of::<P>() % LINE != 0 || align_of::<P>() % LINE != 0 } {
        // SAFETY: the caller's promise; a descriptor needs no drop, so a copy of its bytes is one.
        return unsafe { to.as_ptr().copy_from_nonoverlapping(from, 1) };
    }
    for offset in (0..size_of::<P>()).step_by(LINE) {
        let (from, to) = (from.wrapping_byte_add(offset), to.as_ptr().wrapping_byte_add(offset));
        // SAFETY: both are lines inside of a descriptor, aligned, and the caller promises the target.
        unsafe { stream_line(from.cast(), to.cast()) };
    }
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Moves a line as it is, whatever its bytes mean.
///
/// # Safety
///
/// `from` may be read and `to` written, [`LINE`] bytes each, aligned to as many.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline]
unsafe fn stream_line(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!(
            "movdqa {a}, [{from}]",
            "movdqa {b}, [{from} + 16]",
            "movdqa {c}, [{from} + 32]",
            "movdqa {d}, [{from} + 48]",
            "movntdq [{to}], {a}",
            "movntdq [{to} + 16], {b}",
            "movntdq [{to} + 32], {c}",
            "movntdq [{to} + 48], {d}",
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            from = in(reg) from,
            to = in(reg) to,
            options(nostack, preserves_flags),
        );
    }
}

/// The same for kernels without vector registers.
///
/// # Safety
///
/// As above.
#[cfg(all(target_arch = "x86_64", not(target_feature = "sse2")))]
#[inline]
unsafe fn stream_line(from: *const u8, to: *mut u8) {
    for offset in (0..LINE).step_by(8) {
        // SAFETY: the caller's promise.
        unsafe {
            core::arch::asm!(
                "mov {word}, [{from}]",
                "movnti [{to}], {word}",
                word = out(reg) _,
                from = in(reg) from.wrapping_add(offset),
                to = in(reg) to.wrapping_add(offset),
                options(nostack, preserves_flags),
            );
        }
    }
}

/// The same for other processors, through the caches.
///
/// # Safety
///
/// As above.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
unsafe fn stream_line(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { to.copy_from_nonoverlapping(from, LINE) };
}

/// Orders streamed stores before the store that publishes the descriptors: they are not ordered like others.
#[inline]
pub(crate) fn order_streams() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a fence has no other effect.
    unsafe {
        core::arch::asm!("sfence", options(nostack, preserves_flags));
    }
}
