//! The kernel's own memory: what there is, the page allocator, and the heap.

mod homes;
mod ledger;

pub(crate) mod frames;
pub(crate) mod heap;
pub(crate) mod pages;
pub(crate) mod survey;
