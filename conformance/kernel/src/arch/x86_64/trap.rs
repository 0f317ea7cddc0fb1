//! Handles traps and interrupts.
//!
//! # Invariants
//!
//! 1. Every gate has its own stack, so that the 128 bytes below the stack pointer of the interrupted code stay
//!    unchanged: code for hosts, such as their `core`, keeps locals there. Each processor has stacks of its own.
//! 2. A page fault is expected only while [`Local::expected`](super::local::Local::expected) is set; every other trap
//!    that is not an interrupt ends the run with a message.
//! 3. Handlers of interrupts are not interrupted, and no expected page fault happens in them.

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering;

use spin::LazyLock as Lazy;
use x86_64::VirtAddr;
use x86_64::instructions::tables::load_tss;
use x86_64::registers::control::Cr2;
use x86_64::registers::segmentation::{CS, DS, SS, Segment};
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

use super::super::may_fault::{accesses, is_guard};
use super::{apic, local};
use crate::processors::{self, Interruption, MOST, Processor, flush};

/// The vector by which a processor asks the others to flush translations.
pub(super) const FLUSH: u8 = 0x40;
/// The vector of the timer.
pub(super) const TIMER: u8 = 0x41;

/// The contents of the stack in a trap, in the order of addresses.
#[repr(C)]
struct Frame {
    /// RAX, RCX, RDX, RSI, RDI, R8 to R11: the registers that a called function may change.
    scratch: [u64; 9],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Bytes of a trap's stack.
const STACK_BYTES: usize = 32 << 10;

/// A stack.
#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: only one processor uses the contents.
unsafe impl Sync for Stack {}

/// The stacks of each processor: of faults, of faults while handling faults, and of interrupts.
static STACKS: [[Stack; 3]; MOST] = [const { [const { Stack(UnsafeCell::new([0; STACK_BYTES])) }; 3] }; MOST];

/// The stacks of a processor, in the form of the processor.
fn task_state(stacks: &[Stack; 3]) -> TaskStateSegment {
    let mut tss = TaskStateSegment::new();
    // The structure is packed: its field cannot be borrowed.
    let mut table = tss.interrupt_stack_table;
    for (slot, stack) in table.iter_mut().zip(stacks) {
        *slot = VirtAddr::from_ptr(stack.0.get().wrapping_add(1));
    }
    tss.interrupt_stack_table = table;
    tss
}

static TSS: Lazy<[TaskStateSegment; MOST]> = Lazy::new(|| STACKS.each_ref().map(task_state));

static IDT: Lazy<InterruptDescriptorTable> = Lazy::new(|| {
    let mut idt = InterruptDescriptorTable::new();
    let address = |stub: unsafe extern "C" fn()| VirtAddr::new(stub as *const () as u64);
    // SAFETY: the stub is for a vector without an error code.
    let invalid_opcode = unsafe { idt.invalid_opcode.set_handler_addr(address(on_invalid_opcode)) };
    // SAFETY: the stack is that of faults, which do not nest.
    unsafe { invalid_opcode.set_stack_index(0) };
    // SAFETY: the stub is for a vector with an error code.
    let double_fault = unsafe { idt.double_fault.set_handler_addr(address(on_double_fault)) };
    // SAFETY: only this trap uses the stack.
    unsafe { double_fault.set_stack_index(1) };
    // SAFETY: the stub is for a vector with an error code.
    let protection = unsafe { idt.general_protection_fault.set_handler_addr(address(on_protection)) };
    // SAFETY: the stack is that of faults, which do not nest.
    unsafe { protection.set_stack_index(0) };
    // SAFETY: the stub is for a vector with an error code.
    let page_fault = unsafe { idt.page_fault.set_handler_addr(address(on_page_fault)) };
    // SAFETY: the stack is that of faults, which do not nest.
    unsafe { page_fault.set_stack_index(0) };
    for (vector, stub) in
        [(FLUSH, on_flush as unsafe extern "C" fn()), (TIMER, on_timer), (apic::SPURIOUS, on_spurious)]
    {
        // SAFETY: the stub is for a vector without an error code.
        let gate = unsafe { idt[vector].set_handler_addr(address(stub)) };
        // SAFETY: the stack is that of interrupts, which do not nest.
        unsafe { gate.set_stack_index(2) };
    }
    idt
});

/// Segments: a table, and its selectors of code, data and stacks.
type Segments = (GlobalDescriptorTable, [SegmentSelector; 3]);

/// The segments of a processor.
fn segments(tss: &'static TaskStateSegment) -> Segments {
    let mut gdt = GlobalDescriptorTable::new();
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let tss = gdt.append(Descriptor::tss_segment(tss));
    (gdt, [code, data, tss])
}

/// Makes the calling processor the one of this number; its traps end the run with a message from now on.
pub(crate) fn install(processor: Processor) {
    static GDT: Lazy<[Segments; MOST]> = Lazy::new(|| {
        let tss: &'static [TaskStateSegment; MOST] = &TSS;
        tss.each_ref().map(segments)
    });
    local::claim(processor);
    let (gdt, [code, data, tss]) = &GDT[processor.index()];
    gdt.load();
    // SAFETY: the table that was just loaded has a 64-bit code segment there.
    unsafe { CS::set_reg(*code) };
    // SAFETY: the table that was just loaded has a data segment there.
    unsafe { DS::set_reg(*data) };
    // SAFETY: as above.
    unsafe { SS::set_reg(*data) };
    // SAFETY: the table that was just loaded has there the descriptor of a segment that lives for ever.
    unsafe { load_tss(*tss) };
    IDT.load();
}

/// The common part of the stubs: saves the registers that a called function may change, calls the handler, and
/// returns from the trap.
#[unsafe(naked)]
unsafe extern "C" fn common() {
    naked_asm!(
        "push r11", "push r10", "push r9", "push r8", "push rdi", "push rsi", "push rdx", "push rcx", "push rax",
        "push rbx",
        "mov rbx, rsp",
        "lea rdi, [rsp + 8]",
        "sub rsp, 512",
        "and rsp, -16",
        "fxsave64 [rsp]",
        "cld",
        "call {handle}",
        "fxrstor64 [rsp]",
        "mov rsp, rbx",
        "pop rbx",
        "pop rax", "pop rcx", "pop rdx", "pop rsi", "pop rdi", "pop r8", "pop r9", "pop r10", "pop r11",
        "add rsp, 16",
        "iretq",
        handle = sym handle,
    )
}

/// Declares the stub of a vector.
macro_rules! stub {
    ($name:ident, $vector:literal, $($first:literal),*) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!($($first,)* concat!("push ", $vector), "jmp {common}", common = sym common)
        }
    };
}

