//! Initialising descriptors that nobody uses yet, at the speed of memory, by as many processors as there are.
//!
//! Storing a few bytes into every cache line costs reading the line first. Whole descriptors can be stored around the
//! caches instead; they are not going to be used before the caches have seen much else anyway.
//!
//! # Invariants
//!
//! 1. Of the processors that work together, one alone gets a run of frames: the cursor only moves on, and passes a run once.
//!    That and staying within the range follow from what is done here, whatever a model answers.
//! 2. Streamed stores are in memory before the guard is dropped under which they were made: a grace period that ends is
//!    the end of them, too.

use core::mem::ManuallyDrop;

use crate::primitive::{AtomicU64, Ordering};
use crate::stream::{order_streams, stream_all};
use crate::{MemoryModel, PageCount, PageDescriptor, Pfn, PfnRange, Reclaim, SectionShape, initialise};

/// Initialises the descriptor of every valid frame in `frames`, as [`initialise`](crate::initialise) does, and returns
/// how many there were.
///
/// [`initialise_fresh_together`] does it on several processors. Descriptors whose initialised form differs from frame to
/// frame ([`PageDescriptor::initialised`] is `None`) are initialised one by one.
///
/// The descriptors have to be zero bytes, as after a boot, for the two to come to the same: [`initialise`] leaves what it
/// does not know.
///
/// # Safety
///
/// Nobody reads or writes the descriptors while this runs, nor has a reference to one (as
/// [`Reader::page`](crate::Reader::page) gives); bare lookups may find them.
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
    // SAFETY: the caller's promise is the same; nobody helps.
    unsafe { initialise_fresh_together(model, frames, |_| {}) }
}

/// The same on as many processors as the caller has: `executor` is given the work and calls it, once on each.
///
/// Who calls takes a run of a section's frames after the other until none is left, so that processors that are faster,
/// or called earlier, do more. The caller's own processor helps at the end: an executor that calls nobody is
/// [`initialise_fresh`]. The answer counts what was finished: fewer than there are if somebody's call did not return
/// and the executor made nothing of it.
///
/// Source: Linux `deferred_init_memmap` (4.2, a thread per node; later several, in pieces of whole sections).
///
/// # Safety
///
/// As [`initialise_fresh`].
///
/// ```
/// # use sparsemem_core::{MemoryModel, PfnRange, initialise_fresh_together};
/// fn bring_up<M: MemoryModel>(model: &M, memory: PfnRange, processors: usize) {
///     // SAFETY: called right after the boot, before memory is given to anybody.
///     let done = unsafe {
///         initialise_fresh_together(model, memory, |work| {
///             std::thread::scope(|threads| {
///                 for _ in 1..processors {
///                     threads.spawn(work);
///                 }
///                 work();
///             });
///         })
///     };
///     assert!(done <= memory.count());
/// }
/// ```
pub unsafe fn initialise_fresh_together<M: MemoryModel>(
    model: &M,
    frames: PfnRange,
    executor: impl FnOnce(&(dyn Fn() + Sync)),
) -> PageCount {
    let (cursor, done) = (AtomicU64::new(frames.start().get()), AtomicU64::new(0));
    let work = || {
        let mut own = 0;
        while let Some(run) = take_run(model, &cursor, frames.end()) {
            let guard = M::Reclaim::enter();
            // Dropped before the guard, also by a panic (invariant 2).
            let _ordered = Ordered;
            // SAFETY: the caller's promise, and nobody else gets this run (invariant 1).
            own += unsafe { initialise_run(model, run, &guard) };
        }
        // Release: pairs with the Acquire below, so that the caller sees the descriptors of all who helped.
        done.fetch_add(own, Ordering::Release);
    };
    executor(&work);
    work();
    // Acquire: pairs with the Release above. Nobody is inside `work` any more: it was only lent to the executor.
    PageCount::new(done.load(Ordering::Acquire))
}

/// Orders what was streamed when it is dropped.
struct Ordered;

impl Drop for Ordered {
    fn drop(&mut self) {
        order_streams();
    }
}

/// Takes the next run of valid frames, of one section.
fn take_run<M: MemoryModel>(model: &M, cursor: &AtomicU64, end: Pfn) -> Option<PfnRange> {
    // Relaxed, all: the cursor only deals out numbers; who took part is ordered in `initialise_fresh_together`.
    let mut from = cursor.load(Ordering::Relaxed);
    loop {
        let rest = PfnRange::new(Pfn::new(from), end).ok()?;
        let found = model.next_valid(rest)?.intersection(rest);
        // A model gives a run of one section; that the cursor moves on must not depend on it.
        let (_, run) = found.by_section::<M::Geometry>().next()?;
        let passed = run.end().get();
        // Relaxed, both: as above.
        match cursor.compare_exchange_weak(from, passed, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Some(run),
            Err(now) => from = now,
        }
    }
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
    // It lives on in its copies.
    let value = ManuallyDrop::new(value);
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
