//! The data that each processor has for itself: its number, and the place where an expected fault continues. GS leads
//! there.
//!
//! # Invariants
//!
//! 1. From [`claim`] on, the base of GS is the address of the processor's own entry of [`LOCALS`]: nothing else writes
//!    the register, and entry code, which clears it, runs before.
//! 2. Assembly knows the offset of the number, which is zero.

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use crate::processors::{MOST, Processor};

/// The data of one processor.
#[repr(C)]
pub(super) struct Local {
    /// The number of the processor.
    nr: usize,
    /// The address at which a page fault continues with RAX = 1; zero if none is expected.
    pub(super) expected: AtomicU64,
}

const _: () = assert!(core::mem::offset_of!(Local, nr) == 0);

/// The data of all processors.
static LOCALS: [Local; MOST] = {
    let mut locals = [const { Local { nr: 0, expected: AtomicU64::new(0) } }; MOST];
    let mut nr = 0;
    while nr < MOST {
        locals[nr].nr = nr;
        nr += 1;
    }
    locals
};

/// Makes the calling processor the one of this number.
pub(super) fn claim(processor: Processor) {
    GsBase::write(VirtAddr::from_ptr(&raw const LOCALS[processor.index()]));
}

/// The calling processor.
#[inline]
pub(crate) fn this() -> Processor {
    let nr: usize;
    // SAFETY: GS leads to a number that never changes (invariant 1).
    unsafe { asm!("mov {}, gs:[0]", out(reg) nr, options(pure, readonly, nostack, preserves_flags)) };
    Processor::new(nr)
}

/// The data of the calling processor.
pub(super) fn local() -> &'static Local {
    &LOCALS[this().index()]
}
