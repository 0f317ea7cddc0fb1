//! The call by which firmware starts a processor (PSCI).
//!
//! Source: Arm DEN 0022 (PSCI), "CPU_ON"; DEN 0028 (SMC calling convention); the binding `psci` of device trees.

use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};

use crate::processors::{HardwareId, Processor, StartError};

/// The instructions that call firmware: the device tree names one.
const NONE: u8 = 0;
const HVC: u8 = 1;
const SMC: u8 = 2;

/// The one of this board.
static METHOD: AtomicU8 = AtomicU8::new(NONE);

/// The number of the function that starts a processor, in version 0.2 and later.
const CPU_ON: u64 = 0xc400_0003;
/// The answer if it will begin.
const SUCCESS: i64 = 0;

unsafe extern "C" {
    /// The first instruction of a processor that is started, with its number in x0.
    static secondary_entry: u8;
}

/// Reads from the device tree how firmware is called.
pub(crate) fn learn(tree: Fdt<'_>) {
    let method = tree.find_node("/psci").and_then(|psci| {
        Some(match psci.property("method")?.value() {
            b"hvc\0" => HVC,
            b"smc\0" => SMC,
            _ => NONE,
        })
    });
    // Relaxed: the same processor reads it.
    METHOD.store(method.unwrap_or(NONE), Ordering::Relaxed);
}

/// Asks firmware to make a processor begin.
///
/// # Errors
///
/// [`StartError::Refused`], and [`StartError::NoMethod`] if the device tree names no method.
pub(crate) fn begin(processor: Processor, hardware: HardwareId) -> Result<(), StartError> {
    let method = METHOD.load(Ordering::Relaxed);
    if method == NONE {
        return Err(StartError::NoMethod { processor, what: "method of /psci" });
    }
    let entry = (&raw const secondary_entry).addr() as u64;
    let (mut answer, context) = (CPU_ON, processor.index() as u64);
    // The instruction is part of the program, so there are two calls.
    macro_rules! call {
        ($instruction:literal) => {
            // SAFETY: the processor begins at its entry code, whose stack the caller has prepared. By the convention,
            // firmware changes no other registers than those that a called function may change.
            unsafe {
                asm!(
                    $instruction,
                    inout("x0") answer, in("x1") hardware.get(), in("x2") entry, in("x3") context,
                    clobber_abi("C"), options(nostack),
                )
            }
        };
    }
    if method == HVC {
        call!("hvc #0")
    } else {
        call!("smc #0")
    }
    match answer.cast_signed() {
        SUCCESS => Ok(()),
        answer => Err(StartError::Refused { processor, hardware, answer }),
    }
}
