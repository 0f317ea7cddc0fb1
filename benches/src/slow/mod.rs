//! What changes a model: booting, sections that come and go, initialising descriptors, and what that costs others.

pub mod boot;
pub mod changes;
pub mod initialise;
pub mod operations;
