//! A function per lookup and model, over statics as a kernel has them, so that its generated code can be looked at.
//!
//! `cargo xtask codegen` builds and disassembles it. Running it prints who compiled it, and the names of the functions. For
//! processors other than the host's it is built without a standard library, and never run.
//!
//! # Invariants
//!
//! 1. A Rust probe `MODEL_LOOKUP` has a C twin `c_MODEL_LOOKUP` over the same data structures (`c/probes.c`); `reader`
//!    has that of `checked`, and vmemmap with flat planes or with 52 bits that of vmemmap. Those of the model by frame are there
//!    on x86_64 only.
//! 2. Probes are never called here: the models are not booted, and the virtual array is not mapped.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(unsafe_code, reason = "has the unchecked lookups whose instructions are counted")]
mod models;
mod probes;
#[cfg(feature = "sparsemem")]
mod selected;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("rustc: {}", env!("SPARSEMEM_RUSTC_VERSION"));
    println!("cc: {}", env!("SPARSEMEM_CC_VERSION"));
    // The addresses keep the linker from dropping the functions.
    for (name, at) in probes::all().chain(of_selected()) {
        println!("{at:p} {name}");
    }
}

/// Keeps the linker from dropping the functions: it returns their addresses one by one.
#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start(nr: usize) -> Option<core::ptr::NonNull<()>> {
    let (_, at) = probes::all().chain(of_selected()).nth(nr)?;
    core::ptr::NonNull::new(at.cast_mut())
}

/// No probe panics.
#[cfg(target_os = "none")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The probes of `Selected`, if the facade was asked for one model.
fn of_selected() -> impl Iterator<Item = (&'static str, *const ())> {
    #[cfg(feature = "sparsemem")]
    return selected::ALL.into_iter();
    #[cfg(not(feature = "sparsemem"))]
    return core::iter::empty();
}
