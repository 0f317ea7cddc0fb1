//! Links the image by its own script, with the plain host toolchain as well as for a target without an operating system.

use std::env;

/// Arguments for the linker in both cases.
const ALWAYS: [&str; 4] = ["--build-id=none", "-zmax-page-size=0x1000", "-znoexecstack", "--gc-sections"];

/// Arguments for a C compiler as the linker driver of the host toolchain, so that it does not make a program for the
/// host.
const FOR_A_DRIVER: [&str; 4] = ["-nostartfiles", "-nostdlib", "-static", "-no-pie"];

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the manifest is");
    let os = env::var("CARGO_CFG_TARGET_OS").expect("cargo says for which operating system");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo says for which processor");
    let script = format!("{folder}/src/arch/{arch}/link.ld");
    println!("cargo::rerun-if-changed={script}");
    let script = format!("-T{script}");
    let (own, prefix): (&[&str], _) =
        if os == "none" { (&["--no-pie"], "") } else { (&FOR_A_DRIVER, "-Wl,") };
    own.iter().for_each(|argument| println!("cargo::rustc-link-arg-bins={argument}"));
    for argument in ALWAYS.iter().copied().chain([script.as_str()]) {
        println!("cargo::rustc-link-arg-bins={prefix}{argument}");
    }
}
