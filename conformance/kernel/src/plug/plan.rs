//! Memory that holds the memmap of other memory, and the order in which both can go.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem::{
    Geometry, LostBlocks, MemoryModel, NodeId, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr,
    SectionShape,
};
use sparsemem_bootmem_registration::{
    PieceSlot, PlanSlot, Registry, Removal, SectionMetadata, SectionSlot, Storage, Tag, TagStore,
    TagStoreError,
};
use sparsemem_hotplug::{OfflineError, Ram, Reason};
use sparsemem_suite::Complete;

use super::altmap::home_of;
use super::host::Wish;
use super::trouble::{holds, refusal, same};
use super::{Kernel, Site, Told, Trouble};
use crate::say;

/// Sections of the DIMM that comes first, and of the one whose memmap does not fit into what was there before.
const FIRST: u64 = 2;
const SECOND: u64 = 32;

/// Two DIMMs, where the memmap of the second lies in part in the first. The first cannot go, the plan names who has to go
/// before, and in that order both go.
pub(super) fn removal_plan<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let (a, a_frames) = site.plug_online(&Wish::new("a", FIRST * M::Geometry::SECTION_SIZE))?;
    let b = site.plug(&Wish::new("b", SECOND * M::Geometry::SECTION_SIZE))?;
    let b_frames = Site::<M, K>::frames(&b)?;
    site.reach(&b)?;
    site.hotplug.add_memory(site.kernel.env_mut(), b_frames, b.node, Ram::default())?;
    let order = order_for(site, a_frames, b_frames)?;
    let (last, before) = order.split_last().ok_or_else(|| Trouble::new(format_args!("the plan is empty")))?;
    say!("  plan: remove {} before {last}", listed(before));
    against_the_plan(site, a_frames)?;
    for nr in before {
        let frames = nr.frames::<M::Geometry>().unwrap_or_default();
        same("metadata blocks that nobody took back", &LostBlocks::default(), &remove(site, frames)?)?;
    }
    for (_, rest) in b_frames.by_section::<M::Geometry>().filter(|(nr, _)| !before.contains(nr)) {
        same("metadata blocks that nobody took back", &LostBlocks::default(), &remove(site, rest)?)?;
    }
    let change = site.want("b", &b)?;
    site.slots.acknowledge(&change);
    site.eject("b", &b, b_frames)?;
    site.give_up("a", &a)?;
    Ok(Told::Well)
}

/// The plan for the first section of `host` that holds descriptors of `guest`.
fn order_for<M, K>(site: &Site<'_, M, K>, host: PfnRange, guest: PfnRange) -> Result<Vec<SectionNr>, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let sections: Vec<SectionNr> = site.model.present_sections().collect();
    let memmaps: Vec<Vec<PhysRange>> = sections.iter().map(|nr| memmap_of(site, *nr)).collect();
    let pieces = memmaps.iter().map(Vec::len).sum();
    let mut section_slots = vec![SectionSlot::EMPTY; sections.len()];
    let mut piece_slots = vec![PieceSlot::EMPTY; pieces];
    let storage = Storage { sections: &mut section_slots, pieces: &mut piece_slots };
    let mut registry = Registry::<M::Geometry, _>::new(Tags::default(), storage);
    for (nr, memmap) in sections.iter().zip(&memmaps) {
        let metadata = SectionMetadata { memmap, ..SectionMetadata::default() };
        registry.register_section(*nr, NodeId::new(0), metadata)?;
    }
    let target = hosting::<M::Geometry>(&sections, &memmaps, host, guest);
    let target = target.ok_or_else(|| Trouble::new(format_args!("no memmap of {guest} lies in {host}")))?;
    let mut slots = vec![PlanSlot::default(); sections.len()];
    let mut steps = vec![SectionNr::new(0); sections.len()];
    match registry.removal_plan(target, &mut slots, &mut steps)? {
        Removal::Order(order) => {
            same("the last of the plan", &Some(&target), &order.last())?;
            holds("something goes before it", order.len() > 1)?;
            Ok(order.to_vec())
        }
        other => Err(Trouble::new(format_args!("section {target} has no order: {other:?}"))),
    }
}

