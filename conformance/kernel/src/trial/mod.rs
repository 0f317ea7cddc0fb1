//! The conformance suite inside this kernel: the world of its scenarios, and running them.

mod scenarios;
mod world;

pub(crate) use scenarios::run_all;
pub(crate) use world::Ground;
