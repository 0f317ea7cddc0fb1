//! A minimal kernel that runs on a memory model of sparsemem.
//!
//! It boots in QEMU, brings the model up from firmware's description of the machine, and then does the task that
//! its command line names: it runs the scenarios of the conformance suite on its own page tables, or a story that
//! plugs memory. It reports the results on the serial port; see the README of this folder.
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod boot;
mod boot_memory;
mod dimm;
mod direct_map;
mod event;
mod frames;
mod glue;
mod handover;
mod model;
mod paging;
mod scenarios;
mod stories;
mod world;

use core::panic::PanicInfo;

use event::Event;
use sparsemem::PhysAddr;

/// QEMU's exit status, by which the host learns the result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Status {
    /// Everything passed.
    Success = 33,
    /// A cell failed.
    Failure = 35,
    /// The kernel panicked.
    Panic = 37,
}

/// Ends the run.
fn exit(status: Status) -> ! {
    arch::exit(status as u32)
}

/// The function that entry code calls, with the physical address of what the loader left.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(handed_over: u64) -> ! {
    arch::trap::install();
    match boot::run(PhysAddr::new(handed_over)) {
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
