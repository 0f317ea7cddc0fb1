//! Lists the instructions of a function, and counts those that load from memory and those that call something.
//!
//! It is for tests that hold generated code to a budget, on any ELF file with a symbol table for x86_64, aarch64 or
//! riscv64: a program of the host or the image of a kernel. Nothing but the file is needed.
//!
//! ```no_run
//! let elf = std::fs::read("target/release/probes")?;
//! let listing = sparsemem_disassembly::probe_text(&elf, "classic_unchecked")?;
//! assert!(listing.instructions() <= 8 && listing.loads() <= 1 && listing.calls() == 0);
//! print!("{listing}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! 1. A listing has every instruction of its function, except those that do nothing (alignment).
//! 2. Its text names symbols instead of addresses, so that it stays the same when only the place of things changes.
#![forbid(unsafe_code)]

mod decode;
mod image;
mod listing;
mod places;

pub use image::Image;
pub use listing::{Instruction, ListError, Listing};

/// The listing of one function of an ELF file.
///
/// # Errors
///
/// [`ListError`], naming the function and what is wrong with it. To list many functions, read the file once with
/// [`Image::parse`].
pub fn probe_text(elf: &[u8], symbol: &str) -> Result<Listing, ListError> {
    Image::parse(elf)?.listing(symbol)
}
