//! Starts other processors on the boards where firmware does it, because the kernel asks for it.
//!
//! # Invariants
//!
//! 1. One processor is started at a time: [`STACK`] is its own until it has arrived.
//! 2. A started processor uses the page tables of the one that starts it.

use core::hint::spin_loop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use super::{firmware_call, ticks, ticks_per_second};
use crate::processors::{HardwareId, Processor, StartError, is_online};

/// The end of the stack of the processor that is being started. Its entry code takes the highest part for traps.
pub(super) static STACK: AtomicU64 = AtomicU64::new(0);

/// Bytes of a stack that are for traps.
pub(super) const TRAP_STACK: u64 = 32 << 10;

/// Seconds in which a processor has to arrive.
const PATIENCE: u64 = 5;

/// Starts a processor with a stack, and waits until it has arrived.
///
/// # Safety
///
/// The stack below its end is the processor's alone, for ever. No other processor is being started.
///
/// # Errors
///
/// [`StartError`].
pub(crate) unsafe fn start(
    processor: Processor,
    hardware: HardwareId,
    stack_end: NonNull<u8>,
) -> Result<(), StartError> {
    STACK.store(stack_end.addr().get() as u64, Ordering::Relaxed);
    // SeqCst: it orders the store before those of firmware, which make the processor begin; so it pairs with nothing here.
    fence(Ordering::SeqCst);
    firmware_call::begin(processor, hardware)?;
    let begun = ticks();
    while !is_online(processor) {
        if ticks().wrapping_sub(begun) / PATIENCE > ticks_per_second() {
            return Err(StartError::Silent { processor, hardware });
        }
        spin_loop();
    }
    Ok(())
}
