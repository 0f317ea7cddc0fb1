//! What backs the descriptors: mappings, their sizes, and the bytes they take.
//!
//! # Invariants
//!
//! 1. What has to be mapped follows from the oracle, the place of the array and the size of a descriptor; what is
//!    mapped is read from the page tables by the world's walker, not by the model's.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::{LeafSize, PagingDepth, VirtAddr, VirtRange};

use crate::failure::{Place, expect, expect_eq};
use crate::{ArrayFacts, Failure, Leaf, Oracle, Stage, TableKind, sample};

/// Addresses of descriptors in an array.
#[derive(Clone, Copy)]
struct Array {
    facts: ArrayFacts,
    descriptor_bytes: u64,
    section_frames: u64,
}

impl Array {
    /// The array of the model, if it has one.
    fn of(stage: &Stage<'_>) -> Option<Self> {
        let facts = stage.facts.build.array?;
        let section_frames = stage.facts.shape.section_frames();
        Some(Self { facts, descriptor_bytes: stage.facts.descriptor_bytes, section_frames })
    }

    /// Address of a frame's descriptor.
    const fn at(&self, frame: u64) -> u64 {
        self.facts.start.get() + frame * self.descriptor_bytes
    }

    /// Bytes of the descriptors of sections: first, and one behind the last.
    const fn of_sections(&self, first: u64, end: u64) -> (u64, u64) {
        (self.at(first * self.section_frames), self.at(end * self.section_frames))
    }

    /// Every leaf of the array.
    fn leaves(&self, stage: &Stage<'_>) -> Vec<Leaf> {
        let start = self.facts.start;
        let end = VirtAddr::new(start.get() + self.facts.len_bytes);
        let mut leaves = Vec::new();
        if let Ok(window) = VirtRange::new(start, end) {
            stage.world().leaves(window, &mut |leaf| leaves.push(leaf));
        }
        leaves
    }

    /// Whether a leaf holds a byte of a descriptor of a present section.
    fn is_needed(&self, leaf: &Leaf, oracle: &Oracle) -> bool {
        let section_bytes = self.section_frames * self.descriptor_bytes;
        let first = (leaf.at.get() - self.facts.start.get()) / section_bytes;
        let last = (leaf.end() - 1 - self.facts.start.get()) / section_bytes;
        oracle.next_present(first).is_some_and(|present| present <= last)
    }
}

/// Fails if the array has a leaf without a descriptor of a valid frame (I-12). Models without an array pass.
pub(crate) fn no_leaf_is_idle(stage: &Stage<'_>, oracle: &Oracle) -> Result<(), Failure> {
    let Some(array) = Array::of(stage) else { return Ok(()) };
    array.leaves(stage).iter().try_for_each(|leaf| {
        let place = Place::Address(leaf.at);
        expect(array.is_needed(leaf, oracle), place, "leaf", "a descriptor of a valid frame in it", leaf)
    })
}

/// Compares the mappings with the present sections, in both directions.
pub(crate) fn mapped_iff_needed(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let Some(array) = Array::of(stage) else { return Ok(()) };
    no_leaf_is_idle(stage, &oracle)?;
    let leaves = array.leaves(stage);
    for (first, end) in oracle.stretches() {
        is_covered(&leaves, array.of_sections(first, end))?;
    }
    for frame in sample::valid_frames(&oracle, stage.memory) {
        let found = stage.subject.lookup(sparsemem_core::Pfn::new(frame)).map(|at| at as u64);
        expect_eq(Place::frame(frame), "address of the descriptor", &Some(array.at(frame)), &found)?;
        for byte in [array.at(frame), array.at(frame + 1) - 1] {
            access_is(stage, byte, true)?;
        }
    }
    stage.mappings_agree()
}

