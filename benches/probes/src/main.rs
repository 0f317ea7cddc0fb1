//! A function per lookup and model, over statics as a kernel has them, so that its generated code can be looked at.
//!
//! `cargo xtask codegen` builds and disassembles it. Running it prints who compiled it, and the names of the functions.
//!
//! # Invariants
//!
//! 1. A Rust probe `MODEL_LOOKUP` has a C twin `c_MODEL_LOOKUP` over the same data structures (`c/probes.c`); `reader`
//!    has that of `checked`, and vmemmap with flat planes or with 52 bits that of vmemmap.
//! 2. Probes are never called here: the models are not booted, and the virtual array is not mapped.

#![allow(unsafe_code, reason = "has the unchecked lookups whose instructions are counted")]
mod models;
mod probes;
#[cfg(feature = "sparsemem")]
mod selected;

fn main() {
    println!("rustc: {}", env!("SPARSEMEM_RUSTC_VERSION"));
    println!("cc: {}", env!("SPARSEMEM_CC_VERSION"));
    // The addresses keep the linker from dropping the functions.
    for (name, at) in probes::all().chain(of_selected()) {
        println!("{at:p} {name}");
    }
}

/// The probes of `Selected`, if the facade was asked for one model.
fn of_selected() -> impl Iterator<Item = (&'static str, *const ())> {
    #[cfg(feature = "sparsemem")]
    return selected::ALL.into_iter();
    #[cfg(not(feature = "sparsemem"))]
    return core::iter::empty();
}
