//! Flush by interrupts: a processor makes all others forget translations, and waits until each has said that it did.
//!
//! # Invariants
//!
//! 1. [`REQUEST`] belongs to one requester at a time, from the store of the range to the last acknowledgement.
//! 2. A requester takes interrupts while it waits, for the lock too, so two requesters do not wait for each other for
//!    ever. Whoever keeps interrupts away delays every flush, and must not wait for a requester.
//! 3. The bit of a processor in [`WAITING`] is cleared after its flush, by the processor itself.

#![allow(dead_code, reason = "not every processor has to be interrupted for a flush")]

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem::{ByteLen, VirtAddr, VirtRange};
use spin::Mutex;

use super::{MOST, others};
use crate::arch::{page_table, processors as own};
use crate::defect::Defect;

/// The right to make a request.
static REQUEST: Mutex<()> = Mutex::new(());
/// The range of the request.
static START: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
/// The processors whose acknowledgement is outstanding, as bits.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// The requests that other processors had to acknowledge, and what each has acknowledged.
static REQUESTED: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static ACKNOWLEDGED: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

/// Removes the translations of a range from this processor and, by `interrupt`, from all others; returns when everybody
/// has done it.
pub(crate) fn by_interrupts(range: VirtRange, interrupt: impl FnOnce()) {
    let _request = REQUEST.lock();
    let others = others();
    if others != 0 {
        // Relaxed, all: the store of `WAITING` publishes them.
        START.store(range.start().get(), Ordering::Relaxed);
        BYTES.store(range.count().get(), Ordering::Relaxed);
        let asked = REQUESTED.iter().enumerate().filter(|(nr, _)| others >> nr & 1 != 0);
        asked.for_each(|(_, count)| _ = count.fetch_add(1, Ordering::Relaxed));
        // Release: pairs with the Acquire of `requested`. The entries of page tables were changed before, too.
        WAITING.store(others, Ordering::Release);
        if !Defect::NoFlush.is_on() {
            interrupt();
        }
    }
    page_table::flush(range);
    if Defect::NoFlush.is_on() || Defect::FlushUnacknowledged.is_on() {
        return;
    }
    // Acquire: pairs with the Release of `requested`: whoever gets the memory next comes after everybody's flush.
    while WAITING.load(Ordering::Acquire) != 0 {
        spin_loop();
    }
}

/// Called by the handler of the interrupt: flushes, and says so.
pub(crate) fn requested() {
    let this = own::this();
    // Acquire: pairs with the Release of `by_interrupts`.
    if WAITING.load(Ordering::Acquire) & this.bit() == 0 {
        return;
    }
    // Relaxed, both: published by the store that was just acquired, and not stored again before this processor's bit is
    // cleared.
    let start = VirtAddr::new(START.load(Ordering::Relaxed));
    let bytes = ByteLen::new(BYTES.load(Ordering::Relaxed));
    VirtRange::from_start_count(start, bytes).into_iter().for_each(page_table::flush);
    // Relaxed: only this processor adds to it; a reader of the count comes after the Release below.
    ACKNOWLEDGED[this.index()].fetch_add(1, Ordering::Relaxed);
    // Release: pairs with the Acquire of `by_interrupts`.
    WAITING.fetch_and(!this.bit(), Ordering::Release);
}

/// For each processor, how many flushes others have asked it for, and how many of them it has acknowledged.
pub(crate) fn counts() -> [(u64, u64); MOST] {
    let of = |nr: usize| {
        // Relaxed, both: read after the work of all processors, or only as a number.
        let [asked, done] = [&REQUESTED, &ACKNOWLEDGED].map(|counts| counts[nr].load(Ordering::Relaxed));
        (asked, done)
    };
    core::array::from_fn(of)
}