/// Fails unless leaves cover some bytes without a gap.
fn is_covered(leaves: &[Leaf], (start, end): (u64, u64)) -> Result<(), Failure> {
    let behind = leaves.partition_point(|leaf| leaf.end() <= start);
    let mut at = start;
    for leaf in leaves.iter().skip(behind).take_while(|leaf| leaf.at.get() < end) {
        if leaf.at.get() > at {
            break;
        }
        at = leaf.end();
    }
    expect(at >= end, Place::Address(VirtAddr::new(at)), "descriptors of valid frames", "a leaf", "none")
}

/// Fails unless software and processor agree whether an address is mapped.
fn access_is(stage: &Stage<'_>, at: u64, expected: bool) -> Result<(), Failure> {
    let at = VirtAddr::new(at);
    let walked = stage.world().leaf_at(at).is_some();
    expect_eq(Place::Address(at), "is in the page tables", &expected, &walked)?;
    expect_eq(Place::Address(at), "is readable", &expected, &stage.world().is_readable(at))
}

/// Touches what is around the populated parts, before, while and after the model is up.
pub(crate) fn stray_access_faults(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let oracle = stage.oracle(stage.memory);
    let Some(array) = Array::of(stage) else { return Ok(()) };
    let stretches = sample::spread(&oracle.stretches(), 96);
    let inside: Vec<u64> = stretches.iter().map(|(first, end)| array.of_sections(*first, *end).0).collect();
    inside.iter().try_for_each(|at| access_is(stage, *at, false))?;
    stage.boot()?;
    let leaves = array.leaves(stage);
    for (first, end) in stretches {
        outside_faults(stage, &array, &leaves, array.of_sections(first, end))?;
    }
    stage.tear_down()?;
    inside.iter().try_for_each(|at| access_is(stage, *at, false))
}

/// Fails if an access before the first, or behind the last leaf of a stretch succeeds, where no other leaf is.
fn outside_faults(
    stage: &Stage<'_>,
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
    let behind = Some(last.end()).filter(|at| *at < array.facts.start.get() + array.facts.len_bytes);
    let outside = [before, behind].into_iter().flatten().filter(|at| holding(*at).is_none());
    outside.into_iter().try_for_each(|at| access_is(stage, at, false))
}

/// Compares the size of each leaf with the largest that its place allows.
pub(crate) fn leaf_sizes(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let Some(array) = Array::of(stage) else { return Ok(()) };
    let runs: Vec<_> = oracle.runs().iter().map(|(first, end)| array.of_sections(*first, *end)).collect();
    for leaf in array.leaves(stage) {
        let size = largest(stage, &runs, leaf.at.get());
        expect_eq(Place::Address(leaf.at), "size of the leaf", &size, &leaf.size)?;
    }
    Ok(())
}

/// The largest leaf that may hold an address: one that lies in a run of sections of one node as a whole; 2 MiB also
/// where it does not, if a section's descriptors fill more than half of that.
fn largest(stage: &Stage<'_>, runs: &[(u64, u64)], at: u64) -> LeafSize {
    let in_a_run = |size: LeafSize| {
        let start = at / size.bytes() * size.bytes();
        runs.iter().any(|(first, end)| *first <= start && start + size.bytes() <= *end)
    };
    let fills_half = stage.facts.section_memmap_bytes() * 2 > LeafSize::Size2MiB.bytes();
    let fits = |size: LeafSize| match size {
        LeafSize::Size4KiB => true,
        LeafSize::Size2MiB => fills_half || in_a_run(size),
        LeafSize::Size1GiB => in_a_run(size),
    };
    let sizes = [LeafSize::Size1GiB, LeafSize::Size2MiB];
    let largest = sizes.into_iter().find(|size| *size <= stage.facts.largest_leaf && fits(*size));
    largest.unwrap_or(LeafSize::Size4KiB)
}

