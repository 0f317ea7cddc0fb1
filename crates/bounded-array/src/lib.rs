//! A memory model of one array of descriptors with a bound, for any numbering of the array's elements.
//!
//! Boot allocates one block: a descriptor for each frame from the lowest to the highest frame of RAM, and a record for
//! each section of them. A lookup compares the frame with the bound, reads the record, and adds the frame to one
//! pointer. The block costs memory for holes, too: [`FrameIndex`] decides how many of them are left out.
//! [`Straight`] leaves none out; the crate `compressed-index` squeezes bits out of the frame numbers.
//!
//! The model uses no section table, no page table, and nothing of the crate `section`: it is written over the traits
//! of the core, and its answers are the same as those of the other models.
//!
//! # The block
//!
//! | part | size | what for |
//! |---|---|---|
//! | head | one, some words | the numbering, the bound, where the other parts are |
//! | records | one per section of the bound | flags, populated and online subsections |
//! | descriptors | one per frame of the bound, from a page border on | what lookups find |
//!
//! One allocation makes all of it, so there is no state in which a part is missing. The block never comes from an
//! altmap: it has descriptors of other memory than the device's.
//!
//! # What operations cost
//!
//! | operation | allocations | waits for readers |
//! |---|---|---|
//! | boot | one | no |
//! | install | none; one if no section is present | no |
//! | retire | none | once, unless all frames stay valid as holes of early sections |
//! | lookup, marks, walks | none | no |
//! | teardown | none | no: nobody else has the model then |
//!
//! A checked lookup loads the pointer, the head, the flags and, for memory that was added later, a word of the
//! subsections. An unchecked one loads one pointer, and the numbering if that has any bytes. A walk reads the flags of
//! each section of the bound, present or not.
//!
//! # Errors
//!
//! | a machine cannot | error |
//! |---|---|
//! | give one block for all of the frames | [`SectionLoss::Array`](sparsemem_core::SectionLoss::Array): boot reports it for each section of RAM |
//! | add memory beyond the bound | [`SectionLoss::BeyondArray`](sparsemem_core::SectionLoss::BeyondArray) |
//! | add memory that the numbering left out | [`SectionLoss::NotNumbered`](sparsemem_core::SectionLoss::NotNumbered) |
//!
//! # Invariants
//!
//! 1. **Published means complete**: the pointer to the array is stored (Release) after its records are written, and the
//!    flags of a section (Release) after its subsections and descriptors.
//! 2. **One array**: it exists exactly while a section is present. It is given back after a grace period, or with `&mut`
//!    of the model.
//! 3. **Inside the bound**: an index of the array is computed only for a frame that the bound was compared with, or
//!    that the caller knows to be valid.
//!
//! Numbers such as O-100 refer to the project's list of [facts about Linux][facts].
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
#![no_std]
#![allow(unsafe_code, reason = "finds descriptors by arithmetic on a pointer")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod array;
mod boot;
mod index;
mod install;
mod lookup;
mod mark;
mod model;
mod retire;

pub use index::{FrameIndex, Straight};
pub use model::ArrayModel;
