//! The processor: entry, tables of traps, page tables, and what a program of a host gets from its libraries.

mod entry;
#[cfg(not(doc))]
mod mem_functions;

pub(crate) mod direct_map;
pub(crate) mod paging;
pub(crate) mod trap;
