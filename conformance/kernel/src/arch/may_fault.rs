//! Loads and stores that may fault, and the page that faults when the boot stack is full.

unsafe extern "C" {
    /// The page below the boot stack, which entry code maps nowhere.
    static boot_guard: u8;
}

/// True if an address lies in the page below the boot stack; an access there means that the stack is full.
pub(super) fn is_guard(at: u64) -> bool {
    let guard = (&raw const boot_guard).addr() as u64;
    (guard..guard + 4096).contains(&at)
}

/// Defines `read_byte` and `write_byte` from a processor's instructions: `expect` stores the address of the label 2 where the
/// handler of traps finds it, which is `expected`, an atomic word of the calling processor; `load` and `store` access `at`.
/// After a fault the handler continues at the label with 1 in the register `faulted`.
macro_rules! accesses {
    (
        expected: $expected:expr, faulted: $faulted:tt,
        expect: [$($expect:literal),*], load: $load:literal, store: $store:literal $(,)?
    ) => {
        /// Reads a byte; `None` if the processor faults.
        pub(crate) fn read_byte(at: u64) -> Option<u8> {
            let (mut faulted, mut byte, expected) = (0_u64, 0_u64, &$expected);
            // SAFETY: a load changes nothing, and if it faults, `handle` continues after it. The fault runs on its own stack.
            unsafe {
                core::arch::asm!(
                    $($expect,)*
                    $load,
                    "2:",
                    next = out(reg) _,
                    expected = in(reg) expected.as_ptr(),
                    at = in(reg) at,
                    byte = inout(reg) byte,
                    inout($faulted) faulted,
                    options(nostack),
                );
            }
            // Relaxed, here and below: only this processor uses it, in a trap.
            expected.store(0, Ordering::Relaxed);
            (faulted == 0).then_some(u8::try_from(byte & 0xff).unwrap_or(0))
        }

        /// Writes a byte; `None` if the processor faults, and then the byte is as it was.
        ///
        /// # Safety
        ///
        /// The byte may be written, or the store faults.
        pub(crate) unsafe fn write_byte(at: u64, byte: u8) -> Option<()> {
            let (mut faulted, expected) = (0_u64, &$expected);
            // SAFETY: the caller's promise, and if the store faults, `handle` continues after it. The fault runs on its own
            // stack.
            unsafe {
                core::arch::asm!(
                    $($expect,)*
                    $store,
                    "2:",
                    next = out(reg) _,
                    expected = in(reg) expected.as_ptr(),
                    at = in(reg) at,
                    byte = in(reg) u64::from(byte),
                    inout($faulted) faulted,
                    options(nostack),
                );
            }
            expected.store(0, Ordering::Relaxed);
            (faulted == 0).then_some(())
        }
    };
}

pub(super) use accesses;
