//! The cost of each memory model: lookups and slow paths, beside what one would write instead, and beside C.
//!
//! `cargo xtask bench` runs everything and writes a report; `cargo bench --package sparsemem-benches` measures single
//! lookups with criterion.
//!
//! # Invariants
//!
//! 1. Everything that is compared is measured in one run, in turns, on the same frames.
//! 2. A frame of a pattern is valid on every model; who answers otherwise is found out before the measuring.

#![allow(unsafe_code, reason = "measures the unchecked lookups and their C twins")]

pub mod backends;
pub mod environment;
pub mod frames;
pub mod host;
pub mod instance;
pub mod lookups;
pub mod maps;
pub mod measure;
pub mod reclaim;
#[cfg(feature = "report")]
pub mod report;
pub mod result;
pub mod slow;
pub mod subjects;
