//! Links the image by its own script.

use std::env;

/// Arguments for the linker.
const ALWAYS: [&str; 5] =
    ["--no-pie", "--build-id=none", "-zmax-page-size=0x1000", "--gc-sections", "--eh-frame-hdr"];

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the manifest is");
    println!("cargo::rerun-if-changed={folder}/link.ld");
    for argument in ALWAYS {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-T{folder}/link.ld");
}
