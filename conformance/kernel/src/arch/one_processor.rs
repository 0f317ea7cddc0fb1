//! Boards on which this kernel runs on one processor: what it does with several, for the one that there is.

use core::ptr::NonNull;

use sparsemem::VirtRange;

use super::page_table;
use crate::processors::{HardwareId, Processor, StartError};

/// Why the kernel cannot start other processors on this board.
pub(crate) const CANNOT: Option<&str> = Some("this kernel starts other processors on x86_64 only");
/// True if a flush has to interrupt the other processors.
pub(crate) const FLUSHES_BY_INTERRUPTS: bool = false;

/// The calling processor.
pub(crate) const fn this() -> Processor {
    Processor::FIRST
}

/// Starts no processor.
///
/// # Safety
///
/// None: the signature is that of boards with several processors.
///
/// # Errors
///
/// [`StartError::Silent`].
pub(crate) const unsafe fn start(
    processor: Processor,
    hardware: HardwareId,
    _: NonNull<u8>,
) -> Result<(), StartError> {
    Err(StartError::Silent { processor, hardware })
}

/// The kernel is never interrupted.
pub(crate) const fn take_interrupts() {}

/// The number of the processor.
pub(crate) const fn hardware_id() -> HardwareId {
    HardwareId::new(0)
}

/// Does something without being interrupted, as all is done.
pub(crate) fn uninterrupted<T>(what: impl FnOnce() -> T) -> T {
    what()
}

/// Makes the processor use entries that were empty: whoever stored them has done it.
pub(crate) const fn published_everywhere(_: VirtRange) {}

/// Removes the translations of a range from the processor.
pub(crate) fn flush_everywhere(range: VirtRange) {
    page_table::flush(range);
}

/// There is no timer.
pub(crate) const fn start_timer() {}

/// There is no timer.
pub(crate) const fn stop_timer() {}
