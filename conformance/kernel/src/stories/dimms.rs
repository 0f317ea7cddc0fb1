//! Stories of DIMMs that are added and removed, as memory blocks or in subsections, and of DIMMs that are refused or
//! in use.
//!
//! Linux refuses DIMMs that are not whole memory blocks, because it switches memory blocks online. The models accept
//! subsections, so a kernel can add, mark and remove such DIMMs itself.

use alloc::vec;
use alloc::vec::Vec;

use sparsemem::{Geometry, MemoryModel, NodeId, Pfn, PfnRange, SectionShape};
use sparsemem_hotplug::{
    AddMemoryError, Granule, MemoryKind, Merge, OfflineError, Reason, Request, RequestError, Resource,
    ResourceKind,
};

use super::Ended;
use super::checks::{StoryError, holds, refusal, same};
use super::host::{self, NewDimm};
use super::system::{Plugged, System, put_frames};
use crate::arch::{Sizes, hotplug};
use crate::dimm::{EJECT_REQUEST, IN_USE};
use crate::frames::Pages;
use crate::glue::MODEL;
use crate::say;

/// Bytes of a section.
const SECTION: u64 = Sizes::SECTION_SIZE;
const SUBSECTION: u64 = 1 << Sizes::SUBSECTION_SHIFT;

/// A DIMM is plugged in while the kernel runs; it is added, brought online, used, taken offline, and ejected.
pub(super) fn comes_and_goes(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let dimm = system.plug_online(&NewDimm::new("a", 2 * SECTION))?;
    put_frames(system.use_frames(dimm.frames, 64)?);
    system.give_up(&dimm)?;
    holds("a removed frame has no descriptor", MODEL.read().page(dimm.frames.start()).is_none())?;
    Ok(Ended::Passed)
}

/// A DIMM in use is not ejected: the host gets the reason, and the kernel continues. When the DIMM is free, it is
/// ejected.
pub(super) fn refused(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let dimm = system.plug_online(&NewDimm::new("a", SECTION))?;
    let used = system.use_frames(dimm.frames, 1)?;
    system.want(&dimm)?;
    let offline = system.hotplug.offline(&mut Pages, dimm.frames);
    refusal("offlining a DIMM in use", offline, |error| {
        matches!(error, OfflineError::Allocator { why, .. }
            if why.reason == Reason::InUse && used.iter().any(|frame| why.frames.contains(*frame)))
    })?;
    system.slots.refuse(&dimm.dimm);
    same(
        "event and status that the host received",
        &(EJECT_REQUEST, IN_USE),
        &host::heard_of(dimm.dimm.slot)?,
    )?;
    holds("the host does not report it as removed", !host::knows_gone("a"))?;
    // The refusal has changed nothing: the other frames can be used as before.
    put_frames(system.use_frames(dimm.frames, 1)?);
    put_frames(used);
    system.give_up(&dimm)?;
    Ok(Ended::Passed)
}

/// Removes memory while a reader exists. That ends the run with a message, before the reader's descriptor is removed.
pub(super) fn under_a_reader(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let dimm = system.plug_online(&NewDimm::new("a", SECTION))?;
    let reader = MODEL.read();
    holds("the reader has a descriptor", reader.page(dimm.frames.start()).is_some())?;
    system.give_up(&dimm)?;
    drop(reader);
    Err(StoryError::new(format_args!("the DIMM was removed under a reader, without a panic")))
}

/// A DIMM beyond the geometry's last frame is refused with an error that names it, and is ejected.
pub(super) fn too_high(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let Some(end) = Pfn::new(Sizes::MAX_PFN).phys::<Sizes>() else {
        return Ok(Ended::NotApplicable("the geometry ends where addresses end"));
    };
    let dimm = system.plug(&NewDimm::new("high", SECTION).at(end))?;
    let added = system.add(&dimm);
    refusal("a DIMM beyond the geometry", added, |error| {
        matches!(error, AddMemoryError::Request(RequestError::BeyondMaximum { .. }))
    })?;
    system.want(&dimm)?;
    system.eject(&dimm)?;
    Ok(Ended::Passed)
}

