//! Protects readers from removal: a grace period for several processors, by counting what each reads.
//!
//! It is meant to be copied. It needs from its kernel the number of processors (`MOST`), and the one that is running
//! (`this`). Two things have to be true of the kernel: a guard is dropped on the processor that made it, so a kernel
//! with a scheduler keeps the holder of a guard where it is; and whoever removes memory holds no guard.
//!
//! Each processor has one word for itself. Its low half is the number of guards, its high half counts the times that a
//! first guard was made. A removal looks at each word once: if there are guards, it waits until either half has changed.
//! It never waits for a reader that came later, so readers that come all the time cannot hold it up.
//!
//! # Invariants
//!
//! 1. The low half of a processor's word is the number of its guards. A guard that is forgotten counts for ever, which is
//!    safe: a removal then never ends. At 2^32 - 1 the number stays, for ever.
//! 2. Only its own processor stores a word. An interrupt handler that reads drops its guards before it returns, so the
//!    interrupted code finds the low half as it was. It may then store an older high half: a removal that waits for the
//!    handler's guard waits for the interrupted code's guard, too, which is safe.
//!
//! # Cost
//!
//! A guard costs a load, a store and a full barrier on the processor's own cache line, and dropping it a load and a store.
//! A grace period costs a load per processor, and takes as long as the longest reading that it finds.
//!
//! Source: this is the idea of Linux' SRCU (a count of readers per processor, and two barriers), with words that the
//! waiter need not add up.

use core::hint::spin_loop;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use sparsemem::{GracePeriod, Reclaim};

use crate::arch::processors::this;
use crate::defect::Defect;
use crate::processors::MOST;

/// The word of a processor, in a cache line of its own.
#[repr(align(64))]
struct Reading(AtomicU64);

/// One more guard.
const GUARD: u64 = 1;
/// The number of guards in a word.
const GUARDS: u64 = u32::MAX as u64;
/// One more time that a first guard was made.
const TIME: u64 = GUARDS + 1;

/// The words of all processors.
static READING: [Reading; MOST] = [const { Reading(AtomicU64::new(0)) }; MOST];

/// The domain of this kernel's readers.
pub(crate) struct Readers;

/// A reader. It stays on its processor, so it cannot be sent to another.
#[derive(Debug)]
pub(crate) struct Guard(PhantomData<*mut ()>);

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        let word = &READING[this().index()].0;
        // Relaxed: only this processor stores the word.
        let before = word.load(Ordering::Relaxed);
        let step = if before & GUARDS == GUARDS { 0 } else { GUARD };
        // Release: pairs with the Acquire in `synchronize`, so what this reader did happens before the removal goes on.
        word.store(before - step, Ordering::Release);
    }
}

// SAFETY: `synchronize` looks at the word of every processor, and returns only after a guard that was counted there is
// gone (invariants 1 and 2). A guard is counted before the barrier at its making, and so before its reader's first load.
unsafe impl Reclaim for Readers {
    type Guard = Guard;

    #[inline]
    fn enter() -> Self::Guard {
        let word = &READING[this().index()].0;
        // Relaxed: only this processor stores the word.
        let before = word.load(Ordering::Relaxed);
        let step = match before & GUARDS {
            0 => TIME + GUARD,
            GUARDS => 0,
            _ => GUARD,
        };
        // Release: a removal that finds this count knows that the readers before are gone, and what they did.
        word.store(before.wrapping_add(step), Ordering::Release);
        // SeqCst: pairs with the barrier in `synchronize`. Either the removal sees this guard, or this reader sees all that
        // was unpublished before the removal looked. Also for a guard beside others: it may be that of a handler that
        // interrupted the making of the first, before its barrier.
        fence(Ordering::SeqCst);
        Guard(PhantomData)
    }
}

// SAFETY: the barrier orders what was unpublished before the loads. A processor whose word has no guards then makes
// its next guard later, and its barrier makes that reader see what was unpublished. Of another processor, every guard
// that existed is gone when there are none, or when the count of first guards has changed, which happens only after
// there were none. The Acquire orders what those readers did before the return. It does not unwind: a panic ends the run.
unsafe impl GracePeriod for Readers {
    /// Waits for the readers of all other processors.
    ///
    /// # Panics
    ///
    /// If the calling processor reads itself: the wait would have no end.
    fn synchronize() {
        if Defect::NoGracePeriod.is_on() {
            return;
        }
        // SeqCst: pairs with the barrier in `enter`.
        fence(Ordering::SeqCst);
        let own = this().index();
        for (nr, Reading(word)) in READING.iter().enumerate() {
            // Acquire, both: pairs with the Release of every store of the word.
            let first = word.load(Ordering::Acquire);
            let held = first & GUARDS;
            assert!(
                nr != own || held == 0,
                "memory is removed under a reader: {held} held, and to wait would deadlock"
            );
            let is_read = |now: u64| now & GUARDS != 0 && now / TIME == first / TIME;
            while is_read(word.load(Ordering::Acquire)) {
                spin_loop();
            }
        }
    }
}
