//! A kernel that is as small as it can be while it runs on a memory model of sparsemem, for real.
//!
//! It boots through PVH, brings the model up from what firmware says of the machine, and then does what its command line
//! asks for: it runs the scenarios of the conformance suite on its own page tables, or it plugs memory. What it finds it
//! tells on the serial port; see the README of this folder.
#![no_std]
#![no_main]

extern crate alloc;

mod acpi;
mod boot;
mod boot_memory;
mod dimm;
mod event;
mod frames;
mod glue;
mod loader;
mod model;
mod scenarios;
mod stories;
mod world;

/// The processor: entry, traps, page tables, and what a program of a host gets from its libraries.
mod cpu {
    mod entry;
    #[cfg(not(doc))]
    mod mem_functions;

    pub(crate) mod direct_map;
    pub(crate) mod paging;
    pub(crate) mod trap;
}

use core::panic::PanicInfo;

use event::Event;
use sparsemem::PhysAddr;
use x86_64::instructions::hlt;
use x86_64::instructions::port::Port;

/// QEMU's `isa-debug-exit`, as the host configures it. QEMU ends with twice the code and one.
const DEBUG_EXIT: u16 = 0xf4;

/// How a run ended; the number is what QEMU's status is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Status {
    /// Everything was as it has to be: 33.
    Success = 16,
    /// Something was not: 35.
    Failure = 17,
    /// The kernel panicked: 37.
    Panic = 18,
}

/// Ends the emulator; on a machine without the device, stops the processor.
fn exit(status: Status) -> ! {
    let mut port = Port::<u32>::new(DEBUG_EXIT);
    // SAFETY: nothing but the device answers at this port, and it does nothing but end the emulator.
    unsafe { port.write(status as u32) };
    loop {
        hlt();
    }
}

/// Where the entry code calls, with the physical address of the start info.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info: u32) -> ! {
    cpu::trap::install();
    match boot::run(PhysAddr::new(u64::from(start_info))) {
        Ok(0) => exit(Status::Success),
        Ok(_) => exit(Status::Failure),
        Err(error) => {
            event::tell(Event::Panic { message: format_args!("{error}") });
            exit(Status::Panic)
        }
    }
}

/// Tells what went wrong, and ends the run.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    event::break_lock();
    say!("{info}");
    event::tell(Event::Panic { message: format_args!("{}", info.message()) });
    exit(Status::Panic)
}
