//! Stories of memory that is plugged while the kernel runs: the host does what the hands of a person would do, QEMU's
//! registers tell the kernel, and the model takes part.
//!
//! Each story is a function over a [`Site`]. The host checks on its side what it can see: what went, what was refused.
//!
//! # Invariants
//!
//! 1. A story that passes leaves the machine as it found it: the same memory outstanding, the same frames valid.

mod altmap;
mod blocks;
mod homes;
mod host;
mod life;
mod limits;
mod nodes;
mod parts;
mod plan;
mod reader;
mod site;
mod trouble;
mod views;

pub(crate) use site::{Kernel, Site};
pub(crate) use trouble::Trouble;

use sparsemem::MemoryModel;
use sparsemem_suite::Complete;

/// How a story that did not fail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Everything was as it has to be.
    Well,
    /// The story is about something that this kernel does not have.
    NotApplicable(&'static str),
}

/// A story.
type Story<M, K> = fn(&mut Site<'_, M, K>) -> Result<Told, Trouble>;

/// Tells a story by its name, and checks that it left nothing behind; `None` if there is none of this name.
pub(crate) fn tell<M, K>(name: &str, site: &mut Site<'_, M, K>) -> Option<Result<Told, Trouble>>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let stories: [(&str, Story<M, K>); 16] = [
        ("dimm/comes-and-goes", life::comes_and_goes),
        ("dimm/refused", life::refused),
        ("dimm/odd-sizes", parts::odd_sizes),
        ("dimm/two-nodes", nodes::two_nodes),
        ("dimm/removal-plan", plan::removal_plan),
        ("dimm/altmap", altmap::on_itself),
        ("dimm/no-room", altmap::no_room),
        ("dimm/too-high", limits::too_high),
        ("dimm/under-a-reader", reader::removed_under_it),
        ("memory/near-its-node", homes::near_its_node),
        ("memory/of-no-node", homes::nobody_s),
        ("memory/foreign-blocks", blocks::foreign),
        ("memory/beyond-the-allocator", limits::beyond_the_allocator),
        ("memory/full-stack", limits::full_stack),
        ("vmemmap/three-views", views::three_views),
        ("vmemmap/three-views-5-level", views::three_views),
    ];
    let (_, story) = stories.into_iter().find(|(known, _)| *known == name)?;
    let before = site.snapshot();
    let told = story(site);
    Some(told.and_then(|told| site.snapshot().check_is(&before).map(|()| told)))
}
