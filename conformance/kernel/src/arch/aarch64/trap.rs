//! Handles traps.
//!
//! # Invariants
//!
//! 1. Traps have a stack of their own on each processor (`SP_EL1`), and a trap while handling one has another.
//! 2. A fault is expected only while [`EXPECTED`] is set; every other trap that is not an interrupt ends the run with a
//!    message.
//! 3. Handlers of interrupts are not interrupted, and no expected fault happens in them.
//!
//! Source: Arm ARM (DDI 0487), D1.3.2 (vectors), D24.2.39 (`ESR_EL1`).

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};

use super::super::may_fault::{accesses, is_guard};
use super::gic;
use super::processors::{claim, this};
use crate::processors::{self, Interruption, MOST, Processor};

/// For each processor, the address at which a fault continues with x0 = 1; zero if none is expected.
static EXPECTED: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

/// The contents of the stack in a trap, in the order of addresses.
#[repr(C)]
struct Frame {
    /// x0 to x30.
    registers: [u64; 31],
    /// `ELR_EL1`: the instruction.
    at: u64,
    /// `ESR_EL1`: the class and the details.
    syndrome: u64,
    /// `FAR_EL1`: the address of a fault.
    address: u64,
    /// `SP_EL0`: the stack of the interrupted code.
    stack: u64,
    /// The place of the vector among the four of its kind: a fault, an interrupt, or others.
    kind: u64,
}

// Sixteen vectors of 128 bytes: four for traps of the kernel on `SP_EL0`, four on `SP_EL1`, which are those of handlers,
// and eight from EL0, where nothing runs.
global_asm!(
    r#"
    .section .text.vectors, "ax", %progbits
    .balign 2048
    .globl trap_vectors
trap_vectors:
    .irp    kind, 0, 1, 2, 3
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    mov     x0, #\kind
    b       trap_entry
    .balign 128
    .endr
    .rept 12
    b       trap_nested
    .balign 128
    .endr

trap_entry:
    str     x0, [sp, #280]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x0, elr_el1
    stp     x30, x0, [sp, #240]
    mrs     x0, esr_el1
    mrs     x1, far_el1
    stp     x0, x1, [sp, #256]
    mrs     x0, sp_el0
    str     x0, [sp, #272]
    mov     x0, sp
    bl      {handle}
    ldp     x30, x0, [sp, #240]
    msr     elr_el1, x0
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    add     sp, sp, #288
    eret

trap_nested:
    adrp    x0, nested_stack_top
    mov     sp, x0
    mrs     x0, elr_el1
    mrs     x1, esr_el1
    mrs     x2, far_el1
    bl      {handle_nested}
"#,
    handle = sym handle,
    handle_nested = sym handle_nested,
);

unsafe extern "C" {
    /// The vectors.
    static trap_vectors: u8;
}

/// Makes the calling processor the one of this number; its traps end the run with a message from now on.
pub(crate) fn install(processor: Processor) {
    claim(processor);
    let vectors = (&raw const trap_vectors).addr();
    // SAFETY: the vectors are code for every trap of this kernel, aligned as the register demands.
    unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) vectors, options(nostack)) };
}

/// The class of a trap: an access to memory that was not allowed, from the same level.
const DATA_ABORT: u64 = 0x25;

/// Handles a trap or an interrupt.
extern "C" fn handle(frame: &mut Frame) {
    /// The vectors of faults and of interrupts.
    const FAULT: u64 = 0;
    const INTERRUPT: u64 = 1;
    if frame.kind == INTERRUPT {
        return gic::handle(|| processors::interrupted(Interruption::Timer));
    }
    // Relaxed, all accesses: the same processor stored it, before the instruction that trapped.
    let expected = EXPECTED[this().index()].swap(0, Ordering::Relaxed);
    let class = frame.syndrome >> 26;
    if frame.kind == FAULT && class == DATA_ABORT && expected != 0 {
        processors::interrupted(Interruption::Fault);
        frame.at = expected;
        frame.registers[0] = 1;
        return;
    }
    let Frame { at, syndrome, address, stack, .. } = *frame;
    if class == DATA_ABORT && is_guard(address) {
        panic!("the boot stack is full, at {at:#x}, stack {stack:#x}");
    }
    panic!("{} at {at:#x}, syndrome {syndrome:#x}, address {address:#x}, stack {stack:#x}", name(class));
}

/// Handles a trap while another is handled.
extern "C" fn handle_nested(at: u64, syndrome: u64, address: u64) -> ! {
    panic!("a fault while handling a fault, at {at:#x}, syndrome {syndrome:#x}, address {address:#x}");
}

/// The name of a class.
const fn name(class: u64) -> &'static str {
    match class {
        0x00 => "an invalid instruction",
        0x21 => "a fault on an instruction's address",
        DATA_ABORT => "a fault on an address",
        0x22 | 0x26 => "a misaligned address",
        _ => "a trap",
    }
}

accesses! {
    expected: EXPECTED[this().index()], faulted: "x0",
    expect: ["adr {next}, 2f", "str {next}, [{expected}]"],
    load: "ldrb {byte:w}, [{at}]", store: "strb {byte:w}, [{at}]",
}
