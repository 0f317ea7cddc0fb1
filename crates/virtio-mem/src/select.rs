//! Selects the blocks that are next. Nothing is kept here: the state of the blocks is that of the model.
//!
//! # Invariants
//!
//! 1. There is no second record of what is plugged: a block is plugged if the model has its frames.
//! 2. A run never crosses the border of a memory block, unless one unit does.

use core::marker::PhantomData;

use sparsemem_core::{ByteLen, Geometry, MemoryModel, PageCount, Pfn, PfnRange, SectionPart, SectionShape};
use sparsemem_hotplug::{BlockNr, Blocks, Limits};

use crate::{AttachError, Config, State};

/// The memory blocks that are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Those that exist.
    Existing,
    /// All of them: the others too, also those that a run has begun.
    Any,
}

/// The region of a device in the units in which it is plugged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout<G> {
    /// All frames that may be plugged: whole units that the machine can address.
    pub(crate) region: PfnRange,
    /// Frames of a unit: a block of the device, or a subsection if that is larger.
    pub(crate) unit: u64,
    /// Frames of a memory block, or of a unit if that is larger.
    group: u64,
    /// Frames of a memory block.
    memory_block: u64,
    /// Frames that one request can name.
    most: u64,
    geometry: PhantomData<fn() -> G>,
}

impl<G: Geometry> Layout<G> {
    pub(crate) fn new(config: &Config, limits: &Limits<G>) -> Result<Self, AttachError> {
        let block = config.block();
        let subsection = G::PAGES_PER_SUBSECTION << G::PAGE_SHIFT;
        let unit = (block.get() >> G::PAGE_SHIFT).max(G::PAGES_PER_SUBSECTION);
        let memory_block = limits.block.frames().get();
        let named = u64::from(u16::MAX).saturating_mul(block.get()) >> G::PAGE_SHIFT;
        let most = named / unit * unit;
        if most == 0 {
            return Err(AttachError::TinyBlocks { block, subsection: ByteLen::new(subsection) });
        }
        let frames = config.region().whole_frames::<G>().intersection(limits.addressable);
        let region = inward(frames, unit);
        if region.is_empty() {
            let (region, addressable, unit) = (config.region(), limits.addressable, PageCount::new(unit));
            return Err(AttachError::NothingUsable { region, addressable, unit });
        }
        let group = memory_block.max(unit);
        Ok(Self { region, unit, group, memory_block, most, geometry: PhantomData })
    }

    /// The units that may be plugged now.
    pub(crate) fn usable(&self, config: &Config) -> PfnRange {
        inward(config.usable().whole_frames::<G>().intersection(self.region), self.unit)
    }

    /// True if frames are whole units that one request can name.
    pub(crate) fn is_run(&self, frames: PfnRange) -> bool {
        !frames.is_empty()
            && self.region.contains_range(frames)
            && (frames.start().get() | frames.end().get()) & (self.unit - 1) == 0
            && frames.count().get() <= self.most
    }

    /// The units of a range, lowest first.
    pub(crate) fn units(&self, range: PfnRange) -> impl DoubleEndedIterator<Item = PfnRange> + use<G> {
        pieces(range, self.unit)
    }

    /// The frames of a range that the model has.
    pub(crate) fn count<M: MemoryModel<Geometry = G>>(model: &M, range: PfnRange) -> u64 {
        let there = SectionPart::of::<G>(range)
            .map(|part| u64::from(part.bits.intersection(model.section(part.section).subsections).count()));
        there.sum::<u64>() * G::PAGES_PER_SUBSECTION
    }

    /// The state of a range in the model.
    pub(crate) fn state<M: MemoryModel<Geometry = G>>(model: &M, range: PfnRange) -> State {
        match Self::count(model, range) {
            0 => State::Unplugged,
            all if all == range.count().get() => State::Plugged,
            _ => State::Mixed,
        }
    }

    /// The longest run of units in one state from the start of a range, and that state.
    pub(crate) fn same<M: MemoryModel<Geometry = G>>(&self, model: &M, range: PfnRange) -> (PfnRange, State) {
        let (head, _) = range.split_at(after(range.start(), self.unit));
        let state = Self::state(model, head);
        let limit = after(range.start(), self.most);
        let like = self.units(range.split_at(limit).0).take_while(|unit| Self::state(model, *unit) == state);
        let end = like.last().map_or(head.end(), PfnRange::end);
        (range.split_at(end).0, state)
    }

    /// The lowest run of unplugged units in a range, of at most `most` units.
    pub(crate) fn next_gap<M: MemoryModel<Geometry = G>>(
        &self,
        model: &M,
        blocks: &Blocks<'_>,
        range: PfnRange,
        most: u64,
        fill: Fill,
    ) -> Option<PfnRange> {
        let wanted = |group: &PfnRange| {
            let exists = blocks.get(BlockNr::new(group.start().get() / self.memory_block)).is_some();
            // Most groups are full, and one question says so.
            (exists || fill == Fill::Any) && Self::state(model, *group) != State::Plugged
        };
        pieces(range, self.group).filter(wanted).find_map(|group| {
            let absent = |unit: &PfnRange| Self::state(model, *unit) == State::Unplugged;
            let first = self.units(group).find(absent)?;
            let (_, rest) = group.split_at(first.start());
            let run = self.units(rest.split_at(self.limit(first.start(), most)).0).take_while(absent);
            Some(rest.split_at(run.last()?.end()).0)
        })
    }

    /// The highest run of plugged units in a range, of at most `most` units.
    pub(crate) fn next_there<M: MemoryModel<Geometry = G>>(
        &self,
        model: &M,
        range: PfnRange,
        most: u64,
    ) -> Option<PfnRange> {
        let any = |group: &PfnRange| Self::state(model, *group) != State::Unplugged;
        pieces(range, self.group).rev().filter(any).find_map(|group| {
            let there = |unit: &PfnRange| Self::state(model, *unit) == State::Plugged;
            let last = self.units(group).rev().find(there)?;
            let (rest, _) = group.split_at(last.end());
            let most = usize::try_from(most.min(self.most / self.unit)).unwrap_or(usize::MAX);
            let run = self.units(rest).rev().take(most).take_while(there);
            Some(rest.split_at(run.last()?.start()).1)
        })
    }

    /// The end of the longest run of at most `units` units from `start`.
    fn limit(&self, start: Pfn, units: u64) -> Pfn {
        after(start, units.saturating_mul(self.unit).min(self.most))
    }
}

/// The frame `frames` frames after `start`, or the last one there is.
const fn after(start: Pfn, frames: u64) -> Pfn {
    Pfn::new(start.get().saturating_add(frames))
}

/// The whole units of a range.
fn inward(range: PfnRange, unit: u64) -> PfnRange {
    let start = range.start().get().checked_next_multiple_of(unit).unwrap_or(u64::MAX);
    let end = range.end().get() & !(unit - 1);
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap_or_default()
}

/// The pieces of a range between multiples of `size`, lowest first.
fn pieces(range: PfnRange, size: u64) -> impl DoubleEndedIterator<Item = PfnRange> {
    let (start, end) = (range.start().get(), range.end().get());
    let numbers = if range.is_empty() { 0..0 } else { start / size..end.div_ceil(size) };
    numbers.filter_map(move |nr| {
        let piece = PfnRange::from_start_count(Pfn::new(nr.checked_mul(size)?), PageCount::new(size))?;
        Some(piece.intersection(range))
    })
}
