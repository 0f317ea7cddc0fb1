//! Stories of memmaps in plugged memory: in the device that they describe (altmap), or in another DIMM, which then
//! cannot be removed before the described memory.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem::altmap::{Altmap, AltmapSpec, FramePool, MemmapRule, WithAltmap, room_needed};
use sparsemem::{
    ByteLen, InstallError, MemoryModel, NodeId, Page, PageCount, Pfn, PfnRange, PhysRange, SectionLoss,
    SectionNr, SectionShape,
};
use sparsemem_bootmem_registration::{
    PieceSlot, Registry, Removal, SearchSlot, SectionMetadata, SectionSlot, Storage, Tag, TagStore,
    TagStoreError,
};
use sparsemem_hotplug::{AddMemoryError, OfflineError, Reason};
use sparsemem_suite::{World, WorldWithEnvironment};

use super::Ended;
use super::checks::{StoryError, holds, refusal, same, some};
use super::host::NewDimm;
use super::system::{System, frame_of_descriptor, none_lost};
use crate::arch::Sizes;
use crate::frames::Pages;
use crate::glue::MODEL;
use crate::{model, say};

/// Frames at the start of the device that its driver keeps; the altmap follows them.
const DRIVER: PageCount = PageCount::new(2);

/// Models of one array tell no stories of memmaps in plugged memory.
const NEVER_ELSEWHERE: Ended =
    Ended::NotApplicable("the model's one array of descriptors is made at boot, and never in plugged memory");

/// An NVDIMM that firmware describes is added as a device, with its memmap on itself; on boards whose firmware describes
/// none, memory that was withheld from boot is.
pub(super) fn on_itself(system: &mut System<'_>) -> Result<Ended, StoryError> {
    if !model::IS_SPARSE {
        return Ok(NEVER_ELSEWHERE);
    }
    let Some((range, node)) = system.persistent.or(system.withheld) else {
        return Ok(Ended::NotApplicable("there is no persistent memory, and none is withheld from boot"));
    };
    say!("  the device: {range}, node {node}");
    system.reach(range)?;
    with_altmap(system, range, node)?;
    Ok(Ended::Passed)
}

/// A DIMM whose memmap is larger than all memory of the machine: without an altmap it is refused and nothing changes,
/// and with one it is added. A model of one array was booted with room for a part of it at most, and only refuses it.
pub(super) fn no_room(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let dimm = system.plug(&NewDimm::new("large", 64 * Sizes::SECTION_SIZE))?;
    system.reach(dimm.dimm.range)?;
    let before = system.exact_snapshot();
    let added = system.add(&dimm);
    refusal("a DIMM whose memmap does not fit", added, |error| {
        matches!(error, AddMemoryError::Install { why: InstallError::NoMetadata { why, .. }, .. }
            if has_no_room(why))
    })?;
    system.exact_snapshot().check_is(&before)?;
    if model::IS_SPARSE {
        with_altmap(system, dimm.dimm.range, dimm.dimm.node)?;
    }
    system.want(&dimm)?;
    system.eject(&dimm)?;
    Ok(Ended::Passed)
}

/// True if there is no memory for descriptors, or no place for them in a model of one array.
fn has_no_room(why: &SectionLoss) -> bool {
    if model::IS_SPARSE {
        why.out_of_memory().is_some()
    } else {
        matches!(why, SectionLoss::BeyondArray { .. })
    }
}

/// Adds a range that the direct map reaches as a device with an altmap in it, checks the places of its descriptors,
/// and removes it.
fn with_altmap(system: &mut System<'_>, range: PhysRange, node: NodeId) -> Result<(), StoryError> {
    let frames = range.whole_frames::<Sizes>();
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
    let mut altmap = unsafe { Altmap::<Sizes>::claim(spec, &mut words) }?;
    altmap.check_add(&MODEL, rule, frames)?;
    let before = system.world.balance();
    // SAFETY: the direct map reaches the range (`System::reach`), all of it at one distance from physical addresses,
    // which is a multiple of every large page; it unmaps the range only after the device is removed.
    let mut env = unsafe { WithAltmap::new(system.world.env_mut(), &mut altmap) };
    system.hotplug.add_device(&mut env, frames, node, "device with an altmap")?;
    say!("  {frames} was added; its memmap lies in {} of it", altmap.in_use());
    let checked = lies_within(frames, spec.free_frames());
    let used = system.world.balance().bytes() - before.bytes();
    let memmap = frames.count().get() * size_of::<Page>() as u64;
    // SAFETY: as above.
    let mut env = unsafe { WithAltmap::new(system.world.env_mut(), &mut altmap) };
    let removed = system.hotplug.remove_device(&mut env, frames)?;
    none_lost(&removed.lost)?;
    altmap.release().map_err(|rejected| rejected.error)?;
    checked?;
    // Usages and page tables still come from the kernel: for each section, and for each 2 MiB of a memmap in base
    // pages.
    holds("the bytes taken from RAM are a fraction of the memmap", used < memmap / 16)
}

/// Fails unless the descriptors of `frames` lie in `altmap`, by the page tables, at the borders of all sections.
fn lies_within(frames: PfnRange, altmap: PfnRange) -> Result<(), StoryError> {
    let parts = frames.by_section::<Sizes>().map(|(_, part)| part);
    for frame in parts.flat_map(|part| [part.start(), Pfn::new(part.end().get() - 1)]) {
        let place = some("the place of a descriptor", frame_of_descriptor(frame))?;
        if !altmap.contains(place) {
            let what = format_args!("the descriptor of {frame} lies in {place}, not in {altmap}");
            return Err(StoryError::new(what));
        }
    }
    Ok(())
}

