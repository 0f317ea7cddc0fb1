//! The model: a pointer to the array, and the reserve that the next array will have.
//!
//! # Invariants
//!
//! 1. `array` is null, or points to an array that lives until a grace period after the pointer was replaced, or until
//!    code with `&mut` of the model gives it back. `origin` is that array's.
//! 2. Only the writer stores; the reserve is for the writer alone.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicPtr, AtomicU64, Ordering};
use sparsemem_core::{
    Geometry, PageDescriptor, Pfn, PfnRange, Reclaim, SectionShape, Writer, WriterSlot, ZeroIsNew, const_fn,
};

use crate::FrameIndex;
use crate::array::Array;

/// A memory model of one array: geometry `G`, descriptor `P`, readers of domain `R`, elements numbered by `I`.
///
/// The array is made by the boot, for the frames from the lowest to the highest that the boot is given, and for the
/// [reserve](sparsemem_core::MemoryModel::reserve). On a model that was not booted the first installation makes it. Retiring sections
/// gives no memory back until the last one is retired: then the whole array is given back, and the next boot or
/// installation makes another.
///
/// ```
/// use sparsemem_bounded_array::{ArrayModel, Straight};
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn};
///
/// static MODEL: ArrayModel<X86_64, Page, NeverReclaim, Straight> = ArrayModel::new();
///
/// assert!(MODEL.lookup(Pfn::new(0x1234)).is_none(), "nothing is present before boot");
/// ```
pub struct ArrayModel<G: Geometry, P, R, I> {
    array: AtomicPtr<Array<G, P, I>>,
    /// The address of the descriptor of element 0: an unchecked lookup needs no other load.
    origin: AtomicPtr<P>,
    writer: WriterSlot,
    reserve: [AtomicU64; 2],
    types: PhantomData<fn() -> R>,
}

// SAFETY: null pointers, zeros and an untaken writer slot are zero bytes; `new` makes the same.
unsafe impl<G: Geometry, P, R, I> ZeroIsNew for ArrayModel<G, P, R, I> {}

impl<G: Geometry, P, R, I> ArrayModel<G, P, R, I> {
    const_fn! {
        /// A model without an array and without a reserve.
        #[must_use]
        pub const fn new() -> Self {
            Self {
                array: AtomicPtr::new(core::ptr::null_mut()),
                origin: AtomicPtr::new(core::ptr::null_mut()),
                writer: WriterSlot::new(),
                reserve: [AtomicU64::new(0), AtomicU64::new(0)],
                types: PhantomData,
            }
        }
    }

    /// The writer slot.
    pub(crate) const fn slot(&self) -> &WriterSlot {
        &self.writer
    }

    /// The frames that every new array has descriptors for, whether or not a boot is given RAM there.
    pub(crate) fn reserved(&self) -> PfnRange {
        // Relaxed, both: invariant 2, and the writer slot orders one writer's stores before the next writer.
        let [start, end] = [0, 1].map(|bound| {
            self.reserve.get(bound).map_or(0, |bound: &AtomicU64| bound.load(Ordering::Relaxed))
        });
        PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap_or_default()
    }

    /// Takes the array away, so that no new reader finds it.
    ///
    /// For the writer, or code with `&mut` of the model; no section is present.
    pub(crate) fn unpublish(&self) -> Option<NonNull<Array<G, P, I>>> {
        // Relaxed: who frees the array waits for readers first.
        NonNull::new(self.array.swap(core::ptr::null_mut(), Ordering::Relaxed))
    }

    /// Frees the writer slot from a writer that was forgotten: with `&mut` of the model no writer is left.
    pub(crate) fn forget_writers(&mut self) {
        self.writer = WriterSlot::new();
    }
}

impl<G: Geometry, P: PageDescriptor, R: Reclaim, I: FrameIndex> ArrayModel<G, P, R, I> {
    /// Does not compile for descriptors that the way back from an address to a frame does not work for.
    const CHECK: () = {
        let () = G::CHECK;
        assert!(size_of::<P>() > 0, "a descriptor without bytes has no address of its own");
        assert!(
            size_of::<P>() as u64 <= usize::MAX as u64 / G::MAX_PFN,
            "distances of descriptors do not fit an address of this target"
        );
    };

    /// Sets the frames that the next array has descriptors for beside those of RAM.
    pub(crate) fn set_reserve(&self, frames: PfnRange) {
        let bounds = [frames.start(), frames.end()];
        for (bound, pfn) in self.reserve.iter().zip(bounds) {
            // Relaxed: as in `reserved`.
            bound.store(pfn.get(), Ordering::Relaxed);
        }
    }

    /// The array, which the guard keeps alive.
    #[inline]
    pub(crate) fn array<'g>(&'g self, _guard: &'g R::Guard) -> Option<&'g Array<G, P, I>> {
        // SAFETY: invariant 1: the guard holds the grace period off.
        unsafe { self.loaded() }
    }

    /// The array, which stays until the writer gives it back.
    pub(crate) fn array_of<'w>(writer: &'w Writer<'_, Self>) -> Option<&'w Array<G, P, I>> {
        // SAFETY: only `retire_checked` and `tear_down` give an array back, and both have the writer or the model for
        // themselves then.
        unsafe { writer.model().loaded() }
    }

    /// # Safety
    ///
    /// The array is not given back while the reference is used.
    #[inline]
    unsafe fn loaded<'a>(&self) -> Option<&'a Array<G, P, I>> {
        // Acquire: pairs with the Release in `publish`, so that head and records are seen.
        let array = NonNull::new(self.array.load(Ordering::Acquire));
        // SAFETY: the caller's promise.
        array.map(|array| unsafe { array.as_ref() })
    }

    /// Makes an array visible. For the writer; there is no other array.
    pub(crate) fn publish(&self, array: NonNull<Array<G, P, I>>) -> &Array<G, P, I> {
        const { Self::CHECK }
        // SAFETY: the array was just made, and only the writer gives it back.
        let head = unsafe { array.as_ref() };
        // Release, both: pair with the Acquires in `loaded` and `origin`.
        self.origin.store(head.origin(), Ordering::Release);
        self.array.store(array.as_ptr(), Ordering::Release);
        head
    }

    /// The address of the descriptor of element 0, while there is an array.
    #[inline]
    pub(crate) fn origin(&self) -> *mut P {
        // Acquire: pairs with the Release in `publish`.
        self.origin.load(Ordering::Acquire)
    }

    /// The numbering of the array.
    ///
    /// # Safety
    ///
    /// There is an array, and it stays meanwhile.
    #[inline]
    pub(crate) unsafe fn index(&self) -> I {
        if const { size_of::<I>() == 0 } {
            // SAFETY: a value without bytes is read from nowhere, and the array has one, so the type has a value.
            return unsafe { NonNull::<I>::dangling().read() };
        }
        // Acquire: pairs with the Release in `publish`.
        let array = self.array.load(Ordering::Acquire);
        // SAFETY: the caller says that there is an array.
        unsafe { (*array).extent.index }
    }
}

impl<G: Geometry, P, R, I> Default for ArrayModel<G, P, R, I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<G: Geometry, P, R, I: FrameIndex> fmt::Debug for ArrayModel<G, P, R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(I::NAME).field("reserve", &self.reserved()).finish_non_exhaustive()
    }
}
