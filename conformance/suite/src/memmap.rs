//! Scenarios of the memory that descriptors lie in: mappings, their sizes, and the bytes they take.
//!
//! # Invariants
//!
//! 1. The expected mappings follow from the oracle, the place of the array and the size of a descriptor. The world's
//!    walker reads the actual mappings from the page tables; the model's code takes no part in it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::{Footprint, LeafSize, PagingDepth, VirtAddr, VirtRange};

use crate::failure::{Place, expect, expect_eq};
use crate::{ArrayFacts, Failure, Leaf, Oracle, Setting, TableKind, sample};

/// Addresses of descriptors in an array.
#[derive(Clone, Copy)]
struct Array {
    facts: ArrayFacts,
    descriptor_bytes: u64,
    section_frames: u64,
}

impl Array {
    /// The array of the model, if it has one.
    fn of(setting: &Setting<'_>) -> Option<Self> {
        let facts = setting.facts.can.array?;
        let section_frames = setting.facts.shape.section_frames();
        Some(Self { facts, descriptor_bytes: setting.facts.descriptor_bytes, section_frames })
    }

    /// Address of a frame's descriptor.
    const fn at(&self, frame: u64) -> u64 {
        self.facts.start.get() + frame * self.descriptor_bytes
    }

    /// Addresses of the descriptors of sections from `first` to before `end`: the first byte, and the first byte past
    /// them.
    const fn of_sections(&self, first: u64, end: u64) -> (u64, u64) {
        (self.at(first * self.section_frames), self.at(end * self.section_frames))
    }

    /// Every leaf of the array.
    fn leaves(&self, setting: &Setting<'_>) -> Vec<Leaf> {
        let start = self.facts.start;
        let end = VirtAddr::new(start.get() + self.facts.len_bytes);
        let mut leaves = Vec::new();
        if let Ok(window) = VirtRange::new(start, end) {
            setting.world().leaves(window, &mut |leaf| leaves.push(leaf));
        }
        leaves
    }

    /// True if a leaf contains a byte of a descriptor of a present section.
    fn is_needed(&self, leaf: &Leaf, oracle: &Oracle) -> bool {
        let section_bytes = self.section_frames * self.descriptor_bytes;
        let first = (leaf.at.get() - self.facts.start.get()) / section_bytes;
        let last = (leaf.end() - 1 - self.facts.start.get()) / section_bytes;
        oracle.next_present(first).is_some_and(|present| present <= last)
    }
}

/// Fails if the array has a leaf without a descriptor of a valid frame (I-12). Models without an array pass.
pub(crate) fn no_leaf_is_idle(setting: &Setting<'_>, oracle: &Oracle) -> Result<(), Failure> {
    let Some(array) = Array::of(setting) else { return Ok(()) };
    array.leaves(setting).iter().try_for_each(|leaf| {
        let place = Place::Address(leaf.at);
        expect(array.is_needed(leaf, oracle), place, "leaf", "a descriptor of a valid frame in it", leaf)
    })
}

/// Compares the mappings with the present sections, in both directions.
pub(crate) fn mapped_iff_needed(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let Some(array) = Array::of(setting) else { return Ok(()) };
    no_leaf_is_idle(setting, &oracle)?;
    let leaves = array.leaves(setting);
    for (first, end) in oracle.stretches() {
        is_covered(&leaves, array.of_sections(first, end))?;
    }
    for frame in sample::valid_frames(&oracle, setting.memory) {
        let found = setting.subject.lookup(sparsemem_core::Pfn::new(frame)).map(|at| at as u64);
        expect_eq(Place::frame(frame), "address of the descriptor", &Some(array.at(frame)), &found)?;
        for byte in [array.at(frame), array.at(frame + 1) - 1] {
            access_is(setting, byte, true)?;
        }
    }
    setting.mappings_agree()
}

/// Fails unless leaves cover a range of bytes without a gap.
fn is_covered(leaves: &[Leaf], (start, end): (u64, u64)) -> Result<(), Failure> {
    let first = leaves.partition_point(|leaf| leaf.end() <= start);
    let mut at = start;
    for leaf in leaves.iter().skip(first).take_while(|leaf| leaf.at.get() < end) {
        if leaf.at.get() > at {
            break;
        }
        at = leaf.end();
    }
    expect(at >= end, Place::Address(VirtAddr::new(at)), "descriptors of valid frames", "a leaf", "none")
}

/// Fails unless page tables and processor agree on whether an address is mapped.
fn access_is(setting: &Setting<'_>, at: u64, expected: bool) -> Result<(), Failure> {
    let at = VirtAddr::new(at);
    let walked = setting.world().leaf_at(at).is_some();
    expect_eq(Place::Address(at), "is in the page tables", &expected, &walked)?;
    expect_eq(Place::Address(at), "is readable", &expected, &setting.world().is_readable(at))
}

