//! Walks through hotplug: memory and devices come and go in ranges of any number of sections, with memory blocks,
//! resources and an allocator.
//!
//! There are fewer states than below hotplug, because RAM is added and switched in whole blocks; but ranges reach over
//! sections, and every refusal has to leave all of them.

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
