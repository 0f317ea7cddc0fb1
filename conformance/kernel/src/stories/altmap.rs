//! The memmap of memory in that memory itself.

use alloc::vec;

use sparsemem::altmap::{Altmap, AltmapSpec, FramePool, MemmapRule, WithAltmap, room_needed};
use sparsemem::{
    InstallError, NodeId, Page, PageCount, Pfn, PfnRange, PhysRange, SectionShape, presets::X86_64,
};
use sparsemem_hotplug::AddMemoryError;
use sparsemem_suite::{Surroundings, World};

use super::Told;
use super::checks::{StoryError, holds, refusal, some};
use super::host::NewDimm;
use super::system::{System, frame_of_descriptor, none_lost};
use crate::glue::MODEL;
use crate::{model, say};

/// Frames in front of the altmap that the device's driver keeps for itself.
const DRIVER: PageCount = PageCount::new(2);

/// An NVDIMM that firmware tells of comes as a device, with its memmap on itself.
pub(super) fn on_itself(system: &mut System<'_>) -> Result<Told, StoryError> {
    let Some((range, node)) = system.persistent else {
        return Ok(Told::NotApplicable("firmware tells of no persistent memory"));
    };
    say!("  persistent memory: {range}, node {node}");
    system.reach(range)?;
    with_altmap(system, range, node)?;
    Ok(Told::Well)
}

/// A DIMM whose memmap is larger than all memory of the machine: without an altmap it is refused and everything is as it
/// was, with one it comes.
pub(super) fn no_room(system: &mut System<'_>) -> Result<Told, StoryError> {
    let dimm = system.plug(&NewDimm::new("large", 64 * X86_64::SECTION_SIZE))?;
    system.reach(dimm.dimm.range)?;
    let before = system.exact_snapshot();
    let added = system.add(&dimm);
    refusal("a DIMM whose memmap does not fit", added, |error| {
        matches!(error, AddMemoryError::Install { why: InstallError::NoMetadata { why, .. }, .. }
            if why.out_of_memory().is_some())
    })?;
    system.exact_snapshot().check_is(&before)?;
    with_altmap(system, dimm.dimm.range, dimm.dimm.node)?;
    system.want(&dimm)?;
    system.eject(&dimm)?;
    Ok(Told::Well)
}

/// Adds a range that the direct map reaches as a device with an altmap in it, looks where its descriptors are, and removes it again.
fn with_altmap(system: &mut System<'_>, range: PhysRange, node: NodeId) -> Result<(), StoryError> {
    let frames = range.whole_frames::<X86_64>();
    let rule = match model::array() {
        Some(_) => MemmapRule::ArrayLeaves,
        None => MemmapRule::SectionBlocks,
    };
    let first = frames.start().saturating_add(DRIVER);
    let free = some("the size of the memmap", room_needed(&MODEL, rule, first, frames))?;
    let spec = AltmapSpec::new(frames.start(), DRIVER, free)?;
    let mut words = vec![0; usize::try_from(FramePool::words_needed(free))?];
    // SAFETY: the frames are memory of a device or DIMM that nothing else uses: the model has none of them, so the page
    // allocator has none either, until `release` below.
    let mut altmap = unsafe { Altmap::<X86_64>::claim(spec, &mut words) }?;
    altmap.check_add(&MODEL, rule, frames)?;
    let before = system.world.balance();
    // SAFETY: the direct map reaches the range (`System::reach`), all of it at one distance from physical addresses,
    // which is a multiple of every large page; it lets go of the range only after the device is removed.
    let mut env = unsafe { WithAltmap::new(system.world.env_mut(), &mut altmap) };
    system.hotplug.add_device(&mut env, frames, node, "device with an altmap")?;
    say!("  {frames} came; its memmap lies in {} of it", altmap.in_use());
    let checked = lies_within(frames, spec.free_frames());
    let used = system.world.balance().bytes() - before.bytes();
    let memmap = frames.count().get() * size_of::<Page>() as u64;
    // SAFETY: as above.
    let mut env = unsafe { WithAltmap::new(system.world.env_mut(), &mut altmap) };
    let removed = system.hotplug.remove_device(&mut env, frames)?;
    none_lost(&removed.lost)?;
    altmap.release().map_err(|rejected| rejected.error)?;
    checked?;
    // Usages and page tables are still the kernel's: for each section, and for each 2 MiB of a memmap in base pages.
    holds("what is taken from RAM is a fraction of the memmap", used < memmap / 16)
}

/// Fails unless the descriptors of `frames` lie in `altmap`, by the page tables, at the borders of all sections.
fn lies_within(frames: PfnRange, altmap: PfnRange) -> Result<(), StoryError> {
    let parts = frames.by_section::<X86_64>().map(|(_, part)| part);
    for frame in parts.flat_map(|part| [part.start(), Pfn::new(part.end().get() - 1)]) {
        let place = some("the place of a descriptor", frame_of_descriptor(frame))?;
        if !altmap.contains(place) {
            let what = format_args!("the descriptor of {frame} lies in {place}, not in {altmap}");
            return Err(StoryError::new(what));
        }
    }
    Ok(())
}
