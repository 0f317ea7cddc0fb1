//! The place of the array in the kernel's address space.
//!
//! # Invariants
//!
//! 1. The range is reserved for the array: nothing else is mapped there, and it does not end beyond the address space.
//! 2. A place that the kernel chooses while booting is stored once, before anything else uses the model; from then on
//!    it is only read.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicBool, Ordering};
use sparsemem_core::{ArrayPlace, WriterSlot, ZeroIsNew};
#[cfg(not(sparsemem_loom))]
use sparsemem_section::ConstNew;

/// The place of the array.
///
/// # Safety
///
/// Once a model with this base is up, [`ArrayBase::start`], [`ArrayBase::len_bytes`] and [`ArrayBase::shared_writer`]
/// never change; the first two are multiples of 2 MiB, the start is not null, and their sum does not wrap. From the
/// moment when [`ArrayBase::claim`] returned [`Claim::Own`] until [`ArrayBase::give_up`], the range is the model's, as
/// [`ArrayPlace`] requires of a place. No method unwinds.
pub unsafe trait ArrayBase: Send + Sync + 'static {
    /// The address of the descriptor of frame 0.
    fn start(&self) -> *mut u8;

    /// Size of the place that is set aside for the array, in bytes; a multiple of 2 MiB.
    fn len_bytes(&self) -> u64;

    /// The writer slot of the models that may use the place, as [`ArrayPlace::shared_writer`] says. The model calls
    /// this before it reads its page tables.
    fn shared_writer(&self) -> Option<&'static WriterSlot>;

    /// Takes the place for the model that this base is in, or reports that it is taken; the model calls this before it
    /// changes its mappings.
    ///
    /// # Safety
    ///
    /// For the writer of the model.
    unsafe fn claim(&self) -> Claim;

    /// Gives the place up, if it is the model's. Does nothing by default: the model keeps its place.
    ///
    /// # Safety
    ///
    /// For the writer of the model, which has nothing in the place any more.
    unsafe fn give_up(&self) {}
}

/// The owner of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The place belongs to the model that asked.
    Own,
    /// The place belongs to another model, or [`DynamicBase::reserve`] was not called.
    Taken,
}

/// A place known at compile time: lookups need no load.
pub struct ConstBase<A> {
    /// True if the place was claimed through this base.
    own: AtomicBool,
    place: PhantomData<fn() -> A>,
}

impl<A: ArrayPlace> ConstBase<A> {
    /// Does not compile for a place that is not valid.
    const CHECK: () = {
        assert!(A::START % (1 << 21) == 0, "the array begins on a 2 MiB border");
        assert!(A::BYTES % (1 << 21) == 0, "the array ends on a 2 MiB border, as its largest mappings do");
        assert!(A::START != 0, "the array does not begin at the null address");
        assert!(A::START.checked_add(A::BYTES).is_some(), "the array ends within the address space");
        assert!(
            A::BYTES == 0 || A::START + (A::BYTES - 1) <= usize::MAX as u64,
            "the array ends within the target's addresses"
        );
    };
}

// SAFETY: both are constants, the place promises the reservation, and its flag lets one base claim it.
unsafe impl<A: ArrayPlace> ArrayBase for ConstBase<A> {
    #[inline]
    fn start(&self) -> *mut u8 {
        const { Self::CHECK }
        #[expect(clippy::cast_possible_truncation, reason = "CHECK compares it with usize::MAX")]
        core::ptr::with_exposed_provenance_mut(A::START as usize)
    }

    fn len_bytes(&self) -> u64 {
        A::BYTES
    }

    fn shared_writer(&self) -> Option<&'static WriterSlot> {
        A::shared_writer()
    }

    unsafe fn claim(&self) -> Claim {
        // Relaxed: only the model's writer loads and stores, and the place's claim alone decides between models.
        if self.own.load(Ordering::Relaxed) {
            return Claim::Own;
        }
        if !A::claim().take() {
            return Claim::Taken;
        }
        // Relaxed: as above.
        self.own.store(true, Ordering::Relaxed);
        Claim::Own
    }

    unsafe fn give_up(&self) {
        // Relaxed: as in `claim`.
        if self.own.swap(false, Ordering::Relaxed) {
            // SAFETY: this base took the claim, and the caller says that the model has nothing there any more.
            unsafe { A::claim().give_back() };
        }
    }
}