stub!(on_invalid_opcode, 6, "push 0");
stub!(on_double_fault, 8,);
stub!(on_protection, 13,);
stub!(on_page_fault, 14,);
stub!(on_flush, 0x40, "push 0");
stub!(on_timer, 0x41, "push 0");
stub!(on_spurious, 0xff, "push 0");
const _: () = assert!(FLUSH == 0x40 && TIMER == 0x41 && apic::SPURIOUS == 0xff);

/// Handles a trap or an interrupt.
extern "C" fn handle(frame: &mut Frame) {
    /// The first vector of an interrupt.
    const INTERRUPTS: u64 = 32;
    if frame.vector >= INTERRUPTS {
        return interrupted(frame.vector);
    }
    // Relaxed, all accesses: the same processor stored it, before the instruction that trapped.
    let expected = local::local().expected.swap(0, Ordering::Relaxed);
    if frame.vector == 14 && expected != 0 {
        processors::interrupted(Interruption::Fault);
        frame.rip = expected;
        frame.scratch[0] = 1;
        return;
    }
    let at = Cr2::read_raw();
    if frame.vector == 14 && is_guard(at) {
        panic!("the boot stack is full, at {:#x}, stack {:#x}", frame.rip, frame.rsp);
    }
    panic!(
        "{} at {:#x}, error {:#x}, address {at:#x}, stack {:#x}",
        name(frame.vector),
        frame.rip,
        frame.error,
        frame.rsp
    );
}

/// Handles an interrupt.
fn interrupted(vector: u64) {
    if vector == u64::from(FLUSH) {
        flush::requested();
    } else if vector == u64::from(TIMER) {
        processors::interrupted(Interruption::Timer);
    } else {
        // The controller expects no answer to an interrupt that went away.
        return;
    }
    apic::end();
}

/// The name of a vector.
const fn name(vector: u64) -> &'static str {
    match vector {
        6 => "an invalid instruction",
        8 => "a fault while handling a fault",
        13 => "a protection fault",
        _ => "a page fault",
    }
}

accesses! {
    expected: local::local().expected, faulted: "rax",
    expect: ["lea {next}, [rip + 2f]", "mov [{expected}], {next}"],
    load: "movzx {byte:e}, byte ptr [{at}]", store: "mov byte ptr [{at}], {byte:l}",
}
