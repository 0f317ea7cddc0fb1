//! Boots models from the memory maps of real machines, on every backend, and runs the scenarios on them.
//!
//! [`cells`] combines scenarios, backends and machines, [`run`] runs them on all cores and returns a
//! [`Report`](sparsemem_report::Report). The scenarios themselves are in the `sparsemem-suite` crate, which also runs
//! inside a kernel; recordings of Linux are replayed by `sparsemem-replay`, on the backends by [`linux`].
//!
//! # Invariants
//!
//! 1. Every cell has a result; the result of a cell that was not run has the reason.
//! 2. This crate does not decide which state is right: scenarios and the kernels' own logs do.
#![deny(unsafe_code)]

mod across;
mod catalogue;
mod cell;
mod golden;
pub mod linux;
mod run;
mod subjects;
mod variant;

pub use catalogue::catalogue;
pub use cell::{Cell, Filter, FilterError, cells, machines, recordings};
pub use run::{Done, Here, Worker, run, run_cell};
pub use subjects::{UseSubject, lend, lend_by_frame};
