//! Links the image by its own script, with the plain host toolchain as well as for a target without an operating system.

use std::env;

/// Arguments for the linker in both cases.
const ALWAYS: [&str; 4] = ["--build-id=none", "-zmax-page-size=0x1000", "-znoexecstack", "--gc-sections"];

/// Arguments for a C compiler as the linker driver of the host toolchain, so that it does not make a program for the
/// host.
const FOR_A_DRIVER: [&str; 4] = ["-nostartfiles", "-nostdlib", "-static", "-no-pie"];

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the manifest is");
    let target = env::var("TARGET").expect("cargo says what is built for");
    let script = format!("-T{folder}/link.ld");
    let (own, prefix): (&[&str], _) =
        if target.ends_with("-none") { (&["--no-pie"], "") } else { (&FOR_A_DRIVER, "-Wl,") };
    own.iter().for_each(|argument| println!("cargo::rustc-link-arg-bins={argument}"));
    for argument in ALWAYS.iter().copied().chain([script.as_str()]) {
        println!("cargo::rustc-link-arg-bins={prefix}{argument}");
    }
}
