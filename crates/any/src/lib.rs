//! Run-time choice between the memory models, for tools and tests that compare them. A kernel does not link this.
//!
//! [`AnyModel`] is a model of any backend, and a model itself; [`Backend`] names them.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod backend;
mod deferred;
#[allow(unsafe_code, reason = "the unchecked lookups of the model inside, and its allocation")]
mod model;
mod prepare;
mod registry;

pub use backend::{Backend, Descriptors, Sections, UnknownBackend};
pub use model::AnyModel;
/// Used by [`any_model!`].
#[doc(hidden)]
pub use sparsemem_core::SectionShape;
