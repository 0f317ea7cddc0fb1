//! Kernels for processors other than the host's: a second compiler, which has the sources of its core library.
//!
//! The compiler that cargo uses has a precompiled core library for the host only. Debian's package `rustc-web` has a
//! compiler for every target, and `rust-web-src` the sources of its core library, which cargo builds with the kernel
//! (`-Zbuild-std`; that is why the compiler is told to accept unstable options). The linker is the other compiler's.

use std::path::{Path, PathBuf};
use std::process::Command;

use sparsemem_report::Arch;

use super::QemuError;

/// The second compiler.
const COMPILER: &str = "/usr/bin/rustc";
/// The sources of its core library.
const SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core";

/// The target of a kernel: none if it is built for the host, whose core library serves as well. No target has
/// floating-point registers, so traps need not save them.
pub(super) const fn target(arch: Arch) -> Option<&'static str> {
    match arch {
        Arch::X86_64 => None,
        Arch::Aarch64 => Some("aarch64-unknown-none-softfloat"),
        Arch::Riscv64 => Some("riscv64imac-unknown-none-elf"),
    }
}

/// Checks that kernels for a processor can be built.
///
/// # Errors
///
/// [`QemuError::NoQemu`], which names the packages to install.
pub(super) fn check(arch: Arch) -> Result<(), QemuError> {
    let needed: &[&str] = if target(arch).is_some() { &[COMPILER, SOURCES] } else { &[] };
    match needed.iter().find(|path| !Path::new(path).exists()) {
        None => Ok(()),
        Some(path) => Err(QemuError::NoQemu { arch, why: format!("there is no `{path}`") }),
    }
}

/// Makes a command of cargo build for a target, in a folder of its own, because the compiler is another one.
pub(super) fn build_for(cargo: &mut Command, target: &str) {
    let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    cargo.env("RUSTC", COMPILER).env("RUSTC_BOOTSTRAP", "1").env(linker, linker_path());
    cargo.args(["-Zbuild-std=core,alloc", "--target", target, "--target-dir", "target/foreign"]);
}

/// The linker of the compiler that built this program; by its name if that compiler cannot say where it is.
fn linker_path() -> PathBuf {
    let said = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = said.ok().and_then(|said| String::from_utf8(said.stdout).ok()).unwrap_or_default();
    let of_host = format!("lib/rustlib/{}-unknown-linux-gnu/bin/rust-lld", std::env::consts::ARCH);
    let path = Path::new(sysroot.trim()).join(of_host);
    if path.exists() { path } else { "rust-lld".into() }
}
