//! Starts other processors: each begins in real mode, in a page below 1 MiB, and goes on to 64-bit Rust from there.
//!
//! # Invariants
//!
//! 1. One processor is started at a time: the page, the stack and the number are its own until it has arrived.
//! 2. The page has its old contents again when [`start`] returns.
//! 3. A started processor uses the page tables and the control bits of the one that starts it.
//!
//! Source: Intel SDM volume 3, "Multiple-Processor Initialization".

use core::arch::global_asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem::PhysAddr;
use x86_64::registers::control::{Cr3, Cr4};

use super::{apic, ticks};
use crate::direct_map;
use crate::processors::{HardwareId, Processor, StartError, is_online};

/// The page in which a processor begins; memory below 1 MiB is there for such uses.
const PAGE: u64 = 0x8000;
/// The size of the page.
const PAGE_BYTES: usize = 4096;
/// Ticks between the reset and the begin: 10 ms of a clock of 1 GHz, which is QEMU's.
const AFTER_RESET: u64 = 10_000_000;
/// Ticks in which a processor has to arrive: 5 s of such a clock.
const PATIENCE: u64 = 5_000_000_000;

unsafe extern "C" {
    /// The code for the page, up to `begin_end`.
    static begin_start: u8;
    static begin_end: u8;
    /// In the code: the root of the page tables, and the bits of CR4.
    static begin_cr3: u8;
    static begin_cr4: u8;
    /// The end of the stack, and the number, of the processor that is being started.
    static secondary_stack: AtomicU64;
    static secondary_nr: AtomicU64;
}

global_asm!(
    r#"
    .section .rodata.begin, "a", @progbits
    .balign 16
    .globl begin_start, begin_end, begin_cr3, begin_cr4
    .code16
begin_start:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl begin_gdt_pointer - begin_start
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $({page} + begin_32 - begin_start)

    .code32
begin_32:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl {page} + begin_cr4 - begin_start, %eax
    movl %eax, %cr4
    movl {page} + begin_cr3 - begin_start, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx
    rdmsr
    orl $0x900, %eax                  /* LME, NXE */
    wrmsr
    movl %cr0, %eax
    andl $0x9FFFFFFB, %eax            /* CD, NW, EM off */
    orl $0x80010003, %eax             /* PG, WP, MP, PE */
    movl %eax, %cr0
    ljmpl $24, $secondary_long

    .balign 8
begin_gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF          /* 32-bit code */
    .quad 0x00CF93000000FFFF          /* data */
    .quad 0x00AF9B000000FFFF          /* 64-bit code */
begin_gdt_pointer:
    .word . - begin_gdt - 1
    .long {page} + begin_gdt - begin_start
    .balign 8
begin_cr3: .quad 0
begin_cr4: .quad 0
begin_end:

    .section .text.secondary, "ax", @progbits
    .code64
secondary_long:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movq secondary_stack(%rip), %rsp
    movq secondary_nr(%rip), %rdi
    xorl %ebp, %ebp
    call secondary_main
1:  hlt
    jmp 1b

    .section .data.secondary, "aw", @progbits
    .balign 8
    .globl secondary_stack, secondary_nr
secondary_stack: .quad 0
secondary_nr: .quad 0
"#,
    page = const PAGE,
    options(att_syntax),
);

/// Starts a processor with a stack, and waits until it has arrived.
///
/// # Safety
///
/// The stack below its end is the processor's alone, for ever. No other processor is being started.
///
/// # Errors
///
/// [`StartError::Silent`] if it does not arrive.
pub(crate) unsafe fn start(
    processor: Processor,
    hardware: HardwareId,
    stack_end: NonNull<u8>,
) -> Result<(), StartError> {
    // SAFETY: the caller starts one processor at a time, so only this function uses the variable.
    let stack = unsafe { &secondary_stack };
    // SAFETY: as above.
    let nr = unsafe { &secondary_nr };
    // Relaxed, both: the interrupt that makes the processor begin comes after them.
    stack.store(stack_end.addr().get() as u64, Ordering::Relaxed);
    nr.store(processor.index() as u64, Ordering::Relaxed);
    let silent = StartError::Silent { processor, hardware };
    let page = direct_map::to_virt(PhysAddr::new(PAGE)).ok_or(silent)?.cast::<[u8; PAGE_BYTES]>();
    // SAFETY: the page is memory of the PC that this kernel gives to nobody, and the direct map reaches it.
    let before = unsafe { page.read() };
    // SAFETY: as above.
    unsafe { page.write(contents()) };
    apic::reset(hardware);
    wait(AFTER_RESET, || false);
    #[expect(clippy::cast_possible_truncation, reason = "the page lies below 1 MiB")]
    apic::begin(hardware, (PAGE >> 12) as u8);
    let arrived = wait(PATIENCE, || is_online(processor));
    // SAFETY: the processor has left the page, or never came.
    unsafe { page.write(before) };
    if arrived { Ok(()) } else { Err(silent) }
}

/// Waits until something is true, or so many ticks have passed; returns whether it is true.
fn wait(patience: u64, is_true: impl Fn() -> bool) -> bool {
    let start = ticks();
    while !is_true() {
        if ticks().wrapping_sub(start) > patience {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// The contents of the page in which a processor begins.
fn contents() -> [u8; PAGE_BYTES] {
    let start = (&raw const begin_start).addr();
    let offset = |symbol: *const u8| symbol.addr() - start;
    let len = offset(&raw const begin_end);
    // SAFETY: the code lies between the two symbols, in the part of the image that nobody writes.
    let code = unsafe { core::slice::from_raw_parts(&raw const begin_start, len) };
    let mut page = [0; PAGE_BYTES];
    page[..len].copy_from_slice(code);
    let mut put = |symbol: *const u8, value: u64| {
        page[offset(symbol)..offset(symbol) + 8].copy_from_slice(&value.to_le_bytes());
    };
    put(&raw const begin_cr3, Cr3::read_raw().0.start_address().as_u64());
    put(&raw const begin_cr4, Cr4::read_raw());
    page
}
