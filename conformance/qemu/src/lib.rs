//! The second world of the suite: kernels that QEMU boots. Each has a model, its own page tables, and memory that
//! QEMU plugs and unplugs.
//!
//! [`QemuRun`] builds `conformance/kernel` once per processor and backend, boots it on the [machines](qemu_machines), and makes the
//! same [`Report`](sparsemem_report::Report) as the host's run; [`Look`] boots one kernel and shows its output. The
//! modules: `image` builds the kernel and checks its lookups; `guest` is QEMU with the kernel's serial line (`lines`)
//! and QEMU's `monitor`; `conversation` reads the kernel's events (`protocol`) and answers its requests (`answers`);
//! `stories` lists the stories and the checks of their results; `verdict` turns a transcript into results. [`OnOstd`] boots
//! another kernel, `conformance/ostd`.
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
mod ostd;
mod protocol;
mod run;
mod stories;
mod verdict;

pub use monitor::MonitorError;
pub use ostd::OnOstd;
pub use run::{Look, QemuFilter, QemuRun, qemu_catalogue, qemu_machines};

use sparsemem_any::Backend;
use sparsemem_report::Arch;

/// The reason why nothing can be run in QEMU.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QemuError {
    /// QEMU, or the compiler for its processor, is not installed or cannot be run.
    #[error(
        "what kernels on {arch} need cannot be run: {why}\ninstall it; on Debian and Ubuntu: apt-get install \
         --no-install-recommends {}",
        packages(*arch)
    )]
    NoQemu {
        /// The processor.
        arch: Arch,
        /// The command that was tried, and its result.
        why: String,
    },
    /// The kernel cannot be built.
    #[error("cannot build the kernel on {backend} for {arch}: {why}")]
    Build {
        /// The backend.
        backend: Backend,
        /// The processor.
        arch: Arch,
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
    #[error("there is no {arch} machine `{name}` for QEMU; use one of {}", machine_names(*arch))]
    NoSuchMachine {
        /// The processor.
        arch: Arch,
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

/// The packages of Debian with QEMU for a processor, and with a compiler for kernels that the host's cannot build.
const fn packages(arch: Arch) -> &'static str {
    match arch {
        // The compiler is for the kernel on ostd alone.
        Arch::X86_64 => "qemu-system-x86 rustc-web rust-web-src",
        Arch::Aarch64 => "qemu-system-arm rustc-web rust-web-src",
        Arch::Riscv64 => "qemu-system-misc rustc-web rust-web-src",
    }
}

/// Checks that kernels for a processor can be built and booted.
fn check(arch: Arch) -> Result<(), QemuError> {
    guest::check(arch)?;
    if image::target(arch).is_some() { check_compiler(arch) } else { Ok(()) }
}

/// Checks that there is a second compiler, with the sources of its core library.
fn check_compiler(arch: Arch) -> Result<(), QemuError> {
    match sparsemem_foreign::missing() {
        None => Ok(()),
        Some(path) => Err(QemuError::NoQemu { arch, why: format!("there is no `{path}`") }),
    }
}

/// The names of all machines with a processor, for a message.
fn machine_names(arch: Arch) -> String {
    let of_arch = qemu_machines().into_iter().filter(|(_, of, _)| *of == arch);
    of_arch.map(|(name, ..)| name).collect::<Vec<_>>().join(", ")
}
