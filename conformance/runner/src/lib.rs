//! Boots real machines on every backend and checks that they do what they have to.
//!
//! [`cells`] multiplies scenarios, backends and machines, [`run`] runs them on all
//! cores and gives a [`Report`](sparsemem_report::Report); [`inspect`] shows what the models make of one machine. The scenarios themselves are in
//! the `sparsemem-suite` crate, which also runs inside a kernel; recordings of Linux are replayed by `sparsemem-replay`.
//!
//! # Invariants
//!
//! 1. Every cell has a result; one that was not run says why.
//! 2. Nothing here decides what is right: scenarios and the kernels' own logs do.
#![deny(unsafe_code)]

mod across;
mod catalogue;
mod cell;
mod golden;
mod host_world;
mod inspect;
mod inspection;
mod play;
mod subjects;
mod variant;

pub use catalogue::catalogue;
pub use cell::{Cell, Filter, FilterError, cells, machines, recordings};
pub use inspect::{InspectError, inspect};
pub use inspection::{InspectedBackend, InspectedRange, InspectedSection, Inspection};
pub use play::{run, run_cell};
pub use subjects::{Play, lend};
