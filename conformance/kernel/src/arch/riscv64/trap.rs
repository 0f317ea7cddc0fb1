//! Handles traps.
//!
//! # Invariants
//!
//! 1. Traps have a stack of their own on each processor (`sscratch`), and a trap while handling one has another: until the handler is
//!    done, `stvec` leads to its entry.
//! 2. A fault is expected only while [`EXPECTED`] is set; every other trap that is not an interrupt ends the run with a
//!    message.
//! 3. Handlers of interrupts are not interrupted, and no expected fault happens in them.
//!
//! Source: RISC-V privileged architecture 20211203, 4.1.1 to 4.1.9.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};

use super::super::may_fault::{accesses, is_guard};
use super::processors::{acknowledge_interrupt, start_timer, this};
use crate::processors::{self, Interruption, MOST, Processor, flush};

/// For each processor, the address at which a fault continues with a0 = 1; zero if none is expected.
static EXPECTED: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

/// The contents of the stack in a trap, in the order of addresses.
#[repr(C)]
struct Frame {
    /// The registers that a called function may change: ra, t0 to t6, a0 to a7.
    registers: [u64; 16],
    /// `sepc`: the instruction.
    at: u64,
    /// `scause`: the kind of trap.
    cause: u64,
    /// `stval`: the address of a fault.
    address: u64,
    /// The stack of the interrupted code.
    stack: u64,
}

/// The place of a0 in a frame.
const A0: usize = 8;

global_asm!(
    r#"
    .section .text.vectors, "ax", @progbits
    .balign 4
    .globl trap_entry
trap_entry:
    csrrw   sp, sscratch, sp
    addi    sp, sp, -160
    sd      ra, 0(sp)
    sd      t0, 8(sp)
    sd      t1, 16(sp)
    sd      t2, 24(sp)
    sd      t3, 32(sp)
    sd      t4, 40(sp)
    sd      t5, 48(sp)
    sd      t6, 56(sp)
    sd      a0, 64(sp)
    sd      a1, 72(sp)
    sd      a2, 80(sp)
    sd      a3, 88(sp)
    sd      a4, 96(sp)
    sd      a5, 104(sp)
    sd      a6, 112(sp)
    sd      a7, 120(sp)
    csrr    t0, sepc
    sd      t0, 128(sp)
    csrr    t0, scause
    sd      t0, 136(sp)
    csrr    t0, stval
    sd      t0, 144(sp)
    csrr    t0, sscratch
    sd      t0, 152(sp)
    la      t0, trap_nested
    csrw    stvec, t0
    mv      a0, sp
    call    {handle}
    la      t0, trap_entry
    csrw    stvec, t0
    ld      t0, 128(sp)
    csrw    sepc, t0
    ld      ra, 0(sp)
    ld      t0, 8(sp)
    ld      t1, 16(sp)
    ld      t2, 24(sp)
    ld      t3, 32(sp)
    ld      t4, 40(sp)
    ld      t5, 48(sp)
    ld      t6, 56(sp)
    ld      a0, 64(sp)
    ld      a1, 72(sp)
    ld      a2, 80(sp)
    ld      a3, 88(sp)
    ld      a4, 96(sp)
    ld      a5, 104(sp)
    ld      a6, 112(sp)
    ld      a7, 120(sp)
    addi    sp, sp, 160
    csrrw   sp, sscratch, sp
    sret

    .balign 4
trap_nested:
    la      sp, nested_stack_top
    csrr    a0, sepc
    csrr    a1, scause
    csrr    a2, stval
    call    {handle_nested}
"#,
    handle = sym handle,
    handle_nested = sym handle_nested,
);

unsafe extern "C" {
    /// The entry of all traps.
    static trap_entry: u8;
}

/// Makes traps of the calling processor end the run with a message from now on.
pub(crate) fn install(_: Processor) {
    let entry = (&raw const trap_entry).addr();
    // SAFETY: the entry is code for every trap of this kernel, aligned as the register demands.
    unsafe { asm!("csrw stvec, {}", in(reg) entry, options(nostack)) };
}

/// The causes that an access to an address can have: refused by the memory, or not mapped; of loads and of stores.
const ACCESS: [u64; 4] = [5, 7, 13, 15];

/// In a cause: the trap is an interrupt.
const INTERRUPT: u64 = 1 << 63;
/// The interrupts of other processors and of the timer.
const OF_PROCESSORS: u64 = INTERRUPT | 1;
const OF_TIMER: u64 = INTERRUPT | 5;

/// Handles a trap or an interrupt.
extern "C" fn handle(frame: &mut Frame) {
    match frame.cause {
        OF_PROCESSORS => {
            acknowledge_interrupt();
            flush::requested();
        }
        OF_TIMER => {
            start_timer();
            processors::interrupted(Interruption::Timer);
        }
        _ => handle_fault(frame),
    }
}

/// Handles a trap that is not an interrupt.
fn handle_fault(frame: &mut Frame) {
    // Relaxed, all accesses: the same processor stored it, before the instruction that trapped.
    let expected = EXPECTED[this().index()].swap(0, Ordering::Relaxed);
    let is_access = ACCESS.contains(&frame.cause);
    if is_access && expected != 0 {
        processors::interrupted(Interruption::Fault);
        frame.at = expected;
        frame.registers[A0] = 1;
        return;
    }
    let Frame { at, cause, address, stack, .. } = *frame;
    if is_access && is_guard(address) {
        panic!("the boot stack is full, at {at:#x}, stack {stack:#x}");
    }
    panic!("{} ({cause:#x}) at {at:#x}, address {address:#x}, stack {stack:#x}", name(cause));
}

/// Handles a trap while another is handled.
extern "C" fn handle_nested(at: u64, cause: u64, address: u64) -> ! {
    panic!("a fault while handling a fault ({cause:#x}), at {at:#x}, address {address:#x}");
}

/// The name of a cause.
const fn name(cause: u64) -> &'static str {
    match cause {
        2 => "an invalid instruction",
        1 | 12 => "a fault on an instruction's address",
        5 | 7 | 13 | 15 => "a fault on an address",
        4 | 6 => "a misaligned address",
        _ => "a trap",
    }
}

accesses! {
    expected: EXPECTED[this().index()], faulted: "a0",
    expect: ["la {next}, 2f", "sd {next}, 0({expected})"],
    load: "lbu {byte}, 0({at})", store: "sb {byte}, 0({at})",
}
