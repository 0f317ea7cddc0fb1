//! Compiles the C twins as a kernel's compiler would, and links at fixed addresses, where a kernel's statics are.

use std::process::Command;

/// The address of a kernel's image: near the end of the addresses, where signed offsets of 32 bits reach.
const IMAGE_BASE: &str = "0xffffffff80000000";

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
    let (arch, os) = (of_target("ARCH"), of_target("OS"));
    if os == "none" {
        // Without a C library, for addresses near the program, and with the registers that the Rust target has.
        twins.flag("-ffreestanding");
        let own: &[&str] = if arch == "riscv64" {
            &["-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany"]
        } else {
            &["-mgeneral-regs-only"]
        };
        own.iter().for_each(|flag| _ = twins.flag(flag));
        // The linker, which is called by itself, is told where a kernel lies.
        println!("cargo::rustc-link-arg-bins=--image-base={IMAGE_BASE}");
        // In a small image the linker of arm64 makes one instruction and a `nop` of two that name a place; a kernel's
        // statics are too far for that. On riscv64 it leaves none, and removes what it makes superfluous.
        if arch == "aarch64" {
            println!("cargo::rustc-link-arg-bins=--no-relax");
        }
    } else {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
    twins.compile("sparsemem_probes_c");
    println!("cargo::rustc-env=SPARSEMEM_CC_VERSION={}", version(&mut twins.get_compiler().to_command()));
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    println!("cargo::rustc-env=SPARSEMEM_RUSTC_VERSION={}", version(&mut Command::new(rustc)));
}

/// A variable in which cargo describes the target.
fn of_target(what: &str) -> String {
    std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default()
}

/// The first line of what a compiler calls itself.
fn version(compiler: &mut Command) -> String {
    let said = compiler.arg("--version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.lines().next().unwrap_or("an unknown compiler").to_owned()
}
