//! The first instructions: from the state in which QEMU starts the processor (EL1, no translation) to Rust.
//!
//! # Invariants
//!
//! 1. The first GiB of physical addresses, with the board's devices, is mapped at its own addresses as device memory. The
//!    GiB of RAM after it is mapped twice, by 2 MiB blocks of the same table: at its own addresses, where the image runs,
//!    and from [`DIRECT_MAP`](super::DIRECT_MAP).
//! 2. `TTBR0_EL1` and `TTBR1_EL1` have tables of their own above those, with addresses of 48 bits and pages of 4 KiB.
//! 3. The page below the stack is mapped nowhere: a full stack faults before it overwrites anything. Because of this
//!    page, the 2 MiB around it are mapped by pages.
//! 4. The kernel runs on `SP_EL0`, and traps on `SP_EL1`: so a full stack leaves a stack for the trap.
//! 5. Other processors begin in the same state, at `secondary_entry`, and use the same tables.
//!
//! Source: Arm ARM (DDI 0487), D8.2 (`TCR_EL1`), D8.3 (entries), D1.3.1 (stack pointers).

use core::arch::global_asm;

use super::super::by_firmware::{STACK, TRAP_STACK};

/// Addresses of 48 bits at both ends, pages of 4 KiB, tables in normal memory: write-back, inner shareable.
const TCR: u64 = half(0) | half(16) | 2 << 30;
const fn half(shift: u32) -> u64 {
    (16 | 1 << 8 | 1 << 10 | 3 << 12) << shift
}

/// The low half of `TCR_EL1`.
const TCR_LOW: u64 = TCR & 0xffff;
const TCR_HIGH: u64 = TCR >> 16;

/// A valid block of normal memory (attribute 0), inner shareable, accessed.
const RAM_BLOCK: u64 = 0x701;
/// The same as a page.
const RAM_PAGE: u64 = 0x703;
/// A valid block of device memory (attribute 1), accessed.
const DEVICE_BLOCK: u64 = 0x405;

global_asm!(
    r#"
    .section .boot, "ax", %progbits
    .globl boot_entry
boot_entry:
    msr     daifset, #15
    msr     tpidr_el1, xzr          /* the first processor */

    /* A table of 512 blocks of 2 MiB: RAM. */
    adrp    x0, boot_ram
    mov     x1, #{ram}
    mov     x2, #{ram_block}
    orr     x1, x1, x2
    mov     x3, #512
2:  str     x1, [x0], #8
    add     x1, x1, #0x200, lsl #12
    subs    x3, x3, #1
    b.ne    2b

    /* The 2 MiB with the guard as 512 pages, all but the guard. */
    adrp    x4, boot_guard
    and     x1, x4, #0xffffffffffe00000
    mov     x2, #{ram_page}
    orr     x1, x1, x2
    adrp    x0, boot_pages
    mov     x3, #512
3:  str     x1, [x0], #8
    add     x1, x1, #1, lsl #12
    subs    x3, x3, #1
    b.ne    3b
    adrp    x0, boot_pages
    ubfx    x1, x4, #12, #9
    str     xzr, [x0, x1, lsl #3]
    orr     x0, x0, #3
    adrp    x2, boot_ram
    ubfx    x1, x4, #21, #9
    str     x0, [x2, x1, lsl #3]

    /* Devices and RAM, a GiB each, below the first entry of both roots. */
    adrp    x0, boot_gibs
    mov     x1, #{device_block}
    movk    x1, #0x60, lsl #48      /* no code at EL1 and EL0 */
    str     x1, [x0]
    orr     x2, x2, #3
    str     x2, [x0, #8]
    orr     x0, x0, #3
    adrp    x1, boot_low
    str     x0, [x1]
    adrp    x2, boot_high
    str     x0, [x2]
    bl      boot_translate

    adrp    x0, trap_stack_top
    mov     sp, x0
    msr     spsel, #0
    adrp    x0, boot_stack_top
    mov     sp, x0
    mov     x29, #0
    mov     x30, #0
    mov     x0, #{ram}              /* QEMU puts the device tree there */
    bl      kernel_main
4:  wfi
    b       4b

    /* Another processor, with its number in x0. It has the stack of traps above its own. */
    .globl secondary_entry
secondary_entry:
    msr     daifset, #15
    msr     tpidr_el1, x0
    bl      boot_translate
    adrp    x0, {stack}
    ldr     x0, [x0, :lo12:{stack}]
    mov     sp, x0
    msr     spsel, #0
    sub     x0, x0, #{trap_stack}
    mov     sp, x0
    mov     x29, #0
    mov     x30, #0
    mrs     x0, tpidr_el1
    bl      secondary_main
5:  wfi
    b       5b

    /* Uses the tables from now on. */
boot_translate:
    adrp    x1, boot_low
    msr     ttbr0_el1, x1
    adrp    x1, boot_high
    msr     ttbr1_el1, x1
    mov     x0, #0xff               /* attribute 0: write-back; attribute 1: device */
    msr     mair_el1, x0
    mov     x0, #{tcr_low}
    movk    x0, #{tcr_high}, lsl #16
    mrs     x1, id_aa64mmfr0_el1    /* physical addresses of as many bits as there are, up to 48 */
    and     x1, x1, #15
    mov     x2, #5
    cmp     x1, x2
    csel    x1, x1, x2, lo
    orr     x0, x0, x1, lsl #32
    msr     tcr_el1, x0
    dsb     sy
    tlbi    vmalle1
    dsb     sy
    isb
    mrs     x0, sctlr_el1
    mov     x1, #0x1005             /* translation and caches on */
    orr     x0, x0, x1
    bic     x0, x0, #0x80000        /* what can be written may be executed */
    bic     x0, x0, #0x2            /* loads need no alignment */
    msr     sctlr_el1, x0
    isb
    ret

    .section .bss.boot, "aw", %nobits
    .balign 4096
boot_low:   .skip 4096
boot_high:  .skip 4096
boot_gibs:  .skip 4096
boot_ram:   .skip 4096
boot_pages: .skip 4096
    .globl boot_guard
boot_guard: .skip 4096
boot_stack: .skip 0x40000
boot_stack_top:
    .skip 0x8000
trap_stack_top:
    .skip 0x4000
    .globl nested_stack_top
nested_stack_top:
"#,
    ram = const super::RAM,
    ram_block = const RAM_BLOCK,
    ram_page = const RAM_PAGE,
    device_block = const DEVICE_BLOCK,
    tcr_low = const TCR_LOW,
    tcr_high = const TCR_HIGH,
    stack = sym STACK,
    trap_stack = const TRAP_STACK,
);
