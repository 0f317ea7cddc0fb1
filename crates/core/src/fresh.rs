//! Initialising descriptors that nobody uses yet, at the speed of memory.
//!
//! Storing a few bytes into every cache line costs reading the line first. Whole descriptors can be stored around the
//! caches instead; they are not going to be used before the caches have seen much else anyway.

use core::ptr::NonNull;

use crate::{MemoryModel, PageCount, PageDescriptor, Pfn, PfnRange, Reclaim, SectionShape, initialise};

/// Initialises the descriptor of every valid frame in `frames`, as [`initialise`](crate::initialise) does, and returns
/// how many there were.
///
/// Call it in parallel over disjoint ranges when the machine is large. Descriptors whose initialised form differs from
/// frame to frame ([`PageDescriptor::initialised`] is `None`) are initialised one by one.
///
/// # Safety
///
/// The descriptors are zero bytes, as after a boot, and nobody reads or writes them while this runs; lookups may find
/// them, but nothing may be done with what they find.
///
/// ```
/// # use sparsemem_core::{MemoryModel, PfnRange, initialise_fresh};
/// fn bring_up<M: MemoryModel>(model: &M, memory: PfnRange) {
///     // SAFETY: called right after the boot, before memory is given to anybody.
///     let done = unsafe { initialise_fresh(model, memory) };
///     assert!(done <= memory.count());
/// }
/// ```
pub unsafe fn initialise_fresh<M: MemoryModel>(model: &M, frames: PfnRange) -> PageCount {
    let mut done = 0;
    for run in model.valid_ranges(frames) {
        // A guard per run, as in `initialise`.
        let guard = M::Reclaim::enter();
        // SAFETY: the caller's promise is the same, and a run ends with its section.
        done += unsafe { initialise_run(model, run, &guard) };
    }
    order_streams();
    PageCount::new(done)
}

/// Initialises the descriptors of a run of one section.
///
/// # Safety
///
/// As [`initialise_fresh`].
unsafe fn initialise_run<M: MemoryModel>(
    model: &M,
    run: PfnRange,
    guard: &<M::Reclaim as Reclaim>::Guard,
) -> u64 {
    let Some(value) = M::Page::initialised(run.start().section::<M::Geometry>()) else {
        return initialise(model, run).get();
    };
    let (mut rest, mut done) = (run, 0);
    while !rest.is_empty() {
        let border = (rest.start().get() | (M::Geometry::PAGES_PER_SUBSECTION - 1)) + 1;
        let (part, behind) = rest.split_at(Pfn::new(border));
        if let Some(first) = model.lookup_with(part.start(), guard) {
            // SAFETY: the frames of a subsection are valid together and their descriptors lie one after the other, mapped
            // while the guard lives; the caller promises that nobody else uses them.
            unsafe { stream_all(first, part.count(), &value) };
            done += part.count().get();
        }
        rest = behind;
    }
    done
}

/// Stores copies of `value` one after the other.
///
/// # Safety
///
/// `first` and the following, `count` in all, may be written, and nobody else uses them.
unsafe fn stream_all<P: PageDescriptor>(first: NonNull<P>, count: PageCount, value: &P) {
    #[expect(clippy::cast_possible_truncation, reason = "descriptors that exist have addresses")]
    for index in 0..count.get() as usize {
        // SAFETY: the caller's promise.
        let to = unsafe { first.add(index) };
        // SAFETY: as above.
        unsafe { stream(to, value) };
    }
}

/// Stores a copy of `value`, around the caches if it fills cache lines and the processor can.
///
/// # Safety
///
/// `to` may be written, and nobody else uses it.
#[inline]
unsafe fn stream<P: PageDescriptor>(to: NonNull<P>, value: &P) {
    let from = core::ptr::from_ref(value);
    if const { !size_of::<P>().is_multiple_of(LINE) || !align_of::<P>().is_multiple_of(LINE) } {
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

/// Makes streamed stores come before whatever publishes the descriptors: they are not ordered like others.
#[inline]
fn order_streams() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a fence has no other effect.
    unsafe {
        core::arch::asm!("sfence", options(nostack, preserves_flags));
    }
}
