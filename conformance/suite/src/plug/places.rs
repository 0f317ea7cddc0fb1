//! The places of a machine where memory can be plugged.
//!
//! # Invariants
//!
//! 1. The choice depends only on the machine's memory, so a failure can be reproduced.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use sparsemem_core::{MemoryRange, PfnRange, SubsectionIdx};

use crate::{Facts, Oracle, Reason, Shape, Spare, range};

/// The number of successive absent sections that scenarios plug into.
const FRESH: u64 = 4;

/// The places of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    shape: Shape,
    fresh: u64,
    hole: Option<PfnRange>,
    boot_block: Option<u64>,
    device: Option<PfnRange>,
}

impl Places {
    /// Searches for the places.
    ///
    /// # Errors
    ///
    /// The reason, if the machine has too few successive absent sections.
    pub(crate) fn new(
        facts: &Facts,
        oracle: &Oracle,
        memory: &[MemoryRange],
        spare: Option<Spare>,
    ) -> Result<Self, Reason> {
        let shape = facts.shape;
        let bits = shape.page_bits;
        let device =
            spare.map(|spare| range(spare.range().start().get() >> bits, spare.range().end().get() >> bits));
        let fresh = fresh(facts, oracle, device)
            .ok_or_else(|| Reason::new("the machine does not have enough successive absent sections"))?;
        let hole = oracle.sections().find_map(|nr| hole(&shape, oracle, nr));
        let boot_block = oracle.sections().find(|nr| is_whole(&shape, memory, *nr));
        Ok(Self { shape, fresh, hole, boot_block, device })
    }

    /// `count` absent sections, directly after a present section.
    pub(crate) fn ram(&self, count: u64) -> PfnRange {
        self.subsections(0, count * self.shape.subsections())
    }

    /// `count` absent subsections, starting `first` subsections after the beginning of [`Places::ram`].
    pub(crate) fn subsections(&self, first: u64, count: u64) -> PfnRange {
        let start = self.shape.first_frame(self.fresh) + first * self.shape.subsection_frames();
        range(start, start + count * self.shape.subsection_frames())
    }

    /// Number of the first absent section.
    pub(crate) const fn fresh(&self) -> u64 {
        self.fresh
    }

    /// Subsections without memory in a section of boot.
    pub(crate) const fn hole(&self) -> Option<PfnRange> {
        self.hole
    }

    /// A section all of which is RAM of one node since boot.
    pub(crate) const fn boot_block(&self) -> Option<u64> {
        self.boot_block
    }

    /// The frames of the device.
    pub(crate) const fn device(&self) -> Option<PfnRange> {
        self.device
    }

    /// The sections of all places, and their neighbours.
    pub(crate) fn watched(&self) -> Vec<u64> {
        let mut watched: BTreeSet<u64> = (self.fresh.saturating_sub(1)..=self.fresh + FRESH).collect();
        let section = |frame| self.shape.section_of(frame);
        let around = |frames: PfnRange| {
            section(frames.start().get()).saturating_sub(1)..=section(frames.end().get() - 1) + 1
        };
        watched.extend(self.hole.into_iter().flat_map(around));
        watched.extend(self.device.into_iter().flat_map(around));
        watched.extend(self.boot_block);
        watched.into_iter().collect()
    }
}

/// The first of several absent sections that follow a present one and do not belong to the device; where there are none, the
/// first of those that end where a present one begins.
fn fresh(facts: &Facts, oracle: &Oracle, device: Option<PfnRange>) -> Option<u64> {
    let shape = facts.shape;
    let fits = |first: u64| {
        let sections = range(shape.first_frame(first), shape.first_frame(first + FRESH));
        first + FRESH <= facts.section_limit()
            && (first..first + FRESH).all(|nr| !oracle.is_present(nr))
            && device.is_none_or(|device| !device.overlaps(sections))
    };
    let stretches = oracle.stretches();
    let after = stretches.iter().map(|(_, end)| *end);
    let before = stretches.iter().filter_map(|(start, _)| start.checked_sub(FRESH));
    after.chain(before).find(|first| fits(*first))
}

/// The first hole of a section of boot, in subsections.
fn hole(shape: &Shape, oracle: &Oracle, nr: u64) -> Option<PfnRange> {
    let present = oracle.state(nr).subsections;
    let is_absent =
        |index: &u64| u32::try_from(*index).is_ok_and(|it| !present.contains(SubsectionIdx::new(it)));
    let first = (0..shape.subsections()).find(is_absent)?;
    let count = (first..shape.subsections()).take_while(is_absent).count() as u64;
    let start = shape.first_frame(nr) + first * shape.subsection_frames();
    Some(range(start, start + count * shape.subsection_frames()))
}

/// True if one range of memory has the whole section, and no other has any of it.
fn is_whole(shape: &Shape, memory: &[MemoryRange], nr: u64) -> bool {
    let section = range(shape.first_frame(nr), shape.first_frame(nr + 1));
    let mut parts = memory.iter().map(|it| it.frames.intersection(section)).filter(|part| !part.is_empty());
    parts.next() == Some(section) && parts.next().is_none()
}
