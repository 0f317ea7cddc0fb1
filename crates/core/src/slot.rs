//! Descriptors of a kernel's own type, whatever its zero bytes mean and whoever may share it.
//!
//! # Invariants
//!
//! 1. The value is written once, by the call that moved `state` from [`EMPTY`] to [`BUSY`], before it stores [`READY`].
//! 2. No reference to the value is made before `state` is [`READY`], and no `&mut` ever.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::primitive::{AtomicU32, Ordering};
use crate::{PageDescriptor, Pfn, SectionNr, SectionStamp, Stamp};

/// Nothing is in the slot: the state of zero bytes.
const EMPTY: u32 = 0;
/// A call writes the value.
const BUSY: u32 = 1;
/// The value is there.
const READY: u32 = 2;

/// A kernel's record of a frame that a [`Slot`] holds.
///
/// Safe code resets no record, because all code that knows the type can call the method, with any pointer:
///
/// ```compile_fail,E0133
/// use core::ptr::NonNull;
/// use sparsemem_core::{Pfn, SlotValue};
///
/// fn forge<T: SlotValue>() {
///     T::reset(NonNull::dangling(), Pfn::new(5));
/// }
/// ```
///
/// # Safety
///
/// No method unwinds. [`SlotValue::reset`] races with nobody: neither with itself on another processor nor with code that
/// has a reference to the record, which exist if the type is `Sync`.
pub unsafe trait SlotValue: Sized + 'static {
    /// The record of a frame that nobody uses yet.
    fn new(pfn: Pfn) -> Self;

    /// Makes the record as good as new for another user of the frame. Does nothing by default.
    ///
    /// No user has the frame meanwhile, but lookups may have found the record, and several processors may call this at
    /// once: the method writes atomics only, or what a lock of the kernel protects.
    ///
    /// # Safety
    ///
    /// `record` points to a record that [`SlotValue::new`] made for `pfn`, in its slot.
    unsafe fn reset(record: NonNull<Self>, pfn: Pfn) {
        let _ = (record, pfn);
    }
}

/// A descriptor for a type that is not valid as zero bytes, or not `Sync`, or has no room for the number of a section.
///
/// It is empty until [`initialise`](crate::initialise) is called for its frame, and then holds [`SlotValue::new`] of the
/// frame. So a kernel that initialises the ranges of its RAM, and nothing else, finds out which frames of a section are
/// RAM: the slots of all others stay empty, although Linux' rule makes their frames valid. It takes 8 bytes more than
/// its value. A value is never dropped.
///
/// ```
/// use sparsemem_core::{PageDescriptor, Pfn, SectionNr, Slot, SlotValue};
///
/// /// A record with a link, which makes it neither `Send` nor `Sync`, and an enum without a variant of zero bytes.
/// struct Frame {
///     pfn: Pfn,
///     state: State,
///     next: *mut Frame,
/// }
///
/// #[derive(Debug, PartialEq)]
/// enum State {
///     Free = 1,
/// }
///
/// // SAFETY: it does not unwind.
/// unsafe impl SlotValue for Frame {
///     fn new(pfn: Pfn) -> Self {
///         Self { pfn, state: State::Free, next: core::ptr::null_mut() }
///     }
/// }
///
/// let slot = Slot::<Frame>::new();
/// assert!(slot.as_ptr().is_none(), "nobody has initialised it");
/// // SAFETY: no model has this descriptor.
/// unsafe { slot.initialise(Pfn::new(7), SectionNr::new(0)) };
/// let frame = slot.as_ptr().expect("it was initialised");
/// // SAFETY: a kernel's lock keeps others away; here nobody else has the slot.
/// let frame = unsafe { frame.as_ref() };
/// assert_eq!((frame.pfn, &frame.state), (Pfn::new(7), &State::Free));
/// ```
#[repr(C)]
pub struct Slot<T> {
    state: AtomicU32,
    stamp: Stamp,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: what other processors reach by safe code are the two atomics, and the value only if it is `Sync` (`get`). They
// can neither move nor drop it.
unsafe impl<T> Sync for Slot<T> {}
// SAFETY: as above; a slot that is dropped does not drop its value.
unsafe impl<T> Send for Slot<T> {}

impl<T: SlotValue> Slot<T> {
    crate::const_fn! {
        /// An empty slot; a model makes its own of zero bytes.
        #[must_use]
        pub const fn new() -> Self {
            Self {
                state: AtomicU32::new(EMPTY),
                stamp: Stamp::new(),
                value: UnsafeCell::new(MaybeUninit::zeroed()),
            }
        }
    }

    /// The value, if the slot has been initialised. The caller's own lock decides who may use it.
    ///
    /// # Cost
    ///
    /// One load and a comparison.
    #[inline]
    #[must_use]
    pub fn as_ptr(&self) -> Option<NonNull<T>> {
        // Acquire: pairs with the Release in `initialise`, so that the value is seen.
        let is_ready = self.state.load(Ordering::Acquire) == READY;
        is_ready.then(|| NonNull::from(&self.value).cast())
    }