/// Compares the bytes that the model says it takes.
pub(crate) fn footprint(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let before = stage.world().balance();
    let (oracle, _) = stage.boot()?;
    let found = stage.subject.footprint();
    let (fixed, roots) = table_bytes(stage, &oracle);
    expect_eq(Place::Model, "bytes of the table", &(fixed + roots), &found.table_bytes)?;
    usage_bytes_fit(stage, &oracle, found.usage_bytes)?;
    let (memmap, tables) = memmap_bytes(stage, &oracle);
    expect_eq(Place::Model, "bytes of memmaps", &memmap, &found.memmap_bytes)?;
    // A table that was there before is none that the model made.
    let shared = stage.world().shared_tables() * LeafSize::Size4KiB.bytes();
    expect_eq(Place::Model, "bytes of page tables", &tables.saturating_sub(shared), &found.page_table_bytes)?;
    let outstanding = stage.world().balance().bytes() - before.bytes();
    expect_eq(Place::Model, "bytes outstanding", &(found.total_bytes() - fixed), &outstanding)
}

/// Summary bits of a table: 512 words, and a word for every 64 of them.
const SUMMARY_BYTES: u64 = (512 + 8) * 8;

/// Bytes of the table that are always there, and those of roots.
fn table_bytes(stage: &Stage<'_>, oracle: &Oracle) -> (u64, u64) {
    let shape = &stage.facts.shape;
    match stage.facts.build.table {
        TableKind::Flat => (shape.sections() * 16 + SUMMARY_BYTES, 0),
        TableKind::Rooted => {
            let roots: BTreeSet<u64> = oracle.sections().map(|nr| nr / shape.sections_per_root()).collect();
            // A pointer and a byte of origin for each possible root.
            let slots = shape.roots() * 8 + shape.roots().next_multiple_of(8);
            (slots + SUMMARY_BYTES, roots.len() as u64 * shape.page_bytes())
        }
    }
}

/// Bytes of what a usage's block remembers of its section while readers of the retired section are waited for: at least its
/// number, its word and the section before it, at most eight words.
const RECORD_BYTES: (u64, u64) = (3 * 8, 8 * 8);

/// Fails unless usages take the same for every section: their maps, room for that record, and a little more.
fn usage_bytes_fit(stage: &Stage<'_>, oracle: &Oracle, bytes: u64) -> Result<(), Failure> {
    let (sections, maps) = (oracle.count().max(1), stage.facts.shape.least_usage_bytes());
    let (least, most) = (maps + RECORD_BYTES.0, 2 * maps + 64 + RECORD_BYTES.1);
    let each = bytes / sections;
    let fit = bytes.is_multiple_of(sections) && (least..=most).contains(&each);
    let expected = format!("{sections} times {least} or little more");
    expect(fit, Place::Model, "bytes of usages", &expected, bytes)
}

/// Bytes behind the descriptors, and of the tables that lead there.
fn memmap_bytes(stage: &Stage<'_>, oracle: &Oracle) -> (u64, u64) {
    let Some(array) = Array::of(stage) else {
        let block = stage.facts.section_memmap_bytes().next_multiple_of(stage.facts.shape.page_bytes());
        return (oracle.count() * block, 0);
    };
    let leaves = array.leaves(stage);
    let memmap = leaves.iter().map(|leaf| leaf.size.bytes()).sum();
    (memmap, tables_for(&leaves, stage.facts.depth) * LeafSize::Size4KiB.bytes())
}

/// Tables below the top level that leaves need: one for each aligned range of a table's reach with a smaller leaf.
fn tables_for(leaves: &[Leaf], depth: PagingDepth) -> u64 {
    let reaches: &[u32] = match depth {
        PagingDepth::Four => &[21, 30, 39],
        PagingDepth::Five => &[21, 30, 39, 48],
    };
    let tables = |bits: &u32| {
        let below = leaves.iter().filter(|leaf| leaf.size.bytes() < 1 << bits);
        below.map(|leaf| leaf.at.get() >> bits).collect::<BTreeSet<_>>().len() as u64
    };
    reaches.iter().map(tables).sum()
}
