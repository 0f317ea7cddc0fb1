//! Memory that holds the memmap of other memory, and the order in which both can go.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem::{
    ByteLen, MemoryModel, NodeId, Page, PageCount, Pfn, PfnRange, PhysRange, SectionNr, SectionShape,
    presets::X86_64,
};
use sparsemem_bootmem_registration::{
    PieceSlot, PlanSlot, Registry, Removal, SectionMetadata, SectionSlot, Storage, Tag, TagStore,
    TagStoreError,
};
use sparsemem_hotplug::{OfflineError, Reason};

use super::Told;
use super::checks::{StoryError, holds, refusal, same, some};
use super::host::NewDimm;
use super::system::{System, frame_of_descriptor};
use crate::frames::Pages;
use crate::glue::MODEL;
use crate::say;

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