/// Accesses addresses around the populated parts, before, while and after the model is up.
pub(crate) fn stray_access_faults(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let oracle = setting.oracle(setting.memory);
    let Some(array) = Array::of(setting) else { return Ok(()) };
    let stretches = sample::spread(&oracle.stretches(), 96);
    let inside: Vec<u64> = stretches.iter().map(|(first, end)| array.of_sections(*first, *end).0).collect();
    inside.iter().try_for_each(|at| access_is(setting, *at, false))?;
    setting.boot()?;
    let leaves = array.leaves(setting);
    for (first, end) in stretches {
        outside_faults(setting, &array, &leaves, array.of_sections(first, end))?;
    }
    setting.tear_down()?;
    inside.iter().try_for_each(|at| access_is(setting, *at, false))
}

/// Fails if an access before the first or past the last leaf of a stretch succeeds where there is no other leaf.
fn outside_faults(
    setting: &Setting<'_>,
    array: &Array,
    leaves: &[Leaf],
    (start, end): (u64, u64),
) -> Result<(), Failure> {
    let holding = |byte: u64| leaves.iter().find(|leaf| leaf.at.get() <= byte && byte < leaf.end());
    let (Some(first), Some(last)) = (holding(start), holding(end - 1)) else {
        let place = Place::Address(VirtAddr::new(start));
        return Err(Failure::new(place, "descriptors of a stretch", "leaves", "none"));
    };
    let before = first.at.get().checked_sub(1).filter(|at| *at >= array.facts.start.get());
    let after = Some(last.end()).filter(|at| *at < array.facts.start.get() + array.facts.len_bytes);
    let outside = [before, after].into_iter().flatten().filter(|at| holding(*at).is_none());
    outside.into_iter().try_for_each(|at| access_is(setting, at, false))
}

/// Compares the size of each leaf with the largest that its place allows.
pub(crate) fn leaf_sizes(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let Some(array) = Array::of(setting) else { return Ok(()) };
    let runs: Vec<_> = oracle.runs().iter().map(|(first, end)| array.of_sections(*first, *end)).collect();
    for leaf in array.leaves(setting) {
        let size = largest(setting, &runs, leaf.at.get());
        expect_eq(Place::Address(leaf.at), "size of the leaf", &size, &leaf.size)?;
    }
    Ok(())
}

/// The size of the largest leaf that may contain an address. A leaf must lie completely in a run of sections of one
/// node; one of the second level also fits if a section's descriptors fill more than half of it.
fn largest(setting: &Setting<'_>, runs: &[(u64, u64)], at: u64) -> LeafSize {
    let facts = &setting.facts;
    let in_a_run = |size: LeafSize| {
        let start = at / size.bytes() * size.bytes();
        runs.iter().any(|(first, end)| *first <= start && start + size.bytes() <= *end)
    };
    let fits = |level: u32, size: LeafSize| {
        let fills_half = level == 2 && facts.section_memmap_bytes() * 2 > size.bytes();
        level == 1 || fills_half || in_a_run(size)
    };
    let sizes = [3, 2, 1].map(|level| (level, size_at(setting, level)));
    let mut allowed = sizes.into_iter().filter(|(level, size)| *level == 1 || *size <= facts.largest_leaf);
    allowed.find(|(level, size)| fits(*level, *size)).map_or(size_at(setting, 1), |(_, size)| size)
}

/// The size of a leaf at a level.
fn size_at(setting: &Setting<'_>, level: u32) -> LeafSize {
    LeafSize::from_shift(setting.facts.level_shift(level)).unwrap_or(LeafSize::Size4KiB)
}

/// Compares the bytes that the model reports as taken.
pub(crate) fn footprint(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (before, bare) = (setting.world().balance(), setting.subject.footprint());
    let (oracle, _) = setting.boot()?;
    let found = setting.subject.footprint();
    let taken = setting.world().balance().bytes() - before.bytes();
    let Some((fixed, roots)) = table_bytes(setting, &oracle) else {
        return as_outstanding(setting, &oracle, &found, taken + bare.total_bytes());
    };
    expect_eq(Place::Model, "bytes of the table", &(fixed + roots), &found.table_bytes)?;
    let fixed = fixed + bare.plane_bytes;
    planes_fit(setting, roots, found.plane_bytes.saturating_sub(bare.plane_bytes))?;
    usage_bytes_fit(setting, &oracle, found.usage_bytes)?;
    let (memmap, tables) = memmap_bytes(setting, &oracle);
    expect_eq(Place::Model, "bytes of memmaps", &memmap, &found.memmap_bytes)?;
    // The model did not make tables that existed before it.
    let shared = setting.world().shared_tables() << setting.facts.table_shift;
    expect_eq(Place::Model, "bytes of page tables", &tables.saturating_sub(shared), &found.page_table_bytes)?;
    expect_eq(Place::Model, "bytes outstanding", &(found.total_bytes() - fixed), &taken)
}

