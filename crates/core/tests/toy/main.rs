//! Everything that a model gets from this crate, tried on a toy model over a plain array.
//!
//! The real models have tests of their own, but those are in other crates: whoever changes this one finds out here.
#![cfg(not(sparsemem_loom))]

mod blocks;
mod checks;
mod descriptors;
mod fresh;
mod model;
mod numbers;
mod readers;
mod reading;
mod walks;
mod writing;