/// Two adjacent DIMMs of two nodes: their memory blocks belong to their nodes, and are removed one by one.
pub(super) fn two_nodes(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let nodes = [0, 1].map(NodeId::new);
    let blocks_of = |system: &System<'_>| {
        nodes.map(|node| system.hotplug.blocks().iter().filter(|block| block.node == Some(node)).count())
    };
    let node_of = |system: &System<'_>, of: &Plugged| system.node_of(of.frames.start().section::<Sizes>());
    let before = blocks_of(system);
    let first = system.plug_online(&NewDimm::new("on-0", SECTION).on(nodes[0]))?;
    let second = system.plug_online(&NewDimm::new("on-1", SECTION).on(nodes[1]))?;
    same("memory blocks of both nodes", &before.map(|count| count + 1), &blocks_of(system))?;
    for plugged in [&first, &second] {
        let used = system.use_frames(plugged.frames, 4)?;
        holds("frames lie in the DIMM", used.iter().all(|frame| plugged.frames.contains(*frame)))?;
        put_frames(used);
        same("blocks and slot agree on the node", &Some(plugged.dimm.node), &node_of(system, plugged))?;
    }
    system.give_up(&first)?;
    same("the other node's memory stays", &Some(nodes[1]), &node_of(system, &second))?;
    system.give_up(&second)?;
    Ok(Ended::Passed)
}

/// Two DIMMs of odd sizes are added, the second across a section border; the first is removed while the second is in
/// use.
pub(super) fn odd_sizes(system: &mut System<'_>) -> Result<Ended, StoryError> {
    if hotplug::REFUSES_ODD_BYTES {
        let tiny = host::plug(&NewDimm::new("tiny", SUBSECTION / 2));
        holds("QEMU itself refuses DIMMs that are not multiples of 2 MiB", tiny.is_err())?;
    }
    let small = system.plug(&NewDimm::new("small", SUBSECTION))?;
    let odd = system.plug(&NewDimm::new("odd", SECTION + SUBSECTION))?;
    same("QEMU puts them side by side", &small.frames.end(), &odd.frames.start())?;
    same("sections that the larger one touches", &2, &odd.frames.by_section::<Sizes>().count())?;
    for dimm in [&small, &odd] {
        let added = system.add(dimm);
        refusal("a DIMM that does not consist of whole memory blocks", added, |error| {
            matches!(error, AddMemoryError::Request(RequestError::Unaligned { rule: Granule::Block, .. }))
        })?;
        add_subsections(system, dimm)?;
    }
    let both = PfnRange::new(small.frames.start(), odd.frames.end())?;
    same("valid frames", &vec![both], &valid_around(both))?;
    put_frames(system.use_frames(small.frames, 4)?);
    let used = system.use_frames(odd.frames, 4)?;
    remove_subsections(system, &small)?;
    same("valid frames without the smaller one", &vec![odd.frames], &valid_around(both))?;
    let reader = MODEL.read();
    holds("frames in use are still online", used.iter().all(|frame| reader.online_page(*frame).is_some()))?;
    drop(reader);
    put_frames(used);
    remove_subsections(system, &odd)?;
    Ok(Ended::Passed)
}

/// Adds a DIMM in subsections, and brings it online.
fn add_subsections(
    system: &mut System<'_>,
    Plugged { dimm, frames, .. }: &Plugged,
) -> Result<(), StoryError> {
    let request = Request::<Sizes>::new(*frames, dimm.node, MemoryKind::RamPart, system.hotplug.limits())?;
    let (kind, name) = (ResourceKind::SystemRam, "System RAM (parts)");
    let resource = Resource { range: dimm.range, kind, name, merge: Merge::Separate };
    system.hotplug.resources_mut().request(resource)?;
    system.reach(dimm.range)?;
    system.add_parts(&request)?;
    say!("  online in subsections: {frames}");
    Ok(())
}

/// Takes a DIMM that was added in subsections offline, removes and ejects it.
fn remove_subsections(system: &mut System<'_>, plugged: &Plugged) -> Result<(), StoryError> {
    let frames = plugged.frames;
    system.want(plugged)?;
    system.remove_parts(frames)?;
    system.hotplug.resources_mut().release(plugged.dimm.range, ResourceKind::SystemRam)?;
    system.eject(plugged)
}

/// The valid frames of all sections that a range touches.
fn valid_around(frames: PfnRange) -> Vec<PfnRange> {
    let sections = frames.by_section::<Sizes>().filter_map(|(nr, _)| nr.frames::<Sizes>());
    let mut found: Vec<PfnRange> = Vec::new();
    for run in sections.flat_map(|section| MODEL.valid_ranges(section)) {
        match found.last_mut() {
            Some(last) if last.end() == run.start() => {
                *last = PfnRange::new(last.start(), run.end()).unwrap_or(*last);
            }
            _ => found.push(run),
        }
    }
    found
}
