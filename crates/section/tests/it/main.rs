//! Promises to a user of a model about its operations, over both tables: one after the other, without other threads.
#![cfg(not(sparsemem_loom))]

mod tables;

mod altmap;
mod boot;
mod footprint;
mod listeners;
mod lookups;
mod losses;
mod marks;
mod retiring;
mod stamps;
mod undoing;
mod used_memory;
mod validity;
