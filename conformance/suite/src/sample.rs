//! Selects frames and sections to check: borders, and some in between.
//!
//! # Invariants
//!
//! 1. The choice depends only on the machine's memory, so a failure can be reproduced.
//! 2. The number of descriptors that are accessed is bounded, regardless of the machine's size.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use sparsemem_core::MemoryRange;

use crate::Oracle;

/// The most sections whose borders are checked.
const SECTIONS: usize = 96;
/// The most ranges whose borders are checked.
const RANGES: usize = 128;

/// Takes `most` of the items, or all if they are fewer: spread evenly, always with the first and the last.
#[must_use]
pub fn spread<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    if items.len() <= most || most < 2 {
        return items.iter().take(most).copied().collect();
    }
    let last = items.len() - 1;
    (0..most).filter_map(|step| items.get(step * last / (most - 1)).copied()).collect()
}

/// The sections to compare: all of a small machine; of a large one, those at the ends of stretches, some others, and
/// the absent neighbours of these.
#[must_use]
pub fn sections(oracle: &Oracle) -> BTreeSet<u64> {
    let present: Vec<u64> = oracle.sections().collect();
    let mut picked: BTreeSet<u64> = spread(&present, 4096).into_iter().collect();
    for (first, end) in spread(&oracle.stretches(), 512) {
        picked.extend([first.saturating_sub(1), first, end - 1, end]);
    }
    let limit = oracle.shape().sections();
    picked.extend([0, limit - 1, limit, limit + 1, u64::MAX >> 20, u64::MAX]);
    picked
}

/// The frames on both sides of every border: of memory ranges, sections and subsections, and of the geometry.
#[must_use]
pub fn frames(oracle: &Oracle, memory: &[MemoryRange]) -> BTreeSet<u64> {
    let mut picked = BTreeSet::new();
    for range in spread(memory, RANGES) {
        around(&mut picked, range.frames.start().get());
        around(&mut picked, range.frames.end().get());
    }
    let shape = *oracle.shape();
    for nr in spread(&sections(oracle).into_iter().collect::<Vec<_>>(), SECTIONS) {
        let Some(first) = nr.checked_mul(shape.section_frames()) else { continue };
        around(&mut picked, first);
        around(&mut picked, first.saturating_add(shape.subsection_frames()));
        around(&mut picked, first.saturating_add(shape.section_frames() / 2 + 5));
        around(&mut picked, first.saturating_add(shape.section_frames()));
    }
    around(&mut picked, shape.frames());
    picked.extend([0, u64::MAX]);
    picked
}

/// The frames of a sample that have descriptors.
#[must_use]
pub fn valid_frames(oracle: &Oracle, memory: &[MemoryRange]) -> Vec<u64> {
    frames(oracle, memory).into_iter().filter(|frame| oracle.is_valid(*frame)).collect()
}

/// A frame and its neighbours.
fn around(picked: &mut BTreeSet<u64>, frame: u64) {
    picked.extend([frame.saturating_sub(1), frame, frame.saturating_add(1)]);
}

/// The parts of `memory` that lie in a few sections. They are the sections at the ends of ranges, so that the excerpt
/// contains borders.
#[must_use]
pub fn excerpt(oracle: &Oracle, memory: &[MemoryRange], sections: usize) -> Vec<MemoryRange> {
    let shape = oracle.shape();
    let mut wanted = BTreeSet::new();
    for range in memory.iter().filter(|range| !range.frames.is_empty()) {
        let ends = [range.frames.start().get(), range.frames.end().get() - 1];
        wanted.extend(ends.map(|frame| shape.section_of(frame)));
    }
    let wanted: Vec<u64> = wanted.into_iter().filter(|nr| oracle.is_present(*nr)).collect();
    let wanted: BTreeSet<u64> = spread(&wanted, sections).into_iter().collect();
    let mut parts = Vec::new();
    for range in memory {
        for nr in &wanted {
            let section = crate::oracle::range(shape.first_frame(*nr), shape.first_frame(nr + 1));
            let frames = range.frames.intersection(section);
            parts.extend((!frames.is_empty()).then_some(MemoryRange { frames, node: range.node }));
        }
    }
    parts
}
