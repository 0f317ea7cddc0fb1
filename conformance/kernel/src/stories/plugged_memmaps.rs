//! Memmaps in memory that was plugged: in the device itself that they describe (altmap), or in another DIMM, which then
//! cannot go before it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem::altmap::{Altmap, AltmapSpec, FramePool, MemmapRule, WithAltmap, room_needed};
use sparsemem::{
    ByteLen, InstallError, MemoryModel, NodeId, Page, PageCount, Pfn, PfnRange, PhysRange, SectionNr,
    SectionShape, presets::X86_64,
};
use sparsemem_bootmem_registration::{
    PieceSlot, PlanSlot, Registry, Removal, SectionMetadata, SectionSlot, Storage, Tag, TagStore,
    TagStoreError,
};
use sparsemem_hotplug::{AddMemoryError, OfflineError, Reason};
use sparsemem_suite::{WorldWithEnvironment, World};

use super::Told;
use super::checks::{StoryError, holds, refusal, same, some};
use super::host::NewDimm;
use super::system::{System, frame_of_descriptor, none_lost};
use crate::frames::Pages;
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

/// Sections of the DIMM that comes first, and of the one whose memmap does not fit into what was there before.
const FIRST: u64 = 2;
const SECOND: u64 = 32;

/// Two DIMMs, where the memmap of the second lies in part in the first. The first cannot go, `bootmem-registration` names
/// who has to go before, and in that order both go.
pub(super) fn removal_plan(system: &mut System<'_>) -> Result<Told, StoryError> {
    let a = system.plug_online(&NewDimm::new("a", FIRST * X86_64::SECTION_SIZE))?;
    let b = system.plug(&NewDimm::new("b", SECOND * X86_64::SECTION_SIZE))?;
    system.reach(b.dimm.range)?;
    system.add(&b)?;
    let order = removal_order(a.frames, b.frames)?;
    let (last, before) = some("a section to remove", order.split_last())?;
    say!("  remove {} before {last}", listed(before));
    // What holds metadata of others cannot be taken offline first: its frames are in use.
    let offline = system.hotplug.offline(&mut Pages, a.frames);
    refusal(
        "offlining what holds a memmap",
        offline,
        |error| matches!(error, OfflineError::Allocator { why, .. } if why.reason == Reason::InUse),
    )?;
    for nr in before {
        system.remove(nr.frames::<X86_64>().unwrap_or_default())?;
    }
    for (_, rest) in b.frames.by_section::<X86_64>().filter(|(nr, _)| !before.contains(nr)) {
        system.remove(rest)?;
    }
    system.want(&b)?;
    system.eject(&b)?;
    system.give_up(&a)?;
    Ok(Told::Well)
}

/// The order in which sections go, up to the first section of `host` that holds descriptors of `guest`.
fn removal_order(host: PfnRange, guest: PfnRange) -> Result<Vec<SectionNr>, StoryError> {
    let sections: Vec<SectionNr> = MODEL.present_sections().collect();
    let memmaps: Vec<Vec<PhysRange>> = sections.iter().map(|nr| memmap_of(*nr)).collect();
    let pieces = memmaps.iter().map(Vec::len).sum();
    let mut section_slots = vec![SectionSlot::EMPTY; sections.len()];
    let mut piece_slots = vec![PieceSlot::EMPTY; pieces];
    let storage = Storage { sections: &mut section_slots, pieces: &mut piece_slots };
    let mut registry = Registry::<X86_64, _>::new(Tags::default(), storage);
    for (nr, memmap) in sections.iter().zip(&memmaps) {
        let metadata = SectionMetadata { memmap, ..SectionMetadata::default() };
        registry.register_section(*nr, NodeId::new(0), metadata)?;
    }
    let target = hosting(&sections, &memmaps, host, guest);
    let target = some("a section of the first DIMM with a memmap of the second", target)?;
    let mut slots = vec![PlanSlot::default(); sections.len()];
    let mut steps = vec![SectionNr::new(0); sections.len()];
    match registry.removal_plan(target, &mut slots, &mut steps)? {
        Removal::Order(order) => {
            same("the last that goes", &Some(&target), &order.last())?;
            holds("something goes before it", order.len() > 1)?;
            Ok(order.to_vec())
        }
        other => Err(StoryError::new(format_args!("section {target} has no order: {other:?}"))),
    }
}

/// The first section of `host` in which descriptors of sections of `guest` lie.
fn hosting(
    sections: &[SectionNr],
    memmaps: &[Vec<PhysRange>],
    host: PfnRange,
    guest: PfnRange,
) -> Option<SectionNr> {
    let is_of_guest = |nr: &SectionNr| nr.first_pfn::<X86_64>().is_some_and(|first| guest.contains(first));
    let of_guest = sections.iter().zip(memmaps).filter(|(nr, _)| is_of_guest(nr));
    let places = of_guest.flat_map(|(_, memmap)| memmap).map(|piece| piece.start().pfn::<X86_64>());
    places.filter(|place| host.contains(*place)).map(Pfn::section::<X86_64>).min()
}

/// Where the descriptors of a section lie, in as few pieces as they are.
fn memmap_of(nr: SectionNr) -> Vec<PhysRange> {
    let per_page = PageCount::new(X86_64::PAGE_SIZE / size_of::<Page>() as u64);
    let mut pieces: Vec<PhysRange> = Vec::new();
    for run in MODEL.valid_ranges(nr.frames::<X86_64>().unwrap_or_default()) {
        let mut frame = run.start();
        while frame < run.end() {
            let page = frame_of_descriptor(frame).and_then(Pfn::phys::<X86_64>);
            let page = page.and_then(|at| PhysRange::from_start_count(at, ByteLen::new(X86_64::PAGE_SIZE)));
            page.into_iter().for_each(|page| join(&mut pieces, page));
            frame = frame.saturating_add(per_page);
        }
    }
    pieces
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

/// Numbers, with commas between; of many only the first and the last.
fn listed(sections: &[SectionNr]) -> String {
    match sections {
        [first, .., last] if sections.len() > 4 => {
            format!("{} sections from {first} to {last}", sections.len())
        }
        _ => sections.iter().map(|nr| format!("{nr}")).collect::<Vec<_>>().join(", "),
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
