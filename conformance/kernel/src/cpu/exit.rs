//! Ending the emulator, with a status that the host sees.

use x86_64::instructions::hlt;
use x86_64::instructions::port::Port;

/// QEMU's `isa-debug-exit`, as the host configures it. QEMU ends with twice the code and one.
const DEBUG_EXIT: u16 = 0xf4;

/// How a run ended; the number is what QEMU's status is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    /// Everything was as it has to be: 33.
    Success = 16,
    /// Something was not: 35.
    Failure = 17,
    /// The kernel panicked: 37.
    Panic = 18,
}

/// Ends the emulator; on a machine without the device, stops the processor.
pub(crate) fn exit(status: Status) -> ! {
    let mut port = Port::<u32>::new(DEBUG_EXIT);
    // SAFETY: nothing but the device answers at this port, and it does nothing but end the emulator.
    unsafe { port.write(status as u32) };
    loop {
        hlt();
    }
}
