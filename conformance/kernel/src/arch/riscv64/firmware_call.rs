//! Calls of firmware (SBI): it starts harts, interrupts them, makes them forget translations, and sets timers.
//!
//! Source: RISC-V Supervisor Binary Interface 1.0, chapters 3, 6 (timer), 7 (interrupts), 8 (fences), 9 (hart states).

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use dtoolkit::Node;
use dtoolkit::Property;
use dtoolkit::fdt::Fdt;

use super::entry;
use crate::processors::{HardwareId, MOST, Processor, StartError, others};

/// A function: the extension that has it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Function(u64, u64);

const SET_TIMER: Function = Function(0x5449_4d45, 0);
const SEND_INTERRUPT: Function = Function(0x73_5049, 0);
const REMOTE_FENCE: Function = Function(0x5246_4e43, 1);
const START: Function = Function(0x48_534d, 0);

/// The numbers that the hardware has for the processors.
static HARTS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
/// The number of ticks of the clock in a second; until the device tree says so, as in QEMU.
static TICKS_PER_SECOND: AtomicU64 = AtomicU64::new(10_000_000);

/// Reads from the device tree how fast the clock is.
pub(crate) fn learn(tree: Fdt<'_>) {
    let ticks = tree.find_node("/cpus").and_then(|cpus| {
        let property = cpus.property("timebase-frequency")?;
        property.value().first_chunk().copied().map(u32::from_be_bytes)
    });
    // Relaxed: only the number counts.
    ticks.into_iter().for_each(|ticks| TICKS_PER_SECOND.store(ticks.into(), Ordering::Relaxed));
}

/// The number of ticks of the clock in a second.
pub(crate) fn ticks_per_second() -> u64 {
    // Relaxed: as above.
    TICKS_PER_SECOND.load(Ordering::Relaxed)
}

/// Calls a function of firmware; the error is its number.
fn call(Function(extension, function): Function, arguments: [u64; 4]) -> Result<(), i64> {
    let [mut error, second, third, fourth] = arguments;
    // SAFETY: the functions above change nothing of the calling hart but its timer. Firmware keeps all other registers.
    unsafe {
        asm!(
            "ecall",
            inout("a0") error, inout("a1") second => _, in("a2") third, in("a3") fourth,
            in("a6") function, in("a7") extension,
            options(nostack),
        );
    }
    match error.cast_signed() {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Asks firmware to make a hart begin.
///
/// # Errors
///
/// [`StartError::Refused`].
pub(crate) fn begin(processor: Processor, hardware: HardwareId) -> Result<(), StartError> {
    // Relaxed: the processors that read it learn of this one later, by an Acquire.
    HARTS[processor.index()].store(hardware.get(), Ordering::Relaxed);
    entry::expect(processor);
    let arguments = [hardware.get(), entry::secondary(), 0, 0];
    call(START, arguments).map_err(|answer| StartError::Refused { processor, hardware, answer })
}

/// Calls a function for the hart of every other processor: the first two arguments are a mask of harts, and its first one.
fn for_others(function: Function, [third, fourth]: [u64; 2]) {
    let others = others();
    for (_, hart) in HARTS.iter().enumerate().filter(|(nr, _)| others >> nr & 1 != 0) {
        // Relaxed: see `begin`; the first processor's is known before there are others.
        let called = call(function, [1, hart.load(Ordering::Relaxed), third, fourth]);
        assert!(called.is_ok(), "firmware does not reach a processor that it has started: {called:?}");
    }
}

/// Says which hart the calling processor is, the first one.
pub(crate) fn is_first(hardware: HardwareId) {
    HARTS[Processor::FIRST.index()].store(hardware.get(), Ordering::Relaxed);
}

/// Interrupts all other processors.
pub(crate) fn interrupt_others() {
    for_others(SEND_INTERRUPT, [0; 2]);
}

/// Makes all other processors order their walks after what was stored before; returns when all have done it.
pub(crate) fn fence_others() {
    /// A size that stands for all addresses.
    const ALL: u64 = u64::MAX;
    for_others(REMOTE_FENCE, [0, ALL]);
}

/// Interrupts the calling processor at a time of the clock, and not before.
pub(crate) fn set_timer(at: u64) {
    let set = call(SET_TIMER, [at, 0, 0, 0]);
    assert!(set.is_ok(), "firmware has no timer: {set:?}");
}
