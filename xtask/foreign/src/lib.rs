//! Builds for processors other than the host's: a second compiler, which has the sources of its core library.
//!
//! The compiler that cargo uses has a precompiled core library for the host only. Debian's package `rustc-web` has a
//! compiler for every target, and `rust-web-src` the sources of its core library, which cargo builds with the program
//! (`-Zbuild-std`; that is why the compiler is told to accept unstable options). The linker is the other compiler's.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The second compiler.
pub const COMPILER: &str = "/usr/bin/rustc";
/// The packages of the second compiler and of its sources.
pub const PACKAGES: &str = "rustc-web rust-web-src";
/// The sources of its core library.
const SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core";

/// The first file of the second compiler that is not there.
#[must_use]
pub fn missing() -> Option<&'static str> {
    [COMPILER, SOURCES].into_iter().find(|path| !Path::new(path).exists())
}

/// Makes a command of cargo build for a target, with these libraries of the compiler, in a folder of its own, because the
/// compiler is another one.
pub fn build_for(cargo: &mut Command, target: &str, libraries: &str) {
    let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    cargo.env("RUSTC", COMPILER).env("RUSTC_BOOTSTRAP", "1").env(linker, linker_path());
    cargo.arg(format!("-Zbuild-std={libraries}"));
    cargo.args(["--target", target, "--target-dir", "target/foreign"]);
}

/// The linker of the compiler that built this program; by its name if that compiler cannot say where it is.
fn linker_path() -> PathBuf {
    let said = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = said.ok().and_then(|said| String::from_utf8(said.stdout).ok()).unwrap_or_default();
    let of_host = format!("lib/rustlib/{}-unknown-linux-gnu/bin/rust-lld", std::env::consts::ARCH);
    let path = Path::new(sysroot.trim()).join(of_host);
    if path.exists() { path } else { "rust-lld".into() }
}
