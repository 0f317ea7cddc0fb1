//! The text of facts' values. Both sides use these functions, so that equal values have equal texts.

use std::collections::BTreeSet;
use std::fmt::Write;

use sparsemem_altmap::AltmapSpec;
use sparsemem_core::{
    Geometry, LeafSize, PfnRange, PhysAddr, SectionFlags, SectionNr, SectionShape, SubsectionBits,
    SubsectionIdx,
};

use super::kernel::{DESCRIPTOR, Geo};
use super::spans::{self, Span};

/// The value of a fact that only states existence.
pub(super) const THERE: &str = "there";

/// The step from a page to the next.
const PAGE_BYTES: usize = 1 << Geo::PAGE_SHIFT;

/// Flags by their names.
pub(super) fn flags(flags: SectionFlags) -> String {
    flags.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(" | ")
}

/// Numbers in a row.
pub(super) fn numbers(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}

/// The address in a section's word, relative to the array.
pub(super) fn offset(from_base: u64) -> String {
    format!("base + {from_base:#x}")
}

/// A run of mappings by its end.
pub(super) fn mapping(end: u64, size: u64) -> String {
    let size = match size {
        _ if size == LeafSize::Size4KiB.bytes() => "4 KiB",
        _ if size == LeafSize::Size2MiB.bytes() => "2 MiB",
        _ => "1 GiB",
    };
    format!("to {end:#x} in {size}")
}

/// A range by its end.
pub(super) fn end(end: u64) -> String {
    format!("to {end:#x}")
}

/// The descriptors of a section that lie in altmaps, with their places: by subsection, joined into runs. `backing`
/// returns the physical address of the byte at an offset of the array.
pub(super) fn altmap(
    nr: u64,
    populated: SubsectionBits,
    altmaps: &[AltmapSpec],
    backing: impl Fn(u64) -> Option<u64>,
) -> Option<String> {
    let first = nr * Geo::PAGES_PER_SECTION;
    let bytes = Geo::PAGES_PER_SUBSECTION * DESCRIPTOR;
    let mut runs: Vec<(Span, u64)> = Vec::new();
    for index in (0..Geo::SUBSECTIONS_PER_SECTION).filter(|it| populated.contains(SubsectionIdx::new(*it))) {
        let index = u64::from(index);
        let offset = first * DESCRIPTOR + index * bytes;
        let Some(phys) = backing(offset).filter(|phys| altmaps.iter().any(|it| holds(*it, *phys))) else {
            continue;
        };
        match runs.last_mut() {
            Some(((start, end), at)) if *end == index && *at + (index - *start) * bytes == phys => *end += 1,
            _ => runs.push(((index, index + 1), phys)),
        }
    }
    let mut words = String::new();
    for ((start, end), at) in runs {
        let comma = if words.is_empty() { "" } else { ", " };
        let _ = write!(words, "{comma}{start}-{} at {at:#x}", end - 1);
    }
    Some(words).filter(|words| !words.is_empty())
}

/// The number of different pages that hold the descriptors of a section, if it has any: from pieces of the array, each with
/// its start, its end and its place.
pub(super) fn pages(nr: u64, pieces: &[(u64, u64, u64)]) -> Option<usize> {
    let bytes = Geo::PAGES_PER_SECTION * DESCRIPTOR;
    let (first, end) = (nr * bytes, (nr + 1) * bytes);
    let inside = pieces.iter().map(|(start, past, at)| {
        let from = first.max(*start);
        (from, end.min(*past), at.wrapping_add(from.wrapping_sub(*start)))
    });
    let of = |(from, past, at): (u64, u64, u64)| {
        (0..past.saturating_sub(from)).step_by(PAGE_BYTES).map(move |it| at + it)
    };
    let different: BTreeSet<u64> = inside.flat_map(of).collect();
    Some(different.len()).filter(|count| *count > 0)
}

/// True if an altmap contains an address.
fn holds(altmap: AltmapSpec, phys: u64) -> bool {
    altmap.free_frames().contains(PhysAddr::new(phys).pfn::<Geo>())
}

/// Frames as a run of addresses.
pub(super) const fn bytes(frames: PfnRange) -> Span {
    (frames.start().get() << Geo::PAGE_SHIFT, frames.end().get() << Geo::PAGE_SHIFT)
}

/// Equal mappings, joined into runs: start and end as offsets, and their size.
pub(super) fn mapping_runs(leaves: &[(u64, u64, u64)]) -> Vec<(u64, u64, u64)> {
    let sizes = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB].map(LeafSize::bytes);
    let of = |wanted: u64| {
        let leaves = leaves.iter().filter(move |(_, _, size)| *size == wanted);
        let runs = spans::joined(leaves.map(|(start, end, _)| (*start, *end)));
        runs.into_iter().map(move |(start, end)| (start, end, wanted))
    };
    sizes.into_iter().flat_map(of).collect()
}

/// The same mappings, but with base pages in some runs of the array instead of large ones.
pub(super) fn with_base_pages(
    leaves: &[(u64, u64, u64)],
    runs: impl IntoIterator<Item = Span>,
) -> Vec<(u64, u64, u64)> {
    let (base, large) = (LeafSize::Size4KiB.bytes(), LeafSize::Size2MiB.bytes());
    let runs = spans::joined(runs);
    let is_large = |leaf: &&(u64, u64, u64)| leaf.2 == large;
    let larger = leaves.iter().filter(is_large).map(|(start, end, _)| (*start, *end));
    let larger = spans::without(larger, runs.clone()).into_iter().map(|(start, end)| (start, end, large));
    let others = leaves.iter().filter(|leaf| !is_large(leaf)).copied();
    larger.chain(runs.into_iter().map(|(start, end)| (start, end, base))).chain(others).collect()
}

/// The root of this project's table that contains a section's entry.
pub(super) const fn root_of(nr: SectionNr) -> u64 {
    nr.get() / Geo::SECTIONS_PER_ROOT
}
