//! The pages that hold the descriptors of a device's large pages, predicted for Linux and for this project.
//!
//! # Invariants
//!
//! 1. A part is in one section, which has not been there since boot: in others nothing is folded.

use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::{CompoundOrder, Pfn, PfnRange, SectionNr, SectionShape};

use super::ground::{Ground, touched};
use crate::kernel::{DESCRIPTOR, Geo};

/// Pages that hold the descriptors of so many frames.
const fn pages_of(frames: u64) -> u64 {
    frames * DESCRIPTOR / Geo::PAGE_SIZE
}

/// The parts of sections that are large pages, by their first frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Folded(BTreeMap<Pfn, (PfnRange, CompoundOrder)>);

impl Folded {
    /// Adds large pages to what was there before.
    pub(super) fn add(&mut self, frames: PfnRange, order: CompoundOrder, before: &Ground) {
        let parts = frames.by_section::<Geo>().filter(|(nr, _)| !before.is_early(*nr));
        self.0.extend(parts.map(|(_, part)| (part.start(), (part, order))));
    }

    /// Removes memory.
    pub(super) fn remove(&mut self, frames: PfnRange) {
        self.0.retain(|_, (part, _)| !frames.overlaps(*part));
    }

    /// The sections that have large pages.
    pub(super) fn sections(&self) -> impl Iterator<Item = SectionNr> {
        self.0.keys().map(|first| first.section::<Geo>()).collect::<BTreeSet<_>>().into_iter()
    }

    /// The different pages with descriptors of a section, in Linux and in this project.
    pub(super) fn pages(&self, nr: SectionNr, ground: &Ground) -> (u64, u64) {
        let (mut others, mut linux, mut ours) = (ground.bits(nr), 0, 0);
        let mut orders = BTreeSet::new();
        for (part, order) in self.0.values().filter(|(part, _)| part.start().section::<Geo>() == nr) {
            others = others.difference(touched(*part));
            let heads = (part.start().get()..part.end().get())
                .filter(|frame| order.head_of(Pfn::new(*frame)).get() == *frame)
                .count() as u64;
            // Without a head it is the second page of the large page that began before (V-62).
            linux += if pages_of(order.frames().get()) <= 2 {
                pages_of(part.count().get())
            } else if heads == 0 {
                1
            } else {
                2 * heads
            };
            ours += heads;
            orders.insert(*order);
        }
        let plain = pages_of(u64::from(others.count()) * Geo::PAGES_PER_SUBSECTION);
        (plain + linux, plain + ours + orders.len() as u64)
    }
}