/// The number of sections of the first DIMM, and of the second one, whose memmap does not fit into the memory that
/// existed before.
const FIRST: u64 = 2;
const SECOND: u64 = 64;

/// Two DIMMs, where the memmap of the second lies in part in the first. The first cannot be removed,
/// `bootmem-registration` reports the sections to remove before, and in that order both are removed.
pub(super) fn removal_plan(system: &mut System<'_>) -> Result<Ended, StoryError> {
    if !model::IS_SPARSE {
        return Ok(NEVER_ELSEWHERE);
    }
    let a = system.plug_online(&NewDimm::new("a", FIRST * Sizes::SECTION_SIZE))?;
    let b = system.plug(&NewDimm::new("b", SECOND * Sizes::SECTION_SIZE))?;
    system.reach(b.dimm.range)?;
    system.add(&b)?;
    let order = removal_order(a.frames, b.frames)?;
    let (last, before) = some("a section to remove", order.split_last())?;
    say!("  remove {} before {last}", listed(before));
    // A DIMM that holds metadata of others cannot be taken offline first, because its frames are in use.
    let offline = system.hotplug.offline(&mut Pages, a.frames);
    refusal(
        "offlining memory that holds a memmap",
        offline,
        |error| matches!(error, OfflineError::Allocator { why, .. } if why.reason == Reason::InUse),
    )?;
    for nr in before {
        system.remove(nr.frames::<Sizes>().unwrap_or_default())?;
    }
    for (_, rest) in b.frames.by_section::<Sizes>().filter(|(nr, _)| !before.contains(nr)) {
        system.remove(rest)?;
    }
    system.want(&b)?;
    system.eject(&b)?;
    system.give_up(&a)?;
    Ok(Ended::Passed)
}

/// The order in which sections can be removed, up to the first section of `host` that holds descriptors of `guest`.
fn removal_order(host: PfnRange, guest: PfnRange) -> Result<Vec<SectionNr>, StoryError> {
    let sections: Vec<SectionNr> = MODEL.present_sections().collect();
    let memmaps: Vec<Vec<PhysRange>> = sections.iter().map(|nr| memmap_of(*nr)).collect();
    let pieces = memmaps.iter().map(Vec::len).sum();
    let mut section_slots = vec![SectionSlot::EMPTY; sections.len()];
    let mut piece_slots = vec![PieceSlot::EMPTY; pieces];
    let storage = Storage { sections: &mut section_slots, pieces: &mut piece_slots };
    let mut registry = Registry::<Sizes, _>::new(Tags::default(), storage);
    for (nr, memmap) in sections.iter().zip(&memmaps) {
        let metadata = SectionMetadata { memmap, ..SectionMetadata::default() };
        registry.register_section(*nr, NodeId::new(0), metadata)?;
    }
    let target = hosting(&sections, &memmaps, host, guest);
    let target = some("a section of the first DIMM with a memmap of the second", target)?;
    let mut slots = vec![SearchSlot::default(); sections.len()];
    let mut steps = vec![SectionNr::new(0); sections.len()];
    match registry.removal_plan(target, &mut slots, &mut steps)? {
        Removal::Order(order) => {
            same("the last section of the order", &Some(&target), &order.last())?;
            holds("another section comes before it", order.len() > 1)?;
            Ok(order.to_vec())
        }
        other => Err(StoryError::new(format_args!("section {target} has no order: {other:?}"))),
    }
}

/// The first section of `host` that holds descriptors of sections of `guest`.
fn hosting(
    sections: &[SectionNr],
    memmaps: &[Vec<PhysRange>],
    host: PfnRange,
    guest: PfnRange,
) -> Option<SectionNr> {
    let is_of_guest = |nr: &SectionNr| nr.first_pfn::<Sizes>().is_some_and(|first| guest.contains(first));
    let of_guest = sections.iter().zip(memmaps).filter(|(nr, _)| is_of_guest(nr));
    let places = of_guest.flat_map(|(_, memmap)| memmap).map(|piece| piece.start().pfn::<Sizes>());
    places.filter(|place| host.contains(*place)).map(Pfn::section::<Sizes>).min()
}

/// The places of a section's descriptors, in as few pieces as possible.
fn memmap_of(nr: SectionNr) -> Vec<PhysRange> {
    let per_page = PageCount::new(Sizes::PAGE_SIZE / size_of::<Page>() as u64);
    let mut pieces: Vec<PhysRange> = Vec::new();
    for run in MODEL.valid_ranges(nr.frames::<Sizes>().unwrap_or_default()) {
        let mut frame = run.start();
        while frame < run.end() {
            let page = frame_of_descriptor(frame).and_then(Pfn::phys::<Sizes>);
            let page = page.and_then(|at| PhysRange::from_start_count(at, ByteLen::new(Sizes::PAGE_SIZE)));
            page.into_iter().for_each(|page| join(&mut pieces, page));
            frame = frame.saturating_add(per_page);
        }
    }
    pieces
}

/// Adds a piece; joins it with the last one if it continues that.
fn join(pieces: &mut Vec<PhysRange>, piece: PhysRange) {
    match pieces.last_mut() {
        Some(last) if last.contains_range(piece) => {}
        Some(last) if last.end() == piece.start() => {
            *last = PhysRange::new(last.start(), piece.end()).unwrap_or(*last);
        }
        _ => pieces.push(piece),
    }
}

/// Numbers, separated by commas; of many numbers only the first and the last.
fn listed(sections: &[SectionNr]) -> String {
    match sections {
        [first, .., last] if sections.len() > 4 => {
            format!("{} sections from {first} to {last}", sections.len())
        }
        _ => sections.iter().map(|nr| format!("{nr}")).collect::<Vec<_>>().join(", "),
    }
}

/// Tags of pages, in a map, because the page allocator uses the descriptors of this kernel.
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
