//! Compiles the C twins as a kernel's compiler would, and links at fixed addresses, where a kernel's statics are.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=c");
    let mut twins = cc::Build::new();
    twins
        .file("c/probes.c")
        .std("c11")
        .opt_level(2)
        .debug(false)
        .pic(false)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .flag("-fno-pie")
        .flag("-fno-asynchronous-unwind-tables")
        .flag("-fno-stack-protector")
        .flag_if_supported("-fcf-protection=none");
    twins.compile("sparsemem_probes_c");
    println!("cargo::rustc-env=SPARSEMEM_CC_VERSION={}", version(&mut twins.get_compiler().to_command()));
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    println!("cargo::rustc-env=SPARSEMEM_RUSTC_VERSION={}", version(&mut Command::new(rustc)));
    println!("cargo::rustc-link-arg-bins=-no-pie");
}

/// The first line of what a compiler calls itself.
fn version(compiler: &mut Command) -> String {
    let said = compiler.arg("--version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.lines().next().unwrap_or("an unknown compiler").to_owned()
}
