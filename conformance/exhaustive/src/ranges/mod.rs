//! Walks through hotplug: memory and devices are added and removed in ranges of any number of sections, with memory
//! blocks, resources and an allocator.
//!
//! There are fewer states than below hotplug, because RAM is added and switched in whole blocks; but ranges span
//! sections, and a refusal must leave all of them unchanged.

mod allocator;
mod answers;
mod driver;
mod op;
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use driver::RangeMachines;
pub(crate) use op::{Answer, Block, Op, Owner, RangeView, Resource, Verb};
pub(crate) use reference::RangeRules;
