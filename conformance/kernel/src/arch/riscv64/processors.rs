//! The operations of this kernel on several processors, as riscv64 does them: firmware starts harts and interrupts
//! them. A flush is an interrupt that is acknowledged; the fence for new entries is firmware's, which waits for the
//! harts.
//!
//! # Invariants
//!
//! 1. From the first instructions on, `tp` is the number of the processor: no code of this kernel uses thread-locals, which
//!    are what compilers use it for.

use core::arch::asm;

use sparsemem::VirtRange;

use super::{entry, firmware_call, ticks, ticks_per_second};
use crate::processors::{HardwareId, Processor, flush, others};

pub(crate) use super::super::by_firmware::start;

/// True if a flush has to interrupt the other processors.
pub(crate) const FLUSHES_BY_INTERRUPTS: bool = true;
/// The reason why nobody can notice here that a flush is not waited for; `None` because readers can.
pub(crate) const WAITS_UNNOTICED: Option<&str> = None;

/// Interrupts of `sie` and `sip`: of software, and of the timer.
const SOFTWARE: u64 = 1 << 1;
const TIMER: u64 = 1 << 5;
/// In `sstatus`: interrupts are taken.
const TAKEN: u64 = 1 << 1;

/// The calling processor.
#[inline]
pub(crate) fn this() -> Processor {
    let nr: usize;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("mv {}, tp", out(reg) nr, options(nomem, nostack, preserves_flags)) };
    Processor::new(nr)
}

/// Makes the calling processor take interrupts.
pub(crate) fn take_interrupts() {
    if this() == Processor::FIRST {
        firmware_call::is_first(hardware_id());
    }
    // SAFETY: the entry of traps is installed.
    unsafe { asm!("csrs sie, {}", in(reg) SOFTWARE | TIMER, options(nostack, preserves_flags)) };
    // SAFETY: as above.
    unsafe { asm!("csrs sstatus, {}", in(reg) TAKEN, options(nostack, preserves_flags)) };
}

/// The hart of the calling processor, which has to be the first.
pub(crate) fn hardware_id() -> HardwareId {
    HardwareId::new(entry::first_hart())
}

/// Does something without being interrupted.
pub(crate) fn uninterrupted<T>(what: impl FnOnce() -> T) -> T {
    let before: u64;
    // SAFETY: interrupts that are kept away come later.
    unsafe {
        asm!("csrrc {}, sstatus, {}", out(reg) before, in(reg) TAKEN, options(nostack, preserves_flags));
    }
    let result = what();
    // SAFETY: this is the state from before.
    unsafe { asm!("csrs sstatus, {}", in(reg) before & TAKEN, options(nostack, preserves_flags)) };
    result
}

/// Makes every processor use entries of a range that were empty: whoever stored them has a fence, and the others may have
/// cached that they are empty.
pub(crate) fn published_everywhere(_: VirtRange) {
    if others() != 0 {
        firmware_call::fence_others();
    }
}

/// Removes the translations of a range from every processor, and returns when none has any.
pub(crate) fn flush_everywhere(range: VirtRange) {
    flush::by_interrupts(range, firmware_call::interrupt_others);
}

/// An interrupt of another processor was taken: its flush is still to be made.
pub(super) fn acknowledge_interrupt() {
    // SAFETY: the bit says only that there was such an interrupt. Whoever makes a request after this interrupts again.
    unsafe { asm!("csrc sip, {}", in(reg) SOFTWARE, options(nostack, preserves_flags)) };
}

/// Interrupts the calling processor in half a millisecond, and, as the handler does it again, until [`stop_timer`].
pub(crate) fn start_timer() {
    firmware_call::set_timer(ticks() + ticks_per_second() / 2000);
}

/// Ends the interruptions of [`start_timer`].
pub(crate) fn stop_timer() {
    firmware_call::set_timer(u64::MAX);
}
