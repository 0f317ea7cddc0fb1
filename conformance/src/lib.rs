//! Boots real machines on every backend and checks that they do what they have to.
//!
//! [`MachineFile`] reads a machine, [`cells`] multiplies scenarios, backends and machines, [`run`] runs them on all
//! cores and gives a [`Report`]; [`inspect`] shows what the models make of one machine. The scenarios themselves are in
//! the `sparsemem-scenarios` crate, which also runs inside a kernel. [`replay`] does what a running Linux kernel did to
//! its own section table, as a [`Recording`] has it, and compares step by step.
//!
//! # Invariants
//!
//! 1. Every cell has a result; a skipped one says why.
//! 2. Nothing here decides what is right: scenarios and the kernels' own logs do.
#![deny(unsafe_code)]

mod across;
mod budget;
mod catalogue;
mod cell;
mod geometry;
mod glob;
mod golden;
mod host_world;
mod inspect;
mod inspection;
mod machine_file;
mod play;
mod qemu;
mod recording;
mod report;
mod subjects;
mod variant;

pub use catalogue::{ScenarioInfo, catalogue};
pub use cell::{Cell, Filter, FilterError, cells, machines, recordings};
pub use geometry::{GeometryName, UnknownGeometry};
pub use glob::matches as scenario_matches;
pub use inspect::{InspectError, inspect};
pub use inspection::{InspectedBackend, InspectedRange, InspectedSection, Inspection};
pub use machine_file::{MachineError, MachineFile};
pub use play::{run, run_cell};
pub use qemu::{Look, MonitorError, QemuError, QemuFilter, QemuRun, qemu_catalogue, qemu_machines};
pub use recording::{Difference, Recording, RecordingError, ReplayError, Replayed, replay};
pub use report::{CellResult, Outcome, Report, Summary, World};
pub use sparsemem_any::{Backend, UnknownBackend};
pub use subjects::{Play, lend};
