//! The first instructions: from the state in which OpenSBI starts a kernel (supervisor mode, no translation) to Rust.
//!
//! # Invariants
//!
//! 1. The first GiB of physical addresses, with the board's devices, is mapped at its own addresses. The GiB of RAM from
//!    [`RAM`](super::RAM) on is mapped twice, by 2 MiB pages of the same table: at its own addresses, where the image
//!    runs, and from [`DIRECT_MAP`](super::DIRECT_MAP).
//! 2. Addresses have 48 bits (Sv48).
//! 3. The page below the stack is mapped nowhere: a full stack faults before it overwrites anything. Because of this
//!    page, the 2 MiB around it are mapped by pages of 4 KiB.
//! 4. `sscratch` holds the stack of traps, and `tp` the number of the processor.
//! 5. Other processors begin in the same state, at `secondary_entry`, and use the same tables.
//! 6. A hart that begins at the kernel's first instruction after the first one is one that the kernel has asked for. OpenSBI
//!    1.1 tells a waiting hart to begin before it says where and with what, so that the hart may begin as at boot. That is seen
//!    in QEMU when the host takes the time from the hart that asks at that moment. So a processor's number is in memory.
//!
//! Source: RISC-V privileged architecture 20211203, 4.1.11 and 4.4; SBI 1.0, 3 (a0: hart, a1: device tree)
//! and 9.1.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::super::by_firmware::{STACK, TRAP_STACK};
use crate::processors::Processor;

unsafe extern "C" {
    /// The first instruction of a processor that is started.
    static secondary_entry: u8;
}

/// The hart that booted. Firmware chooses it.
static FIRST_HART: AtomicU64 = AtomicU64::new(0);

/// One, once a hart has begun.
static BEGUN: AtomicU32 = AtomicU32::new(0);
/// The number of the processor that is being started.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Says which processor is going to begin.
pub(super) fn expect(processor: Processor) {
    // SeqCst: it orders the store before those of firmware, which make the processor begin; so it pairs with nothing here.
    NUMBER.store(processor.index() as u64, Ordering::SeqCst);
    fence(Ordering::SeqCst);
}

/// The hart that booted.
pub(super) fn first_hart() -> u64 {
    // Relaxed: entry code has stored it.
    FIRST_HART.load(Ordering::Relaxed)
}

/// The address at which other processors begin.
pub(super) fn secondary() -> u64 {
    (&raw const secondary_entry).addr() as u64
}

/// Valid, all accesses allowed, accessed and dirty.
const LEAF: u64 = 0xcf;
/// The mode of `satp` with addresses of 48 bits.
const SV48: u64 = 9;

global_asm!(
    r#"
    .section .boot, "ax", @progbits
    .globl boot_entry
boot_entry:
    csrw    sie, zero
    la      t0, {begun}
    li      t1, 1
    .option push
    .option arch, +a
    amoswap.w.aqrl t1, t1, (t0)
    .option pop
    bnez    t1, secondary_entry
    mv      tp, zero
    mv      s0, a1
    la      t0, {first_hart}
    sd      a0, 0(t0)

    /* A table of 512 pages of 2 MiB: RAM. */
    la      t0, boot_ram
    li      t1, {ram} >> 2 | {leaf}
    li      t2, 512
    li      t3, 0x200000 >> 2
1:  sd      t1, 0(t0)
    add     t1, t1, t3
    addi    t0, t0, 8
    addi    t2, t2, -1
    bnez    t2, 1b

    /* The 2 MiB with the guard as 512 pages of 4 KiB, all but the guard. */
    la      t4, boot_guard
    srli    t1, t4, 21
    slli    t1, t1, 19
    ori     t1, t1, {leaf}
    la      t0, boot_pages
    li      t2, 512
    li      t3, 4096 >> 2
2:  sd      t1, 0(t0)
    add     t1, t1, t3
    addi    t0, t0, 8
    addi    t2, t2, -1
    bnez    t2, 2b
    la      t0, boot_pages
    srli    t1, t4, 12
    andi    t1, t1, 511
    slli    t1, t1, 3
    add     t1, t1, t0
    sd      zero, 0(t1)
    srli    t0, t0, 2
    ori     t0, t0, 1
    la      t2, boot_ram
    srli    t1, t4, 21
    andi    t1, t1, 511
    slli    t1, t1, 3
    add     t1, t1, t2
    sd      t0, 0(t1)

    /* Devices and RAM, a GiB each, below two entries of the root. */
    la      t0, boot_gibs
    li      t1, {leaf}
    sd      t1, 0(t0)
    srli    t2, t2, 2
    ori     t2, t2, 1
    sd      t2, ({ram} >> 30) * 8(t0)
    srli    t0, t0, 2
    ori     t0, t0, 1
    la      t1, boot_root
    sd      t0, 0(t1)
    li      t2, {direct_map} * 8
    add     t2, t2, t1
    sd      t0, 0(t2)
    call    boot_translate

    la      t0, trap_stack_top
    csrw    sscratch, t0
    la      sp, boot_stack_top
    mv      s1, zero
    mv      ra, zero
    mv      a0, s0
    mv      s0, zero
    call    kernel_main
3:  wfi
    j       3b

    /* Another processor. It has the stack of traps above its own. */
    .globl secondary_entry
secondary_entry:
    csrw    sie, zero
    la      t0, {number}
    ld      tp, 0(t0)
    call    boot_translate
    la      t0, {stack}
    ld      sp, 0(t0)
    csrw    sscratch, sp
    li      t0, {trap_stack}
    sub     sp, sp, t0
    mv      s0, zero
    mv      ra, zero
    mv      a0, tp
    call    secondary_main
4:  wfi
    j       4b

    /* Uses the tables from now on. */
boot_translate:
    la      t1, boot_root
    srli    t1, t1, 12
    li      t0, {sv48} << 60
    or      t1, t1, t0
    sfence.vma
    csrw    satp, t1
    sfence.vma
    ret

    .section .bss.boot, "aw", @nobits
    .balign 4096
boot_root:  .skip 4096
boot_gibs:  .skip 4096
boot_ram:   .skip 4096
boot_pages: .skip 4096
    .globl boot_guard
boot_guard: .skip 4096
boot_stack: .skip 0x40000
boot_stack_top:
    .skip 0x8000
    .globl trap_stack_top
trap_stack_top:
    .skip 0x4000
    .globl nested_stack_top
nested_stack_top:
"#,
    ram = const super::RAM,
    leaf = const LEAF,
    direct_map = const (super::DIRECT_MAP >> 39) & 511,
    sv48 = const SV48,
    first_hart = sym FIRST_HART,
    begun = sym BEGUN,
    number = sym NUMBER,
    stack = sym STACK,
    trap_stack = const TRAP_STACK,
);