/// Fails unless a model reports at least a descriptor for each valid frame, and as many bytes in all as it has taken and
/// had before.
fn as_outstanding(
    setting: &Setting<'_>,
    oracle: &Oracle,
    found: &Footprint,
    taken: u64,
) -> Result<(), Failure> {
    let least = oracle.count() * setting.facts.section_memmap_bytes();
    let expected = format!("at least {least}");
    expect(found.memmap_bytes >= least, Place::Model, "bytes of memmaps", &expected, found.memmap_bytes)?;
    expect_eq(Place::Model, "bytes reported in all", &taken, &found.total_bytes())
}

/// Bytes of a table's summary bits: 512 words, and one word for every 64 of them.
const SUMMARY_BYTES: u64 = (512 + 8) * 8;

/// Bytes of the table that are always allocated, and bytes of roots; `None` if the model does not say what its table is.
fn table_bytes(setting: &Setting<'_>, oracle: &Oracle) -> Option<(u64, u64)> {
    let shape = &setting.facts.shape;
    match setting.facts.can.table {
        TableKind::Other => None,
        TableKind::Flat => Some((shape.sections() * 16 + SUMMARY_BYTES, 0)),
        TableKind::Rooted => {
            let roots: BTreeSet<u64> = oracle.sections().map(|nr| nr / shape.sections_per_root()).collect();
            // One pointer and one byte of origin for each possible root.
            let slots = shape.roots() * 8 + shape.roots().next_multiple_of(8);
            Some((slots + SUMMARY_BYTES, roots.len() as u64 * shape.page_bytes()))
        }
    }
}

/// Fails unless roots of so many bytes have no planes, or two bits for each subsection of their sections.
fn planes_fit(setting: &Setting<'_>, roots: u64, bytes: u64) -> Result<(), Failure> {
    let shape = &setting.facts.shape;
    let sections = roots / shape.page_bytes() * shape.sections_per_root();
    let planes = sections * 2 * shape.subsections().div_ceil(64) * 8;
    let expected = format!("0 or {planes}");
    expect([0, planes].contains(&bytes), Place::Model, "bytes of planes in roots", &expected, bytes)
}

/// Bytes that a usage's block needs to remember its section while the writer waits for readers of the retired
/// section: at least its number, its word and the previous section, at most eight words.
const RECORD_BYTES: (u64, u64) = (3 * 8, 8 * 8);

/// Fails unless the usages of all sections have the same size: their maps, that record, and little more.
fn usage_bytes_fit(setting: &Setting<'_>, oracle: &Oracle, bytes: u64) -> Result<(), Failure> {
    let (sections, maps) = (oracle.count().max(1), setting.facts.shape.least_usage_bytes());
    let (least, most) = (maps + RECORD_BYTES.0, 2 * maps + 64 + RECORD_BYTES.1);
    let each = bytes / sections;
    let fit = bytes % sections == 0 && (least..=most).contains(&each);
    let expected = format!("{sections} times {least} or little more");
    expect(fit, Place::Model, "bytes of usages", &expected, bytes)
}

/// Bytes of the leaves that hold descriptors, and bytes of the tables that lead to them.
fn memmap_bytes(setting: &Setting<'_>, oracle: &Oracle) -> (u64, u64) {
    let Some(array) = Array::of(setting) else {
        let block = setting.facts.section_memmap_bytes().next_multiple_of(setting.facts.shape.page_bytes());
        return (oracle.count() * block, 0);
    };
    let leaves = array.leaves(setting);
    let memmap = leaves.iter().map(|leaf| leaf.size.bytes()).sum();
    (memmap, tables_for(setting, &leaves) << setting.facts.table_shift)
}

/// The number of tables below the top level that leaves need: one for each aligned range of a table's reach that
/// contains a smaller leaf.
fn tables_for(setting: &Setting<'_>, leaves: &[Leaf]) -> u64 {
    let top = match setting.facts.depth {
        PagingDepth::Two => 2,
        PagingDepth::Three => 3,
        PagingDepth::Four => 4,
        PagingDepth::Five => 5,
    };
    let tables = |level: u32| {
        let bits = setting.facts.level_shift(level + 1);
        let below = leaves.iter().filter(|leaf| leaf.size.bytes() < 1 << bits);
        below.map(|leaf| leaf.at.get() >> bits).collect::<BTreeSet<_>>().len() as u64
    };
    (1..top).map(tables).sum()
}
