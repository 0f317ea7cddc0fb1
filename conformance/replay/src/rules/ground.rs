//! The memory that boot and operations have made, counted from the operations alone.
//!
//! # Invariants
//!
//! 1. Nothing here looks at a section table, neither the recorded one nor the model's, so both can be compared with it.

use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::{NodeId, PfnRange, PhysRange, SectionNr, SubsectionBits};

use crate::kernel::Geo;

/// The memory of one section.
#[derive(Clone, Copy, Debug)]
struct Populated {
    bits: SubsectionBits,
    /// The section has been there since boot.
    is_early: bool,
}

/// All memory at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Ground {
    there: BTreeMap<SectionNr, Populated>,
    /// Every section that was ever there.
    ever: BTreeSet<SectionNr>,
    /// Sections of boot that were removed.
    boot_gone: BTreeSet<SectionNr>,
}

impl Ground {
    /// Adds the memory of boot.
    pub(super) fn boot(&mut self, memory: &[(PhysRange, NodeId)]) {
        for (range, _) in memory {
            self.insert(range.whole_frames::<Geo>(), true);
        }
    }

    /// Adds memory after boot.
    pub(super) fn add(&mut self, frames: PfnRange) {
        self.insert(frames, false);
    }

    /// Removes memory.
    pub(super) fn remove(&mut self, frames: PfnRange) {
        for (nr, part) in frames.by_section::<Geo>() {
            let Some(populated) = self.there.get_mut(&nr) else { continue };
            populated.bits = populated.bits.difference(touched(part));
            if populated.bits.is_empty() {
                self.boot_gone.extend(populated.is_early.then_some(nr));
                self.there.remove(&nr);
            }
        }
    }

    /// True if a section is there.
    pub(super) fn has(&self, nr: SectionNr) -> bool {
        self.there.contains_key(&nr)
    }

    /// True if a section has been there since boot.
    pub(super) fn is_early(&self, nr: SectionNr) -> bool {
        self.there.get(&nr).is_some_and(|populated| populated.is_early)
    }

    /// The subsections of a section.
    pub(super) fn bits(&self, nr: SectionNr) -> SubsectionBits {
        self.there.get(&nr).map(|populated| populated.bits).unwrap_or_default()
    }

    /// The sections that are there.
    pub(super) fn sections(&self) -> impl ExactSizeIterator<Item = SectionNr> {
        self.there.keys().copied()
    }

    /// The sections that were ever there.
    pub(super) fn ever(&self) -> impl Iterator<Item = SectionNr> {
        self.ever.iter().copied()
    }

    /// The sections of boot that were removed and not added again.
    pub(super) fn boot_gone(&self) -> impl Iterator<Item = SectionNr> {
        self.boot_gone.iter().copied().filter(|nr| !self.has(*nr))
    }

    fn insert(&mut self, frames: PfnRange, is_early: bool) {
        for (nr, part) in frames.by_section::<Geo>() {
            let new = Populated { bits: SubsectionBits::EMPTY, is_early };
            let populated = self.there.entry(nr).or_insert(new);
            populated.bits = populated.bits.union(touched(part));
            self.ever.insert(nr);
        }
    }
}

/// The subsections of a part of one section.
pub(super) fn touched(part: PfnRange) -> SubsectionBits {
    // `by_section` gives parts of one section that are not empty: there is always a set.
    SubsectionBits::touched::<Geo>(part).unwrap_or_default()
}
