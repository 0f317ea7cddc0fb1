//! DIMMs that are no whole memory blocks: of 2 MiB, and of a section and 2 MiB, so that both share a section.
//!
//! Linux refuses such DIMMs, because memory blocks are what it switches online. Models here take subsections, so a kernel
//! can add, mark and remove them itself.

use alloc::vec;

use sparsemem::{Geometry, LostBlocks, MemoryModel, PfnRange, SectionShape, initialise};
use sparsemem_hotplug::{
    AddMemoryError, AllocatorHooks, Granule, Kind, Merge, Plan, PlanError, Ram, Resource, ResourceKind, add,
};
use sparsemem_suite::Complete;

use super::host::{self, Wish};
use super::trouble::{holds, refusal, same};
use super::{Kernel, Site, Told, Trouble};
use crate::dimm::Dimm;
use crate::say;

/// Two DIMMs of odd sizes, the second across a section border, come; the first goes while the second is in use.
pub(super) fn odd_sizes<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let (section, subsection) = (M::Geometry::SECTION_SIZE, 1_u64 << M::Geometry::SUBSECTION_SHIFT);
    too_small(subsection / 2)?;
    let small = site.plug(&Wish::new("small", subsection))?;
    let odd = site.plug(&Wish::new("odd", section + subsection))?;
    let frames = [Site::<M, K>::frames(&small)?, Site::<M, K>::frames(&odd)?];
    same("QEMU puts them side by side", &frames[0].end(), &frames[1].start())?;
    same("sections that the larger one touches", &2, &frames[1].by_section::<M::Geometry>().count())?;
    for (dimm, frames) in [(&small, frames[0]), (&odd, frames[1])] {
        not_in_blocks(site, dimm, frames)?;
        come(site, dimm, frames)?;
    }
    let both = PfnRange::new(frames[0].start(), frames[1].end())?;
    same("valid frames", &vec![both], &around(site, both))?;
    let used = site.use_frames(frames[0], 4)?;
    site.put_frames(used);
    let used = site.use_frames(frames[1], 4)?;
    go(site, "small", &small, frames[0])?;
    same("valid frames without the smaller one", &vec![frames[1]], &around(site, both))?;
    let reader = site.model.read();
    holds("what is in use is still online", used.iter().all(|frame| reader.online_page(*frame).is_some()))?;
    drop(reader);
    site.put_frames(used);
    go(site, "odd", &odd, frames[1])?;
    Ok(Told::Well)
}

/// QEMU itself has no DIMMs that are no multiples of 2 MiB.
fn too_small(bytes: u64) -> Result<(), Trouble> {
    match host::plug(&Wish::new("tiny", bytes)) {
        Ok(()) => {
            Err(Trouble::new(format_args!("QEMU has a DIMM of {bytes} bytes now: the models have none")))
        }
        Err(refusal) => {
            say!("  {refusal}");
            Ok(())
        }
    }
}

/// As RAM in memory blocks such a DIMM is refused, for its borders.
fn not_in_blocks<M, K>(site: &mut Site<'_, M, K>, dimm: &Dimm, frames: PfnRange) -> Result<(), Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let added = site.hotplug.add_memory(site.kernel.env_mut(), frames, dimm.node, Ram::default());
    let unaligned = |error: &AddMemoryError| {
        matches!(error, AddMemoryError::Plan(PlanError::Unaligned { rule: Granule::Block, .. }))
    };
    let error = refusal("a DIMM that is no whole memory blocks", added, unaligned)?;
    say!("  not as memory blocks: {error}");
    Ok(())
}

/// The plan for a DIMM in subsections.
fn plan<M, K>(site: &Site<'_, M, K>, dimm: &Dimm, frames: PfnRange) -> Result<Plan<M::Geometry>, Trouble>
where
    M: MemoryModel,
{
    Ok(Plan::new(frames, dimm.node, Kind::RamPart, site.hotplug.limits())?)
}

/// Adds a DIMM in subsections, and brings it online.
fn come<M, K>(site: &mut Site<'_, M, K>, dimm: &Dimm, frames: PfnRange) -> Result<(), Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let plan = plan(site, dimm, frames)?;
    let (kind, name) = (ResourceKind::SystemRam, "System RAM (parts)");
    let resource = Resource { range: dimm.range, kind, name, merge: Merge::Separate };
    site.hotplug.resources_mut().request(resource)?;
    site.reach(dimm)?;
    let mut writer = site.writer()?;
    add(&mut writer, site.kernel.env_mut(), &plan)?;
    initialise(site.model, frames);
    site.kernel.allocator().give(frames)?;
    writer.set_online(frames)?;
    site.kernel.allocator().release(frames);
    say!("  online in subsections: {frames}");
    Ok(())
}

/// Takes a DIMM that came so offline, removes and ejects it.
fn go<M, K>(site: &mut Site<'_, M, K>, id: &'static str, dimm: &Dimm, frames: PfnRange) -> Result<(), Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let change = site.want(id, dimm)?;
    let mut writer = site.writer()?;
    site.kernel.allocator().isolate(frames)?;
    site.kernel.allocator().evacuate(frames)?;
    writer.set_offline(frames)?;
    site.kernel.allocator().take(frames);
    let removed = writer.retire(site.kernel.env_mut(), frames)?;
    drop(writer);
    same("metadata blocks that nobody took back", &LostBlocks::default(), &removed.lost)?;
    site.hotplug.resources_mut().release(dimm.range, ResourceKind::SystemRam)?;
    site.slots.acknowledge(&change);
    site.eject(id, dimm, frames)
}

/// Valid frames of all sections that a range touches.
fn around<M: MemoryModel, K>(site: &Site<'_, M, K>, frames: PfnRange) -> alloc::vec::Vec<PfnRange> {
    let sections = frames.by_section::<M::Geometry>().filter_map(|(nr, _)| nr.frames::<M::Geometry>());
    sections.fold(vec![], |mut found: alloc::vec::Vec<PfnRange>, section| {
        for run in site.model.valid_ranges(section) {
            match found.last_mut() {
                Some(last) if last.end() == run.start() => {
                    *last = PfnRange::new(last.start(), run.end()).unwrap_or(*last);
                }
                _ => found.push(run),
            }
        }
        found
    })
}