/// The first section of `host` in which descriptors of sections of `guest` lie.
fn hosting<G: Geometry>(
    sections: &[SectionNr],
    memmaps: &[Vec<PhysRange>],
    host: PfnRange,
    guest: PfnRange,
) -> Option<SectionNr> {
    let of_guest = sections
        .iter()
        .zip(memmaps)
        .filter(|(nr, _)| nr.first_pfn::<G>().is_some_and(|first| guest.contains(first)));
    let places = of_guest.flat_map(|(_, memmap)| memmap).map(|piece| piece.start().pfn::<G>());
    places.filter(|place| host.contains(*place)).map(Pfn::section::<G>).min()
}

/// Where the descriptors of a section lie, in as few pieces as they are.
fn memmap_of<M, K>(site: &Site<'_, M, K>, nr: SectionNr) -> Vec<PhysRange>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let per_page = PageCount::new(M::Geometry::PAGE_SIZE / size_of::<M::Page>() as u64);
    let mut pieces: Vec<PhysRange> = Vec::new();
    let frames = nr.frames::<M::Geometry>().unwrap_or_default();
    for run in site.model.valid_ranges(frames) {
        let mut frame = run.start();
        while frame < run.end() {
            let page = home_of(site, frame).and_then(page_bytes::<M::Geometry>);
            page.into_iter().for_each(|page| join(&mut pieces, page));
            frame = frame.saturating_add(per_page);
        }
    }
    pieces
}

/// The bytes of a frame.
fn page_bytes<G: Geometry>(frame: Pfn) -> Option<PhysRange> {
    let start: PhysAddr = frame.phys::<G>()?;
    PhysRange::from_start_count(start, sparsemem::ByteLen::new(G::PAGE_SIZE))
}

/// Adds a piece, to the last one if it continues that.
fn join(pieces: &mut Vec<PhysRange>, piece: PhysRange) {
    match pieces.last_mut() {
        Some(last) if last.contains_range(piece) => {}
        Some(last) if last.end() == piece.start() => {
            *last = PhysRange::new(last.start(), piece.end()).unwrap_or(*last);
        }
        _ => pieces.push(piece),
    }
}

/// What holds metadata of others cannot be taken offline first: its frames are in use.
fn against_the_plan<M, K>(site: &mut Site<'_, M, K>, frames: PfnRange) -> Result<(), Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let in_use = |error: &OfflineError| matches!(error, OfflineError::Allocator { why, .. } if why.reason == Reason::InUse);
    let offline = site.hotplug.offline(site.kernel.allocator(), frames);
    let error = refusal("offlining what holds a memmap", offline, in_use)?;
    say!("  against the plan: {error}");
    Ok(())
}

/// Removes offline memory, and tells which metadata blocks nobody took back.
fn remove<M, K>(site: &mut Site<'_, M, K>, frames: PfnRange) -> Result<LostBlocks, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    Ok(site.hotplug.remove_memory(site.kernel.env_mut(), frames)?.lost)
}

/// Numbers, with commas between; of many only the first and the last.
fn listed(sections: &[SectionNr]) -> alloc::string::String {
    match sections {
        [first, .., last] if sections.len() > 4 => {
            alloc::format!("{} sections from {first} to {last}", sections.len())
        }
        _ => sections.iter().map(|nr| alloc::format!("{nr}")).collect::<Vec<_>>().join(", "),
    }
}

/// Tags of pages, kept beside them: the descriptors of this kernel belong to its page allocator.
#[derive(Debug, Default)]
struct Tags(BTreeMap<Pfn, Tag>);

impl TagStore for Tags {
    fn load(&self, page: Pfn) -> Result<Option<Tag>, TagStoreError> {
        Ok(self.0.get(&page).copied())
    }

    fn store(&mut self, page: Pfn, tag: Option<Tag>) -> Result<(), TagStoreError> {
        match tag {
            Some(tag) => self.0.insert(page, tag),
            None => self.0.remove(&page),
        };
        Ok(())
    }
}
