//! The memmap of memory in that memory itself.

use alloc::vec;

use sparsemem::altmap::{Altmap, AltmapSpec, FramePool, MemmapRule, WithAltmap, room_needed};
use sparsemem::{
    LostBlocks, MemoryModel, NodeId, PageCount, Pfn, PfnRange, PhysRange, SectionShape, VirtAddr,
};
use sparsemem_hotplug::{AddMemoryError, Ram};
use sparsemem_suite::Complete;

use super::host::Wish;
use super::trouble::{holds, refusal, same};
use super::{Kernel, Site, Told, Trouble};
use crate::say;

/// Frames in front of the altmap that the device's driver keeps for itself.
const DRIVER: PageCount = PageCount::new(2);

/// An NVDIMM that firmware tells of comes as a device, with its memmap on itself.
pub(super) fn on_itself<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let Some((range, node)) = site.persistent else {
        return Ok(Told::NotApplicable("firmware tells of no persistent memory"));
    };
    say!("  persistent memory: {range}, node {node}");
    with_altmap(site, range, node)?;
    Ok(Told::Well)
}

/// A DIMM whose memmap is larger than all memory of the machine: without an altmap it is refused and everything is as it
/// was, with one it comes.
pub(super) fn no_room<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let dimm = site.plug(&Wish::new("large", 64 * M::Geometry::SECTION_SIZE))?;
    let frames = Site::<M, K>::frames(&dimm)?;
    site.reach(&dimm)?;
    let before = site.exact_snapshot();
    let added = site.hotplug.add_memory(site.kernel.env_mut(), frames, dimm.node, Ram::default());
    let no_memory = |error: &AddMemoryError| match error {
        AddMemoryError::Install { why, .. } => {
            matches!(why, sparsemem::InstallError::NoMetadata { why, .. } if why.out_of_memory().is_some())
        }
        _ => false,
    };
    let error = refusal("a DIMM whose memmap does not fit", added, no_memory)?;
    say!("  refused: {error}");
    site.exact_snapshot().check_is(&before)?;
    with_altmap(site, dimm.range, dimm.node)?;
    let change = site.want("large", &dimm)?;
    site.slots.acknowledge(&change);
    site.eject("large", &dimm, frames)?;
    Ok(Told::Well)
}

/// Adds a range as a device with an altmap in it, looks where its descriptors are, and removes it again.
fn with_altmap<M, K>(site: &mut Site<'_, M, K>, range: PhysRange, node: NodeId) -> Result<(), Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    site.kernel.reach(range)?;
    let frames = range.whole_frames::<M::Geometry>();
    let rule = match site.kernel.array() {
        Some(_) => MemmapRule::ArrayLeaves,
        None => MemmapRule::SectionBlocks,
    };
    let first = frames.start().saturating_add(DRIVER);
    let free = room_needed(site.model, rule, first, frames);
    let free = free.ok_or_else(|| Trouble::new(format_args!("the memmap of {frames} has no size")))?;
    let spec = AltmapSpec::new(frames.start(), DRIVER, free)?;
    let mut words = vec![0; usize::try_from(FramePool::words_needed(free))?];
    // SAFETY: the frames are memory of a device or DIMM that nothing else uses: the model has none of them, so the page
    // allocator has none either, until `release` below.
    let mut altmap = unsafe { Altmap::<M::Geometry>::claim(spec, &mut words) }?;
    altmap.check_add(site.model, rule, frames)?;
    let before = site.kernel.balance();
    // SAFETY: the direct map reaches the range since `reach` above, all of it at one distance from physical addresses,
    // which is a multiple of every large page; it lets go of the range only after the device is removed.
    let mut env = unsafe { WithAltmap::new(site.kernel.env_mut(), &mut altmap) };
    site.hotplug.add_device(&mut env, frames, node, "device with an altmap")?;
    say!("  {frames} came; its memmap lies in {} of it", altmap.in_use());
    let checked = lies_within(site, frames, spec.free_frames());
    let used = site.kernel.balance().bytes() - before.bytes();
    let memmap = frames.count().get() * size_of::<M::Page>() as u64;
    // SAFETY: as above.
    let mut env = unsafe { WithAltmap::new(site.kernel.env_mut(), &mut altmap) };
    let removed = site.hotplug.remove_device(&mut env, frames)?;
    same("metadata blocks that nobody took back", &LostBlocks::default(), &removed.lost)?;
    altmap.release().map_err(|rejected| rejected.error)?;
    checked?;
    // Usages and page tables are still the kernel's: for each section, and for each 2 MiB of a memmap in base pages.
    holds("what is taken from RAM is a fraction of the memmap", used < memmap / 16)
}

/// Fails unless the descriptors of `frames` lie in `altmap`, by the page tables, at the borders of all sections.
fn lies_within<M, K>(site: &Site<'_, M, K>, frames: PfnRange, altmap: PfnRange) -> Result<(), Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    for (_, part) in frames.by_section::<M::Geometry>() {
        for frame in [part.start(), Pfn::new(part.end().get() - 1)] {
            let place = home_of(site, frame);
            let is_inside = place.is_some_and(|place| altmap.contains(place));
            if !is_inside {
                return Err(Trouble::new(format_args!(
                    "the descriptor of {frame} lies in {place:?}, not in {altmap}"
                )));
            }
        }
    }
    Ok(())
}

/// The frame that a frame's descriptor lies in, by the page tables.
pub(super) fn home_of<M, K>(site: &Site<'_, M, K>, frame: Pfn) -> Option<Pfn>
where
    K: Kernel,
    M: MemoryModel,
{
    let at = VirtAddr::new(site.model.lookup(frame)?.addr().get() as u64);
    let leaf = site.kernel.leaf_at(at)?;
    let place = leaf.to.get() + (at.get() - leaf.at.get());
    Some(sparsemem::PhysAddr::new(place).pfn::<M::Geometry>())
}
