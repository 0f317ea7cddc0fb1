//! Reads the memory maps that people have at hand into one physical [`Layout`].
//!
//! A kernel log (`dmesg > my.log`, with thousands of other lines), `/proc/iomem`, `lsmem`, a Xen log or a list of memory
//! blocks goes in, behind any prefix that a logger writes; sorted ranges of one kind and node come out, and [`Layout::memory_ranges`] says which RAM a kernel would
//! register on which node. The reader finds the notation by itself ([`Notation`] lists them and says which wins).
//!
//! ```
//! use sparsemem_log_reader::{Mode, RangeKind, parse};
//!
//! let log = "\
//! [    0.000000] Linux version 6.8.0
//! [    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
//! [    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
//! [    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000001fffffff] usable
//! ";
//! let parsed = parse(log, Mode::Strict)?;
//! assert_eq!(parsed.layout.ranges().len(), 3);
//! assert_eq!(parsed.layout.ranges()[0].kind, RangeKind::Ram);
//! let memory: Vec<_> = parsed.layout.memory_ranges().map(|(range, _)| range.to_string()).collect();
//! assert_eq!(memory, ["[0x1000, 0x9f000)", "[0x100000, 0x20000000)"]);
//! # Ok::<(), sparsemem_log_reader::ParseErrors>(())
//! ```
//!
//! # Invariants
//!
//! 1. No input makes it panic, and no arithmetic wraps.
//! 2. The reader passes over lines that are not about memory. A memory line that it cannot read is an error
//!    ([`LineError`]) or, in lenient mode, a warning: the reader never drops it silently.
//! 3. The order of overlapping entries does not matter: [`RangeKind`] says which wins, in e820-style tables the number
//!    of the type, for nodes the memory that the kernel registered and then the most specific claim.
//!
//! 4. The map is compared with everything else that the same log says of memory. Where the two differ,
//!    [`Parsed::contradictions`] names both figures and both lines.
//!
//! # Adding a notation
//!
//! A notation is one file in `src/notations`, say `multiboot.rs`, and one line in the table `SOURCES` of
//! `src/notations/mod.rs` (beside the `mod` line that Rust asks for). The file has:
//!
//! 1. a constant of [`Notation`] with its name, `pub const MULTIBOOT: Self = Self::other("multiboot")`;
//! 2. a reader for each form of a line, which answers `None` for a line of another notation, and otherwise a
//!    `Statement` or the reason why the line cannot be read; most lines are a `Statement::Entry`;
//! 3. a `Source` of these two.
//!
//! The place in `SOURCES` says which notations it is preferred to, and a comment there says why. Lines that only mean
//! something together, as the rows of an iomem listing do, also need a variant of `Statement` and code in `boot.rs`
//! that makes a table of them.
//!
//! Then a map goes to `conformance/machines`, with a line in `index.toml`: the tests read it, and check that no line is
//! known to two notations.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod addresses;
mod boot;
mod check;
mod claims;
mod contradiction;
mod error;
mod facts;
mod frames;
pub mod golden;
mod layout;
mod line;
mod listings;
mod notations;
mod parse;
mod parsed;
mod processor;
mod resolve;
mod scan;
mod statement;
mod strays;
mod sweep;
mod table;
mod text;
mod wrapped;

pub use contradiction::{Agreement, Contradiction, Figure, Quantity, Subject};
pub use error::{LineError, ParseErrors, Reason};
pub use layout::{Layout, LayoutRange, RangeKind};
pub use parse::{parse, parse_bytes};
pub use parsed::{Mode, Note, Parsed};
pub use processor::Processor;
pub use table::{E820Edit, MapEntry, MapTable, Notation};
