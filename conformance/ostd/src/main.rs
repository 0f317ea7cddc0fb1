//! A kernel on [ostd](https://docs.rs/ostd) whose frames have descriptors of a memory model beside ostd's own metadata.
//!
//! ostd keeps a slot of 64 bytes for each frame up to the last address of RAM. This kernel boots a model from the same
//! regions, keeps slots of the same size in it, books in them each frame that the page allocator gives and takes back, and
//! compares both for every frame. It prints whether they agree, and its exit status says so, too.

#![no_std]
#![no_main]

extern crate alloc;

mod allocator;
mod compare;
mod regions;
mod slots;
mod traffic;

use ostd::early_println as say;
use ostd::power::{ExitCode, poweroff};

/// The word of the command line that makes the kernel book a frame that nobody uses, so that the comparison has to fail.
const LIE: &str = "lie";

/// The reason why the metadata of ostd and of the model cannot be compared, or differs.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// ostd's regions are not valid as a memory map.
    #[error("ostd's boot regions are no memory map: {0}")]
    Regions(#[from] sparsemem_boot_maps::MapError),
    /// The model did not come up.
    #[error("the model did not come up: {0}")]
    Boot(#[from] slots::BootFailure),
    /// The page allocator gives nothing.
    #[error("ostd's page allocator has no {frames} frames")]
    NoFrames {
        /// The number that was asked for.
        frames: usize,
    },
    /// They differ.
    #[error("disagreement: {0}")]
    Differs(#[from] compare::Disagreement),
}

/// The result of a comparison without a difference.
struct Agreement {
    /// The model.
    boot: slots::Booted,
    /// Frames that the allocator gave and took back meanwhile.
    booked: slots::Booked,
    /// All frames.
    compared: compare::Compared,
}

#[ostd::main]
fn main() {
    match run() {
        Ok(Agreement { boot, booked, compared }) => {
            let slots::Booted { model, sections, records, bytes } = boot;
            say!("{}: {} records in {} sections, and {} bytes of metadata", model, records, sections, bytes);
            say!("booked: {} frames given, {} taken back", booked.given, booked.taken_back);
            let compare::Compared { frames, ram, in_use, owned } = compared;
            say!("in use: {} frames; of {} ostd says only that they have one owner", in_use, owned);
            say!("agreement: {} frames, of which {} are RAM", frames, ram);
            poweroff(ExitCode::Success)
        }
        Err(failure) => {
            say!("{}", failure);
            poweroff(ExitCode::Failure)
        }
    }
}

/// Boots the model, lets the allocator work, and compares before, in the middle and after.
fn run() -> Result<Agreement, Failure> {
    let boot = regions::with_ram(|ram| slots::boot(ram))??;
    compare::adopt();
    allocator::watch();
    compare::all()?;
    let held = traffic::small_and_large()?;
    compare::all()?;
    drop(held);
    traffic::every_free_frame()?;
    if ostd::boot::boot_info().kernel_cmdline.split(' ').any(|word| word == LIE) {
        compare::lie();
    }
    let compared = compare::all()?;
    Ok(Agreement { boot, booked: slots::booked()?, compared })
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("{}", info);
    ostd::panic::abort()
}
