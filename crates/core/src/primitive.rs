//! The atomics that every crate of the workspace uses.
//!
//! One place, so that a model checker can take the place of the processor: `--cfg sparsemem_loom` is reserved for it.

pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
