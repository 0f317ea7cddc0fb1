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
mod defect;
mod dimm;
mod direct_map;
mod event;
mod frames;
mod glue;
mod handover;
mod model;
mod paging;
mod processors;
mod scenarios;
mod stories;
mod virtio;
mod virtio_mem;
mod world;

use core::hint::spin_loop;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use event::Event;
use processors::Processor;
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
    arch::trap::install(Processor::FIRST);
    match boot::run(PhysAddr::new(handed_over)) {
        Ok(0) => exit(Status::Success),
        Ok(_) => exit(Status::Failure),
        Err(error) => {
            event::send(Event::Panic { message: format_args!("{error}") });
            exit(Status::Panic)
        }
    }
}

/// The number of the processor that has panicked, plus one; zero before.
static PANICKED: AtomicUsize = AtomicUsize::new(0);

/// Reports the panic, and ends the run. Of several processors that panic, the first reports, so that lines stay whole.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let own = arch::processors::this().index() + 1;
    // Relaxed, both: only the number counts.
    let first = PANICKED.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed);
    while first.is_err_and(|first| first != own) {
        spin_loop();
    }
    event::break_lock();
    say!("{info}");
    event::send(Event::Panic { message: format_args!("{}", info.message()) });
    exit(Status::Panic)
}
