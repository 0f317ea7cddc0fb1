//! Stories: sequences of events about the memory of a running kernel, with the expected results. The host plugs and
//! unplugs memory, QEMU's registers report that to the kernel, and the kernel changes the model.
//!
//! Each story is a function over a [`System`]. The host checks what it can observe itself: removed DIMMs, and
//! refusals.
//!
//! # Invariants
//!
//! 1. A story that passes restores the state of the machine: the same memory is outstanding, and the same frames are
//!    valid.

mod broken;
mod checks;
mod compound;
mod device;
mod dimms;
mod host;
mod own_memory;
mod plugged_dimms;
mod plugged_memmaps;
mod readers;
mod several;
mod system;
mod virtio_mem;
mod watch;

use alloc::string::String;

pub(crate) use checks::StoryError;
pub(crate) use system::System;

/// The end of a story that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The story passed.
    Passed,
    /// The story passed, and counted something.
    Counted(String),
    /// The kernel could do it, and did not.
    Skipped(&'static str),
    /// The kernel lacks the subject of the story.
    NotApplicable(&'static str),
}

/// A story.
type Story = fn(&mut System<'_>) -> Result<Ended, StoryError>;

/// All stories, with their names.
const STORIES: [(&str, Story); 34] = [
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
    ("memory/withheld", own_memory::withheld),
    ("memory/three-views", own_memory::three_views),
    ("memory/three-views-5-level", own_memory::three_views),
    ("compound/tails-are-read-only", compound::tails_are_read_only),
    ("processors/readers", several::readers),
    ("processors/two-that-plug", several::two_that_plug),
    ("processors/interrupted", several::interrupted),
    ("processors/page-faults", several::page_faults),
    ("broken/no-grace-period", broken::no_grace_period),
    ("broken/no-flush", broken::no_flush),
    ("broken/flush-unacknowledged", broken::flush_unacknowledged),
    ("broken/freed-before-flush", broken::freed_before_flush),
    ("processors/dimms", plugged_dimms::come_and_go),
    ("virtio-mem/grows-and-shrinks", virtio_mem::grows_and_shrinks),
    ("virtio-mem/refused", virtio_mem::refused),
    ("virtio-mem/busy", virtio_mem::busy),
    ("virtio-mem/out-of-memory", virtio_mem::out_of_memory),
    ("virtio-mem/reset", virtio_mem::reset),
    ("broken/unreached-memory", broken::unreached_memory),
    ("broken/used-memory-goes", broken::used_memory_goes),
];

/// Runs a story by its name, and checks that it restored the state; `None` if no story has this name.
pub(crate) fn run(name: &str, system: &mut System<'_>) -> Option<Result<Ended, StoryError>> {
    let (_, story) = STORIES.into_iter().find(|(known, _)| *known == name)?;
    let before = system.snapshot();
    let ended = story(system);
    Some(ended.and_then(|ended| system.snapshot().check_is(&before).map(|()| ended)))
}
