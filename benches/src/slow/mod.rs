//! The cost of operations that change a model: boot, adding and removing, initialising descriptors; and their cost for readers.

pub mod boot;
pub mod changes;
pub mod initialise;
pub mod operations;
