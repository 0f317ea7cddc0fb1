//! The section word, the section entry, the two section tables, and the model that all backends are made of.
//!
//! Linux' three names for its memory models mix two independent questions: how the entry of a section is found, and how
//! the descriptor of a frame is found. Here they are two type parameters of one [`SparseModel`]:
//!
//! | | [`Encoded`]: the section word leads to the memmap | a virtual array (vmemmap crate) |
//! |---|---|---|
//! | [`FlatTable`]: an entry per possible section | classic-sparse | vmemmap over a flat table |
//! | [`RootedTable`]: roots on demand | sparse-extreme | vmemmap, as Linux builds it |
//!
//! So boot, teardown, lookups and walks exist once, and the answers of the models cannot differ.
//!
//! # Invariants
//!
//! 1. **Published means complete**: a section word with `HAS_MEM_MAP` is stored (Release) only after the memmap and
//!    the usage exist; code that loads it (Acquire) may use both.
//! 2. **One load**: a lookup loads the section word once, or the word of a plane ([`Validity`]).
//! 3. **One writer**: operations that change a model take its [`Writer`](sparsemem_core::Writer), and there is one;
//!    tables and placements take a [`Writing`], which is made of it.
//! 4. **Provenance**: the word is kept as a pointer to the memmap moved by `wrapping` arithmetic, so adding a frame
//!    number of the section gives back a pointer that may access the memmap.
//!
//! Numbers such as O-100 refer to the project's list of [facts about Linux][facts].
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
#![no_std]
#![allow(unsafe_code, reason = "turns section words into pointers")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod boot;
mod deferred;
mod encoded;
mod entry;
mod flat;
#[cfg(doctest)]
mod impossible;
mod install;
mod mark;
mod memmap;
mod metadata;
mod model;
mod notes;
mod occupancy;
mod placement;
mod refold;
mod retire;
mod root;
mod rooted;
mod table;
mod validity;
mod word;
mod writing;

pub use encoded::Encoded;
pub use entry::{FreshRoot, SectionEntry};
pub use flat::FlatTable;
pub use model::{ConstNew, SparseModel};
pub use occupancy::Occupancy;
pub use placement::{
    Before, Content, FoldRequest, Moved, Placement, Populate, PopulateRequest, Remains, SectionMemmap,
};
pub use rooted::RootedTable;
pub use table::{Occupied, SectionTable};
pub use validity::{ExactRule, FlatPlanes, InRoots, InWords, Kept, LinuxRule, Plane, Validity, ValidityRule};
pub use word::{NodeTooLarge, NotEncodable, SectionWord};
pub use writing::Writing;
