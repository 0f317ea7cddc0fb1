//! A kernel that is as small as it can be while it runs on a memory model of sparsemem, for real.
//!
//! It boots through PVH, brings the model up from what firmware says of the machine, and then does what its command line
//! asks for: it runs the scenarios of the conformance suite on its own page tables, or it plugs memory. What it finds it
//! tells on the serial port; see the README of this folder.
#![no_std]
#![no_main]

extern crate alloc;

mod boot;
mod command_line;
mod cpu;
mod dimm;
mod event;
mod firmware;
mod glue;
mod look;
mod lookups;
mod memory;
mod plug;
mod serial;
mod trial;

use core::panic::PanicInfo;

use cpu::exit::{Status, exit};
use event::Event;
use sparsemem::PhysAddr;

#[cfg(not(any(feature = "classic-sparse", feature = "sparse-extreme", feature = "vmemmap")))]
compile_error!("choose a backend: --features classic-sparse, sparse-extreme or vmemmap");
#[cfg(any(
    all(feature = "classic-sparse", feature = "sparse-extreme"),
    all(feature = "classic-sparse", feature = "vmemmap"),
    all(feature = "sparse-extreme", feature = "vmemmap"),
))]
compile_error!("choose one backend: a kernel has one section table");

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
    serial::break_lock();
    say!("{info}");
    event::tell(Event::Panic { message: format_args!("{}", info.message()) });
    exit(Status::Panic)
}
