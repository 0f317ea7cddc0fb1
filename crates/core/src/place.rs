//! The place of a virtual memmap in the kernel's address space, and the claim of one model on it.
//!
//! # Invariants
//!
//! 1. At most one model has a place at a time: the one that has taken its claim.

use crate::primitive::{AtomicBool, Ordering};
use crate::{WriterSlot, const_fn};

/// The claim of a model on a place. The first model that takes it excludes others; only that model can give it back.
///
/// ```
/// use sparsemem_core::PlaceClaim;
///
/// static CLAIM: PlaceClaim = PlaceClaim::new();
/// assert!(CLAIM.take());
/// assert!(!CLAIM.take(), "it is taken");
/// ```
///
/// Safe code cannot free a place while a model uses it:
///
/// ```compile_fail
/// use sparsemem_core::PlaceClaim;
///
/// static CLAIM: PlaceClaim = PlaceClaim::new();
/// CLAIM.give_back();
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct PlaceClaim {
    taken: AtomicBool,
}

impl PlaceClaim {
    const_fn! {
        /// A claim that is not taken; all zero bytes.
        #[must_use]
        pub const fn new() -> Self {
            Self { taken: AtomicBool::new(false) }
        }
    }

    /// Takes the claim, and returns whether it was free. Taking it without a model only keeps models out.
    #[must_use = "the claim is the caller's only if this is true"]
    pub fn take(&self) -> bool {
        // Acquire: pairs with the Release in `give_back`, so that the next model sees the place as the last one left it.
        !self.taken.swap(true, Ordering::Acquire)
    }

    /// Gives the claim back.
    ///
    /// # Safety
    ///
    /// The caller has taken it, and has nothing in the place any more.
    pub unsafe fn give_back(&self) {
        // Release: pairs with the Acquire in `take`.
        self.taken.store(false, Ordering::Release);
    }
}

impl Default for PlaceClaim {
    fn default() -> Self {
        Self::new()
    }
}

/// A place for the virtual memmap that is known when the kernel is built.
///
/// `START` is the address of frame 0's descriptor. Linux on x86_64 sets 1 TiB aside at `0xffff_ea00_0000_0000`.
///
/// # Safety
///
/// 1. The `BYTES` bytes from `START` are virtual addresses of the kernel that nothing but the model which claims this
///    place maps or uses.
/// 2. Nothing but the place lies in the blocks, aligned to their size, that it touches: the tables for them are the
///    model's, which makes and frees them without asking other code. A block is what one entry translates, of the
///    lowest level at which that is at least 32 GiB, or of the top-level table if that has no such entries: 512 GiB
///    where pages have 4 KiB (1 GiB with three levels), 64 GiB where they have 16 KiB, 4 TiB where they have 64 KiB.
///    Only places that name the same [`ArrayPlace::shared_writer`] may lie in one block, or below one entry of a table
///    above the blocks. (The first populate looks for foreign mappings in the blocks, and refuses the place if it finds
///    one.)
/// 3. Everything else that the kernel maps below the same entries of the tables above was mapped before the model was
///    first populated, and some of it stays while the model lives: the model gives a table back when it is empty.
/// 4. Every call of [`ArrayPlace::claim`] returns the same claim, and every call of [`ArrayPlace::shared_writer`] the
///    same slot; none unwinds.
pub unsafe trait ArrayPlace: Send + Sync + 'static {
    /// Virtual address of the descriptor of frame 0; a multiple of 2 MiB.
    const START: u64;
    /// Bytes set aside; a multiple of 2 MiB.
    const BYTES: u64;

    /// The claim by which the first model that uses the place excludes others: a `static`.
    fn claim() -> &'static PlaceClaim;

    /// The writer slot of the models that may use this place: a model with another slot is refused
    /// ([`SectionLoss::OtherWriter`](crate::SectionLoss::OtherWriter)). `None`, the default, is for models with a slot
    /// of their own.
    #[must_use]
    fn shared_writer() -> Option<&'static WriterSlot> {
        None
    }
}

/// Declares a place and its claim: a type that implements [`ArrayPlace`].
///
/// `unsafe` is the caller's promise, which is that of the trait.
///
/// ```
/// use sparsemem_core::array_place;
///
/// // SAFETY: nothing else of this kernel uses these addresses, nor any in the blocks of 512 GiB that they touch.
/// array_place!(unsafe pub struct Array at 0xffff_ea00_0000_0000, bytes 1 << 40);
/// ```
#[macro_export]
macro_rules! array_place {
    ($(#[$doc:meta])* unsafe $vis:vis struct $name:ident at $start:expr, bytes $bytes:expr) => {
        $(#[$doc])*
        $vis struct $name;

        // SAFETY: whoever writes `unsafe` says that the addresses are the array's alone; the claim is a static of its own.
        unsafe impl $crate::ArrayPlace for $name {
            const START: u64 = $start;
            const BYTES: u64 = $bytes;

            fn claim() -> &'static $crate::PlaceClaim {
                static CLAIM: $crate::PlaceClaim = $crate::PlaceClaim::new();
                &CLAIM
            }
        }
    };
}

/// No place at all, for kernels whose model is not a virtual memmap. A vmemmap with this place loses every section.
#[derive(Clone, Copy, Debug)]
pub struct NoArray;

#[cfg(not(sparsemem_loom))]
// SAFETY: no addresses are set aside, and the claim is a static of this function alone.
unsafe impl ArrayPlace for NoArray {
    const START: u64 = 1 << 21;
    const BYTES: u64 = 0;

    fn claim() -> &'static PlaceClaim {
        // Taken from the start, so no model can take it, and no code ever changes it.
        static CLAIMED: PlaceClaim = PlaceClaim { taken: AtomicBool::new(true) };
        &CLAIMED
    }
}
