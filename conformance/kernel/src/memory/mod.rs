//! The kernel's own memory: the page allocator, and the heap.

pub(crate) mod frames;
pub(crate) mod heap;
