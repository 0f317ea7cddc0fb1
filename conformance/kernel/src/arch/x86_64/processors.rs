//! The operations of this kernel on several processors, as x86_64 does them: interrupts between them, and the flush of
//! everybody's translations by interrupts, because no instruction reaches another processor.

use sparsemem::VirtRange;
use x86_64::instructions::interrupts;

use super::{apic, trap};
use crate::processors::flush;

pub(crate) use super::local::this;
pub(crate) use super::start::start;

/// True if a flush has to interrupt the other processors.
pub(crate) const FLUSHES_BY_INTERRUPTS: bool = true;
/// The reason why nobody can notice here that a flush is not waited for; `None` because readers can.
pub(crate) const WAITS_UNNOTICED: Option<&str> = None;

/// Makes the calling processor take interrupts.
pub(crate) fn take_interrupts() {
    apic::silence_others();
    apic::switch_on();
    interrupts::enable();
}

/// The number that firmware gives to the calling processor.
pub(crate) fn hardware_id() -> crate::processors::HardwareId {
    apic::id()
}

/// Does something without being interrupted.
pub(crate) fn uninterrupted<T>(what: impl FnOnce() -> T) -> T {
    interrupts::without_interrupts(what)
}

/// Makes every processor use entries of a range that were empty: nothing, because none caches empty entries.
pub(crate) const fn published_everywhere(_: VirtRange) {}

/// Removes the translations of a range from every processor, and returns when none has any.
pub(crate) fn flush_everywhere(range: VirtRange) {
    flush::by_interrupts(range, || apic::interrupt_others(trap::FLUSH));
}

/// Interrupts the calling processor again and again, until [`stop_timer`].
pub(crate) fn start_timer() {
    /// QEMU's timer has 1 GHz, so that this is 0.5 ms.
    const TICKS: u32 = 500_000;
    apic::start_timer(trap::TIMER, TICKS);
}

/// Ends the interruptions of [`start_timer`].
pub(crate) fn stop_timer() {
    apic::stop_timer();
}
