//! Valid by frame: a wrapper over any memory model, in which the holes of boot memory have no descriptor, even one of
//! 4 KiB.
//!
//! The models know what is valid by section or by subsection of 2 MiB: by Linux' rule a section of boot is valid as a
//! whole, by the exact rule of the crate `section` the subsections without memory are not. Firmware leaves smaller
//! holes, such as that between 636 KiB and 1 MiB of a PC, and a kernel may take [`None`] for "this is no RAM".
//! [`ByFrame`] answers so, over a model with either rule. Kernels that do not name it pay nothing for it.
//!
//! # The map
//!
//! Boot makes a map of holes, from the ranges that it is given. It is one block:
//!
//! | part | size | what for |
//! |---|---|---|
//! | head | one, some words | where the parts are |
//! | closed | a bit for each subsection from the lowest to the highest section of boot | zero: lookups pass |
//! | numbers | a word for each subsection that is memory in part | finds the frames of those |
//! | frames | a bit for each frame of those | set if it is memory |
//!
//! Such subsections are few: each has an end of a range that firmware reported.
//!
//! # What operations cost
//!
//! | operation | beside what the model inside does |
//! |---|---|
//! | boot | one allocation, which is as long as [`map_bytes`] says |
//! | install, retire | a bit for each subsection; retire may wait for readers a second time |
//! | lookup | five loads; in a subsection with holes a search among those |
//! | marks, unchecked lookups | nothing |
//! | walk | a bit for each subsection |
//! | teardown | gives the block back |
//!
//! # Errors
//!
//! Without memory for the map, boot reports each section of RAM as lost
//! ([`SectionLoss::Holes`](sparsemem_core::SectionLoss::Holes)). Nothing else needs memory here.
//!
//! # Invariants
//!
//! 1. **Narrower, never wider**: a frame that is valid here is valid in the model inside, and has the same descriptor.
//! 2. **One map**: it exists while the model is up that was booted with it. It is given back after a grace period, or
//!    with `&mut` of the model.
#![no_std]
#![allow(
    unsafe_code,
    reason = "the map is a block of memory from the environment, and a model is an unsafe trait"
)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod boot;
mod change;
mod fill;
mod holes;
mod model;

pub use model::{ByFrame, map_bytes};

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
