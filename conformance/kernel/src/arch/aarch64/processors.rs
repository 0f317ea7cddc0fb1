//! The operations of this kernel on several processors, as arm64 does them: firmware starts them, and no flush
//! interrupts anybody, because an instruction reaches all processors and a barrier waits for them.
//!
//! # Invariants
//!
//! 1. From [`claim`] on, `TPIDR_EL1` is the number of the processor. Before, it is that of the first, which is zero.

use core::arch::asm;

use sparsemem::VirtRange;

use super::{gic, page_table};
use crate::defect::Defect;
use crate::processors::{HardwareId, Processor};

pub(crate) use super::super::by_firmware::start;
pub(crate) use super::gic::{start_timer, stop_timer};

/// True if a flush has to interrupt the other processors.
pub(crate) const FLUSHES_BY_INTERRUPTS: bool = false;
/// The reason why nobody can notice here that a flush is not waited for.
pub(crate) const WAITS_UNNOTICED: Option<&str> = Some(
    "QEMU has made all processors forget when `tlbi` is done, so that the barrier after it changes nothing",
);

/// Makes the calling processor the one of this number.
pub(super) fn claim(processor: Processor) {
    // SAFETY: the register is for the kernel's use, and only `this` reads it.
    unsafe { asm!("msr tpidr_el1, {}", in(reg) processor.index(), options(nomem, nostack, preserves_flags)) };
}

/// The calling processor.
#[inline]
pub(crate) fn this() -> Processor {
    let nr: usize;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("mrs {}, tpidr_el1", out(reg) nr, options(nomem, nostack, preserves_flags)) };
    Processor::new(nr)
}

/// Makes the calling processor take interrupts.
pub(crate) fn take_interrupts() {
    gic::switch_on();
    // SAFETY: the vectors of interrupts are installed.
    unsafe { asm!("msr daifclr, #2", options(nostack, preserves_flags)) };
}

/// The number that the device tree gives to the calling processor.
pub(crate) fn hardware_id() -> HardwareId {
    /// The parts of the register that name the processor.
    const AFFINITY: u64 = 0xff_00ff_ffff;
    let id: u64;
    // SAFETY: reading the register changes nothing.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) id, options(nomem, nostack, preserves_flags)) };
    HardwareId::new(id & AFFINITY)
}

/// Does something without being interrupted.
pub(crate) fn uninterrupted<T>(what: impl FnOnce() -> T) -> T {
    let before: u64;
    // SAFETY: interrupts that are kept away come later.
    unsafe { asm!("mrs {}, daif", "msr daifset, #2", out(reg) before, options(nostack, preserves_flags)) };
    let result = what();
    // SAFETY: this is the state from before.
    unsafe { asm!("msr daif, {}", in(reg) before, options(nostack, preserves_flags)) };
    result
}

/// Makes every processor use entries of a range that were empty: nothing, because whoever stored them has waited until the
/// walkers of all processors see them, and none caches empty entries.
pub(crate) const fn published_everywhere(_: VirtRange) {}

/// Removes the translations of a range from every processor, and returns when none has any: a broadcast, and a barrier.
pub(crate) fn flush_everywhere(range: VirtRange) {
    if Defect::NoFlush.is_on() {
        page_table::flush_here();
    } else {
        page_table::flush(range);
    }
}
