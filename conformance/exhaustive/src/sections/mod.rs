//! Walks below hotplug: subsections of one section at a time are installed, retired and marked.
//!
//! A cell has three states, a section two marks besides: every reachable combination is visited.

mod bench;
mod op;
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use bench::SectionStage;
pub(crate) use op::{Answer, Op, Verb};
pub(crate) use reference::SectionRules;
