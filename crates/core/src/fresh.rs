//! Initialises descriptors that are not in use yet, at the speed of memory, on as many processors as the caller has.
//!
//! A processor that stores a few bytes into every cache line has to read the line first. Whole descriptors can be
//! stored past the caches instead: other data would evict them from the caches before their first use anyway.
//!
//! # Invariants
//!
//! 1. Of the processors that work together, one alone gets a run of frames: the cursor only moves on, and passes a run
//!    once. That and staying within the range follow from the code of this module, whatever a model answers.
//! 2. Streamed stores are in memory before the guard is dropped under which they were made: when a grace period has
//!    ended, they have ended, too.

use core::mem::ManuallyDrop;

use crate::compound::own_runs;
use crate::primitive::{AtomicU64, Ordering};
use crate::stream::{order_streams, stream_all};
use crate::{MemoryModel, PageCount, PageDescriptor, Pfn, PfnRange, Reclaim, initialise};

/// Initialises the descriptor of every valid frame in `frames`, as [`initialise`](crate::initialise) does, and returns
/// how many there were. Frames that share a descriptor ([`MemoryModel::folded`]) are left out.
///
/// [`initialise_fresh_together`] does it on several processors. Descriptors whose initialised form differs from frame to
/// frame ([`PageDescriptor::initialised`] is `None`) are initialised one by one.
///
/// The descriptors have to be zero bytes, as after a boot, for the two to have the same result: [`initialise`] leaves
/// bytes that it does not know.
///
/// # Safety
///
/// No other code reads or writes the descriptors while this runs, nor has a reference to one (as
/// [`Reader::page`](crate::Reader::page) gives); bare lookups may find them.
///
/// ```
/// # use sparsemem_core::{MemoryModel, PfnRange, initialise_fresh};
/// fn bring_up<M: MemoryModel>(model: &M, memory: PfnRange) {
///     // SAFETY: called right after the boot, before any memory is handed out.
///     let done = unsafe { initialise_fresh(model, memory) };
///     assert!(done <= memory.count());
/// }
/// ```
pub unsafe fn initialise_fresh<M: MemoryModel>(model: &M, frames: PfnRange) -> PageCount {
    // SAFETY: the caller's promise is the same; no other processor helps.
    unsafe { initialise_fresh_together(model, frames, |_| {}) }
}

/// The same on as many processors as the caller has: `executor` is given the work and calls it, once on each.
///
/// Each call takes one run of a section's frames after the other until none is left, so that processors that are
/// faster, or called earlier, do more. The caller's own processor helps at the end: with an executor that calls the
/// work on no processor this is [`initialise_fresh`]. The result counts the frames that were finished: fewer than there
/// are if a call did not return and the executor ignored that.
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
///     // SAFETY: called right after the boot, before any memory is handed out.
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
            // SAFETY: the caller's promise, and no other processor gets this run (invariant 1).
            own += unsafe { initialise_run(model, run, &guard) };
        }
        // Release: pairs with the Acquire below, so that the caller sees the descriptors of all processors that helped.
        done.fetch_add(own, Ordering::Release);
    };
    executor(&work);
    work();
    // Acquire: pairs with the Release above. No processor is inside `work` any more: it was only lent to the executor.
    PageCount::new(done.load(Ordering::Acquire))
}

/// Orders streamed stores when it is dropped.
struct Ordered;

impl Drop for Ordered {
    fn drop(&mut self) {
        order_streams();
    }
}

/// Takes the next run of valid frames, of one section.
fn take_run<M: MemoryModel>(model: &M, cursor: &AtomicU64, end: Pfn) -> Option<PfnRange> {
    // Relaxed, all: the cursor only deals out numbers; `initialise_fresh_together` orders the processors that took
    // part.
    let mut from = cursor.load(Ordering::Relaxed);
    loop {
        let rest = PfnRange::new(Pfn::new(from), end).ok()?;
        let found = model.next_valid(rest)?.intersection(rest);
        // A model gives a run of one section, but the cursor must move on even if the model does not.
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
    // No drop: the copies are the value.
    let value = ManuallyDrop::new(value);
    let store = |own: PfnRange| {
        let Some(first) = model.lookup_with(own.start(), guard) else { return 0 };
        // SAFETY: the run is of one subsection, whose first frame is valid: so the descriptors of all its frames are
        // there, one after the other, mapped while the guard lives; the caller promises that no other code uses them.
        unsafe { stream_all(first, own.count(), &value) };
        own.count().get()
    };
    own_runs(model, run, guard).map(store).sum()
}
