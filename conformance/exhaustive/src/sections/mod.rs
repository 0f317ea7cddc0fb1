//! Walks below hotplug: subsections are installed in one section at a time, and retired and marked in any number of
//! sections.
//!
//! A cell has three states, and a section has two marks: every reachable combination is visited.

mod driver;
mod op;
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use driver::SectionMachines;
pub(crate) use op::{Answer, Op, Verb};
pub(crate) use reference::SectionRules;
