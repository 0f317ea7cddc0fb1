//! The processor's own interrupt controller (local APIC): it starts other processors, interrupts them, and has a timer.
//!
//! Source: Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller".

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

use sparsemem::PhysAddr;
use x86_64::instructions::port::Port;

use crate::direct_map;
use crate::processors::HardwareId;

/// The physical address of its registers; firmware leaves them there.
const REGISTERS: PhysAddr = PhysAddr::new(0xfee0_0000);

/// A register, by its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Register {
    /// The controller's number, in the high byte.
    Id = 0x20,
    /// Written at the end of an interrupt.
    End = 0xb0,
    /// The vector for interrupts that went away, and the bit that switches the controller on.
    Spurious = 0xf0,
    /// The command: what to send, and to whom.
    Command = 0x300,
    /// The receiver, in the high byte; written before the command.
    Receiver = 0x310,
    /// The vector and mode of the timer.
    Timer = 0x320,
    /// The number from which the timer counts down.
    TimerStart = 0x380,
    /// The number by which the timer's clock is divided.
    TimerDivide = 0x3e0,
}

/// The vector of interrupts that went away.
pub(super) const SPURIOUS: u8 = 0xff;
/// In the register of that vector: the controller is on.
const ON: u32 = 1 << 8;
/// In a command: the level is asserted.
const ASSERT: u32 = 1 << 14;
/// In a command: not delivered yet.
const PENDING: u32 = 1 << 12;
/// In a command: to all processors except this one.
const TO_OTHERS: u32 = 3 << 18;
/// In a command: reset the processor, which then waits.
const INIT: u32 = 5 << 8;
/// In a command: begin at the page whose number is the vector.
const BEGIN: u32 = 6 << 8;
/// In the register of the timer: it starts again whenever it ends.
const PERIODIC: u32 = 1 << 17;
/// In the register of the timer: it interrupts nobody.
const MASKED: u32 = 1 << 16;
/// The timer's clock is not divided.
const UNDIVIDED: u32 = 0xb;

/// A register of the calling processor's controller; `None` if the direct map does not reach it, which it does.
fn register(register: Register) -> Option<&'static AtomicU32> {
    let at = direct_map::to_virt(PhysAddr::new(REGISTERS.get() + register as u64))?;
    // SAFETY: entry code has mapped the registers, every access is one of 32 bits, and each processor has its own there.
    Some(unsafe { at.cast::<AtomicU32>().as_ref() })
}

/// Writes a register.
fn write(of: Register, value: u32) {
    // Release: what was stored before an interrupt is sent is there when it arrives.
    register(of).into_iter().for_each(|register| register.store(value, Ordering::Release));
}

/// Reads a register.
fn read(of: Register) -> u32 {
    // Acquire: it pairs with nothing; the device answers.
    register(of).map_or(0, |register| register.load(Ordering::Acquire))
}

/// The number of the calling processor's controller.
pub(super) fn id() -> HardwareId {
    HardwareId::new(u64::from(read(Register::Id) >> 24))
}

/// Switches the calling processor's controller on.
pub(super) fn switch_on() {
    write(Register::Spurious, ON | u32::from(SPURIOUS));
}

/// Keeps the interrupt controllers of older PCs silent, whose vectors are those of faults.
pub(super) fn silence_others() {
    /// The ports of their masks.
    const MASKS: [u16; 2] = [0x21, 0xa1];
    for port in MASKS {
        // SAFETY: the port masks interrupts, of which this kernel uses none.
        unsafe { Port::new(port).write(u8::MAX) };
    }
}

/// Sends a command, and waits until it is delivered.
fn send(receiver: HardwareId, command: u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the high byte holds the whole number")]
    write(Register::Receiver, (receiver.get() as u32) << 24);
    write(Register::Command, command | ASSERT);
    while read(Register::Command) & PENDING != 0 {
        spin_loop();
    }
}

/// Resets another processor, which then waits for [`begin`].
pub(super) fn reset(receiver: HardwareId) {
    send(receiver, INIT);
}

/// Makes a processor that was reset begin at a page below 1 MiB.
pub(super) fn begin(receiver: HardwareId, page: u8) {
    send(receiver, BEGIN | u32::from(page));
}

/// Interrupts all other processors that were started.
pub(super) fn interrupt_others(vector: u8) {
    send(HardwareId::new(0), TO_OTHERS | u32::from(vector));
}

/// Ends the handling of an interrupt.
pub(super) fn end() {
    write(Register::End, 0);
}

/// Interrupts the calling processor again and again, after so many ticks of the timer.
pub(super) fn start_timer(vector: u8, ticks: u32) {
    write(Register::TimerDivide, UNDIVIDED);
    write(Register::Timer, PERIODIC | u32::from(vector));
    write(Register::TimerStart, ticks);
}

/// Stops the timer.
pub(super) fn stop_timer() {
    write(Register::Timer, MASKED);
    write(Register::TimerStart, 0);
}