#[cfg(not(sparsemem_loom))]
impl<A> ConstNew for ConstBase<A> {
    const NEW: Self = Self { own: AtomicBool::new(false), place: PhantomData };
}

// SAFETY: `false` is a zero byte.
unsafe impl<A> ZeroIsNew for ConstBase<A> {}

/// A place that the kernel chooses while booting, as with address-space randomisation; lookups load it.
///
/// Until [`DynamicBase::reserve`] it has no bytes, and nothing can be populated.
#[repr(transparent)]
pub struct DynamicBase {
    /// No atomic: the lookup's addition could not use its load as an operand (invariant 2 makes an atomic unnecessary).
    reserved: UnsafeCell<Reserved>,
}

/// The range of a [`DynamicBase`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Reserved {
    start: *mut u8,
    len_bytes: u64,
    shared: Option<&'static WriterSlot>,
}

// SAFETY: `reserve` stores once, before anything else uses the model, by its contract; all other code only reads. The
// pointer is an address for all code that uses the model, on any processor.
unsafe impl Sync for DynamicBase {}
// SAFETY: as above.
unsafe impl Send for DynamicBase {}

impl DynamicBase {
    /// Sets the place of the array.
    ///
    /// # Safety
    ///
    /// The range must be reserved for this model from now on, as [`ArrayPlace`] requires of a place: alone in the
    /// blocks that it touches. It begins and ends on 2 MiB borders, and ends within the address space.
    /// Called once, before the model is booted and before anything else uses it: another processor must get the model
    /// only after this call, by an operation that orders memory.
    pub unsafe fn reserve(&self, start: NonNull<u8>, len_bytes: u64) {
        // SAFETY: the caller promises that no other code uses the model yet.
        unsafe { self.store(start, len_bytes, None) };
    }

    /// The same, for a model made with the writer slot `shared`
    /// ([`with_shared_writer`](sparsemem_section::SparseModel::with_shared_writer)).
    ///
    /// # Safety
    ///
    /// As [`DynamicBase::reserve`], but other places with the same slot may lie in the blocks, too.
    pub unsafe fn reserve_shared(&self, start: NonNull<u8>, len_bytes: u64, shared: &'static WriterSlot) {
        // SAFETY: as above.
        unsafe { self.store(start, len_bytes, Some(shared)) };
    }

    /// # Safety
    ///
    /// No other code uses the model yet.
    unsafe fn store(&self, start: NonNull<u8>, len_bytes: u64, shared: Option<&'static WriterSlot>) {
        // SAFETY: the caller's promise is the same.
        unsafe { *self.reserved.get() = Reserved { start: start.as_ptr(), len_bytes, shared } };
    }

    /// The range; null and empty before `reserve`.
    #[inline]
    fn reserved(&self) -> Reserved {
        // SAFETY: the only store was before every use of the model (invariant 2).
        unsafe { *self.reserved.get() }
    }
}

impl fmt::Debug for DynamicBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynamicBase").field(&self.reserved()).finish()
    }
}

// SAFETY: `reserve` is called once, before the model is used, and its caller promises the reservation.
unsafe impl ArrayBase for DynamicBase {
    #[inline]
    fn start(&self) -> *mut u8 {
        self.reserved().start
    }

    fn len_bytes(&self) -> u64 {
        self.reserved().len_bytes
    }

    fn shared_writer(&self) -> Option<&'static WriterSlot> {
        self.reserved().shared
    }

    unsafe fn claim(&self) -> Claim {
        // The caller of `reserve` reserved it for one model.
        if self.start().is_null() { Claim::Taken } else { Claim::Own }
    }
}

#[cfg(not(sparsemem_loom))]
impl ConstNew for DynamicBase {
    const NEW: Self = Self {
        reserved: UnsafeCell::new(Reserved { start: core::ptr::null_mut(), len_bytes: 0, shared: None }),
    };
}

// SAFETY: a null pointer, a zero length and no reference are zero bytes.
unsafe impl ZeroIsNew for DynamicBase {}
