//! A minimal kernel that runs on a memory model of sparsemem.
//!
//! It boots through PVH, brings the model up from firmware's description of the machine, and then does the task that
//! its command line names: it runs the scenarios of the conformance suite on its own page tables, or a story that
//! plugs memory. It reports the results on the serial port; see the README of this folder.
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

/// The processor: entry, traps, page tables, and the functions that a host's libraries would supply.
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

/// QEMU's `isa-debug-exit`, as the host configures it. QEMU's exit status is twice the code plus one.
const DEBUG_EXIT: u16 = 0xf4;

/// The result of a run; QEMU's exit status is computed from the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Status {
    /// Everything passed: status 33.
    Success = 16,
    /// A cell failed: status 35.
    Failure = 17,
    /// The kernel panicked: status 37.
    Panic = 18,
}

/// Ends the emulator; on a machine without the device, stops the processor.
fn exit(status: Status) -> ! {
    let mut port = Port::<u32>::new(DEBUG_EXIT);
    // SAFETY: nothing but the device answers at this port, and the device only ends the emulator.
    unsafe { port.write(status as u32) };
    loop {
        hlt();
    }
}

/// The function that entry code calls, with the physical address of the start info.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info: u32) -> ! {
    cpu::trap::install();
    match boot::run(PhysAddr::new(u64::from(start_info))) {
        Ok(0) => exit(Status::Success),
        Ok(_) => exit(Status::Failure),
        Err(error) => {
            event::send(Event::Panic { message: format_args!("{error}") });
            exit(Status::Panic)
        }
    }
}

/// Reports the panic, and ends the run.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    event::break_lock();
    say!("{info}");
    event::send(Event::Panic { message: format_args!("{}", info.message()) });
    exit(Status::Panic)
}
