//! The second world of the suite: kernels with a model each, booted by QEMU, on their own page tables, with memory that is
//! really plugged and unplugged.
//!
//! [`QemuRun`] builds `conformance/kernel` once per backend, boots it on the [machines](qemu_machines), and makes the same
//! [`Report`](sparsemem_report::Report) as the host's run; [`Look`] boots one kernel for people. Below: `image` builds the
//! kernel and checks its lookups, `guest` is QEMU with the kernel's serial line (`lines`) and QEMU's `monitor`;
//! `conversation` listens to the kernel (`protocol`) and does what it asks for (`answers`); `stories` has what happens to a
//! kernel and what has to come of it, and `verdict` whether it did.
//!
//! # Invariants
//!
//! 1. Nothing waits for ever: every reading, every command and every boot has a deadline.
//! 2. A process that was started here has ended when its `Guest` is gone.
//! 3. The kernel is not believed: its exit status, its own count, and what QEMU tells have to agree.

#![forbid(unsafe_code)]

mod answers;
mod conversation;
mod guest;
mod image;
mod lines;
mod machine;
mod monitor;
mod protocol;
mod run;
mod stories;
mod verdict;

pub use monitor::MonitorError;
pub use run::{Look, QemuFilter, QemuRun, qemu_catalogue, qemu_machines};

use sparsemem_any::Backend;

/// Why nothing can be run in QEMU.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QemuError {
    /// QEMU is not installed, or cannot be run.
    #[error(
        "QEMU for x86_64 is needed, and cannot be run: {why}\ninstall it; on Debian and Ubuntu: apt-get install \
         --no-install-recommends qemu-system-x86"
    )]
    NoQemu {
        /// What was tried, and how that ended.
        why: String,
    },
    /// The kernel cannot be built.
    #[error("cannot build the kernel on {backend}: {why}")]
    Build {
        /// The backend.
        backend: Backend,
        /// What is wrong.
        why: String,
    },
    /// QEMU does not start.
    #[error("QEMU does not start: {why}")]
    Start {
        /// What is wrong.
        why: String,
    },
    /// There is no such machine.
    #[error("there is no machine `{name}` for QEMU; there are {}", machine_names())]
    NoSuchMachine {
        /// The name that was given.
        name: String,
    },
    /// QEMU's monitor does not answer as it should.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
}

impl QemuError {
    /// The error for something that the system refused while QEMU was started.
    fn start(error: impl core::fmt::Display) -> Self {
        Self::Start { why: error.to_string() }
    }
}

/// The names of all machines, for a message.
fn machine_names() -> String {
    qemu_machines().into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}
