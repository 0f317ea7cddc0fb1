//! The slow paths: what brings sections up and takes them down again, and what that costs others.

pub mod bring_up;
pub mod change;
mod fill;
pub mod footprint;
pub mod initialise;
pub mod models;
pub mod operations;
pub mod readers;