    /// The value, if the slot has been initialised and the value may be shared.
    ///
    /// # Cost
    ///
    /// One load and a comparison.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<&T>
    where
        T: Sync,
    {
        // SAFETY: invariants 1 and 2; other processors may have references too, because the type is `Sync`.
        self.as_ptr().map(|value| unsafe { value.as_ref() })
    }
}

impl<T: SlotValue> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: zero bytes are an empty slot, whose value need not be initialised, and nothing is dropped. `initialise` makes no
// value that many slots could be copies of, so `initialised` stays `None`. No method unwinds, because `SlotValue` does not.
unsafe impl<T: SlotValue> PageDescriptor for Slot<T> {
    unsafe fn initialise(&self, pfn: Pfn, section: SectionNr) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.stamp.set(section) };
        // Relaxed, both: the value is published by the store below.
        let taken = self.state.compare_exchange(EMPTY, BUSY, Ordering::Relaxed, Ordering::Relaxed);
        if taken.is_err() {
            return; // it is there, or another processor is about to finish it
        }
        // SAFETY: invariant 1: nobody else writes, and nobody reads before `READY`.
        unsafe { self.value.get().write(MaybeUninit::new(T::new(pfn))) };
        // Release: pairs with the Acquire in `as_ptr`.
        self.state.store(READY, Ordering::Release);
    }

    unsafe fn reset(&self, pfn: Pfn, section: SectionNr) {
        match self.as_ptr() {
            Some(value) => {
                // SAFETY: the caller's promise is the same.
                unsafe { self.stamp.set(section) };
                // SAFETY: the value is there, and the caller says that it is the frame's.
                unsafe { T::reset(value, pfn) };
            }
            // SAFETY: the caller's promise is the same.
            None => unsafe { self.initialise(pfn, section) },
        }
    }
}

// SAFETY: `initialise` and `reset` store the number that `section` loads, as a whole.
unsafe impl<T: SlotValue> SectionStamp for Slot<T> {
    #[inline]
    fn section(&self) -> SectionNr {
        self.stamp.section()
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a value for people.
        let ready = self.state.load(Ordering::Relaxed) == READY;
        f.debug_struct("Slot").field("ready", &ready).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(sparsemem_loom)))]
mod tests {
    use super::*;
    use core::marker::PhantomData;
    use core::sync::atomic::{AtomicU64, AtomicUsize};

    /// The number of calls of `new` for frame 41.
    static MADE: AtomicUsize = AtomicUsize::new(0);

    /// A link makes it neither `Send` nor `Sync`.
    struct Record(AtomicU64, &'static str, PhantomData<*mut ()>);

    // SAFETY: it does not unwind, and resets an atomic.
    unsafe impl SlotValue for Record {
        fn new(pfn: Pfn) -> Self {
            MADE.fetch_add(usize::from(pfn.get() == 41), Ordering::Relaxed);
            Self(AtomicU64::new(pfn.get()), "no zero bytes", PhantomData)
        }

        unsafe fn reset(record: NonNull<Self>, pfn: Pfn) {
            // SAFETY: the caller says that it is a record.
            unsafe { record.as_ref() }.0.store(pfn.get() + 1000, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_value_is_made_once_and_stays_where_it_is() {
        let slot = Slot::<Record>::new();
        let (pfn, section) = (Pfn::new(7), SectionNr::new(9));
        assert!(slot.as_ptr().is_none());
        // SAFETY: no frame has this descriptor.
        unsafe { slot.reset(pfn, section) };
        let value = slot.as_ptr().expect("reset of an empty slot fills it");
        // SAFETY: nobody writes.
        assert_eq!(unsafe { value.as_ref() }.1, "no zero bytes");
        // SAFETY: nobody writes to it but through atomics.
        let number = &unsafe { value.as_ref() }.0;
        number.store(5, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { slot.initialise(pfn, section) };
        let kept = number.load(Ordering::Relaxed);
        assert_eq!(kept, 5, "initialising again changes no data of the user");
        // SAFETY: as above.
        unsafe { slot.reset(pfn, section) };
        assert_eq!((number.load(Ordering::Relaxed), slot.as_ptr()), (1007, Some(value)));
        assert_eq!(slot.section(), section);
        // SAFETY: as above.
        unsafe { slot.reset(pfn, SectionNr::new(3)) };
        assert_eq!(slot.section(), SectionNr::new(3));
    }

    #[test]
    fn processors_that_initialise_together_make_one_value() {
        for _ in 0..200 {
            let slot = Slot::<Record>::new();
            MADE.store(0, Ordering::Relaxed);
            std::thread::scope(|threads| {
                for _ in 0..3 {
                    // SAFETY: no frame has this descriptor.
                    threads.spawn(|| unsafe { slot.initialise(Pfn::new(41), SectionNr::new(1)) });
                }
            });
            assert_eq!((MADE.load(Ordering::Relaxed), slot.as_ptr().is_some()), (1, true));
        }
    }

    #[test]
    fn it_costs_eight_bytes() {
        assert_eq!(size_of::<Slot<Record>>(), size_of::<Record>() + 8);
    }
}
