//! The second world of the suite: kernels that QEMU boots. Each has a model, its own page tables, and memory that
//! QEMU plugs and unplugs.
//!
//! [`QemuRun`] builds `conformance/kernel` once per backend, boots it on the [machines](qemu_machines), and makes the
//! same [`Report`](sparsemem_report::Report) as the host's run; [`Look`] boots one kernel and shows its output. The
//! modules: `image` builds the kernel and checks its lookups; `guest` is QEMU with the kernel's serial line (`lines`)
//! and QEMU's `monitor`; `conversation` reads the kernel's events (`protocol`) and answers its requests (`answers`);
//! `stories` lists the stories and the checks of their results; `verdict` turns a transcript into results.
//!
//! # Invariants
//!
//! 1. Nothing waits for ever: every read, every command and every boot has a deadline.
//! 2. When a `Guest` is dropped, the process that it started has ended.
//! 3. The kernel's own report is not enough for a pass: its exit status, its own count, and QEMU's events must agree.

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
        /// The command that was tried, and its result.
        why: String,
    },
    /// The kernel cannot be built.
    #[error("cannot build the kernel on {backend}: {why}")]
    Build {
        /// The backend.
        backend: Backend,
        /// The error.
        why: String,
    },
    /// QEMU does not start.
    #[error("QEMU does not start: {why}")]
    Start {
        /// The error.
        why: String,
    },
    /// There is no such machine.
    #[error("there is no machine `{name}` for QEMU; use one of {}", machine_names())]
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
