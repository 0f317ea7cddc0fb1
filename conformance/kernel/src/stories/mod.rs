//! Stories: what happens to the memory of a running kernel, and what has to come of it. The host plugs and unplugs, QEMU's
//! registers tell the kernel, and the model takes part.
//!
//! Each story is a function over a [`System`]. The host checks on its side what it can see: what went, what was refused.
//!
//! # Invariants
//!
//! 1. A story that passes leaves the machine as it found it: the same memory outstanding, the same frames valid.

mod checks;
mod dimms;
mod host;
mod own_memory;
mod plugged_memmaps;
mod system;

pub(crate) use checks::StoryError;
pub(crate) use system::System;

/// How a story that did not fail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Everything was as it has to be.
    Well,
    /// The story is about something that this kernel does not have.
    NotApplicable(&'static str),
}

/// A story.
type Story = fn(&mut System<'_>) -> Result<Told, StoryError>;

/// All of them, by their names.
const STORIES: [(&str, Story); 16] = [
    ("dimm/comes-and-goes", dimms::comes_and_goes),
    ("dimm/refused", dimms::refused),
    ("dimm/odd-sizes", dimms::odd_sizes),
    ("dimm/two-nodes", dimms::two_nodes),
    ("dimm/removal-plan", plugged_memmaps::removal_plan),
    ("dimm/altmap", plugged_memmaps::on_itself),
    ("dimm/no-room", plugged_memmaps::no_room),
    ("dimm/too-high", dimms::too_high),
    ("dimm/under-a-reader", dimms::under_a_reader),
    ("memory/near-its-node", own_memory::near_its_node),
    ("memory/of-no-node", own_memory::of_no_node),
    ("memory/foreign-blocks", own_memory::foreign_blocks),
    ("memory/beyond-the-allocator", own_memory::beyond_the_allocator),
    ("memory/full-stack", own_memory::full_stack),
    ("memory/three-views", own_memory::three_views),
    ("memory/three-views-5-level", own_memory::three_views),
];

/// Tells a story by its name, and checks that it left nothing behind; `None` if there is none of this name.
pub(crate) fn tell(name: &str, system: &mut System<'_>) -> Option<Result<Told, StoryError>> {
    let (_, story) = STORIES.into_iter().find(|(known, _)| *known == name)?;
    let before = system.snapshot();
    let told = story(system);
    Some(told.and_then(|told| system.snapshot().check_is(&before).map(|()| told)))
}
