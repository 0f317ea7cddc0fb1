//! The interrupt controller (GICv2) and the timer of each processor, which is the only device that interrupts this kernel.
//!
//! Source: Arm IHI 0048 (GICv2), 4.3 and 4.4; Arm ARM (DDI 0487), D12.2 (timers); QEMU `hw/arm/virt.c` (`base_memmap`,
//! `ARCH_TIMER_VIRT_IRQ`).

use core::arch::asm;
use core::ptr::with_exposed_provenance_mut;

use super::ticks_per_second;

/// A register, by its address, which entry code maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Register {
    /// Switches the distributor on.
    Distributor = 0x0800_0000,
    /// The bits of the interrupts that each processor has for itself: writing a one enables it.
    Enable = 0x0800_0100,
    /// Switches the calling processor's interface on.
    Interface = 0x0801_0000,
    /// Interrupts of lower priority than this one are kept away.
    Priority = 0x0801_0004,
    /// Reading it begins the handling of an interrupt, and gives its number.
    Begin = 0x0801_000c,
    /// Writing the number ends it.
    End = 0x0801_0010,
}

/// The virtual timer's interrupt.
const TIMER: u32 = 27;
/// The part of a number that names the interrupt.
const NUMBER: u32 = 0x3ff;
/// The lowest priority.
const LOWEST: u32 = 0xff;

impl Register {
    /// Its place.
    fn place(self) -> *mut u32 {
        with_exposed_provenance_mut(self as usize)
    }

    /// Reads it.
    fn read(self) -> u32 {
        // SAFETY: the board has the register there, mapped as a device, and each processor uses its own.
        unsafe { self.place().read_volatile() }
    }

    /// Writes it.
    fn write(self, value: u32) {
        // SAFETY: as for `read`; of the distributor, all processors write the same.
        unsafe { self.place().write_volatile(value) }
    }
}

/// Lets the timer's interrupts through to the calling processor.
pub(super) fn switch_on() {
    Register::Distributor.write(1);
    Register::Enable.write(1 << TIMER);
    Register::Priority.write(LOWEST);
    Register::Interface.write(1);
}

/// Handles an interrupt; `on_timer` runs if it is the timer's, which then starts again.
pub(super) fn handle(on_timer: impl FnOnce()) {
    let begun = Register::Begin.read();
    if begun & NUMBER == TIMER {
        start_timer();
        on_timer();
        Register::End.write(begun);
    }
    // Another number is that of an interrupt that went away, and expects no answer.
}

/// Interrupts the calling processor in half a millisecond, and, as [`handle`] does it again, until [`stop_timer`].
pub(crate) fn start_timer() {
    let ticks = ticks_per_second() / 2000;
    // SAFETY: the timer does nothing but interrupt.
    unsafe { asm!("msr cntv_tval_el0, {}", in(reg) ticks, options(nomem, nostack, preserves_flags)) };
    // SAFETY: as above.
    unsafe { asm!("msr cntv_ctl_el0, {}", "isb", in(reg) 1_u64, options(nomem, nostack, preserves_flags)) };
}

/// Ends the interruptions of [`start_timer`].
pub(crate) fn stop_timer() {
    // SAFETY: the timer does nothing but interrupt.
    unsafe { asm!("msr cntv_ctl_el0, xzr", "isb", options(nomem, nostack, preserves_flags)) };
}
