//! Walks below hotplug: subsections are installed one section at a time, and retired and marked over any number of them.
//!
//! A cell has three states, a section two marks besides: every reachable combination is visited.

mod driver;
mod op;
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use driver::SectionMachines;
pub(crate) use op::{Answer, Op, Verb};
pub(crate) use reference::SectionRules;
