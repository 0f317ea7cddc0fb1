//! The places of descriptors in altmaps, predicted for Linux and for a model.
//!
//! # Invariants
//!
//! 1. A prediction follows from operations alone. It takes frames of an altmap by the pool's rule, which is
//!    the same on both sides; the sides differ in what they ask of the pool.

use std::collections::BTreeMap;

use sparsemem_altmap::{AltmapSpec, FramePool};
use sparsemem_core::SectionShape;
use sparsemem_core::{PageCount, Pfn, PfnRange, SectionNr, SubsectionBits};

use super::ground::{Ground, touched};
use crate::kernel::{DESCRIPTOR, Geo};
use crate::words;

/// The rule by which descriptors come to lie in an altmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Linux on x86: large mappings of whole sections. The base pages of partial sections lie in RAM.
    Linux,
    /// A virtual array of this project: base pages of partial sections, too, and of whole sections for which no large
    /// block is left.
    Array,
    /// A table model of this project: a block for every section that has none yet.
    Blocks,
}

/// Frames for the descriptors of a section, as one block.
const BLOCK: PageCount = PageCount::new(Geo::PAGES_PER_SECTION * DESCRIPTOR / Geo::PAGE_SIZE);
/// Frames whose descriptors fill a page.
const PER_PAGE: PageCount = PageCount::new(Geo::PAGE_SIZE / DESCRIPTOR);
const PAGE: PageCount = PageCount::new(1);

/// Descriptors that lie in an altmap.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// The frames that they describe.
    frames: PfnRange,
    /// The first frame that they lie in.
    at: Pfn,
    /// The memory that holds them.
    host: PfnRange,
}

/// The altmap has no room for what a side wants to put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// All descriptors in altmaps, by the first frame that they describe.
#[derive(Clone, Debug)]
pub(super) struct Hosted {
    style: Style,
    pieces: BTreeMap<Pfn, Piece>,
}

impl Hosted {
    /// No descriptors in altmaps.
    pub(super) const fn new(style: Style) -> Self {
        Self { style, pieces: BTreeMap::new() }
    }

    /// Adds memory to what was there before.
    pub(super) fn add(
        &mut self,
        frames: PfnRange,
        altmap: AltmapSpec,
        before: &Ground,
    ) -> Result<(), NoRoom> {
        let pieces = self.placed(frames, altmap, before)?;
        self.pieces.extend(pieces.into_iter().map(|piece| (piece.frames.start(), piece)));
        Ok(())
    }

    /// The pieces of memory that is added.
    fn placed(&self, frames: PfnRange, altmap: AltmapSpec, before: &Ground) -> Result<Vec<Piece>, NoRoom> {
        let words = usize::try_from(FramePool::words_needed(altmap.free())).map_err(|_| NoRoom)?;
        let mut words = vec![0; words];
        let pool = FramePool::new(altmap.free_frames(), &mut words).map_err(|_| NoRoom)?;
        let mut placing = Placing { pool, host: frames, pieces: Vec::new() };
        for (nr, part) in frames.by_section::<Geo>().filter(|(nr, _)| !before.is_early(*nr)) {
            let is_whole = part.count().get() == Geo::PAGES_PER_SECTION;
            match self.style {
                Style::Linux if is_whole => placing.block(part)?,
                Style::Linux => {}
                Style::Blocks if !before.has(nr) => placing.block(nr.frames::<Geo>().ok_or(NoRoom)?)?,
                Style::Blocks => {}
                Style::Array if is_whole && placing.block(part).is_ok() => {}
                Style::Array => placing.pages(part)?,
            }
        }
        Ok(placing.pieces)
    }

    /// Removes memory; `after` is what is left.
    pub(super) fn remove(&mut self, frames: PfnRange, after: &Ground) {
        let style = self.style;
        self.pieces.retain(|_, piece| match style {
            Style::Blocks => after.has(piece.frames.start().section::<Geo>()),
            _ => !frames.overlaps(piece.frames),
        });
    }

    /// The sections whose descriptors lie in `frames`, and of which something is left without `frames`.
    pub(super) fn needed_without(&self, frames: PfnRange, ground: &Ground) -> Vec<SectionNr> {
        let inside = self.pieces.values().filter(|piece| piece.host == frames);
        let sections = inside.map(|piece| piece.frames.start().section::<Geo>());
        sections
            .filter(|nr| !part_of(frames, *nr).is_some_and(|part| is_all(ground.bits(*nr), part)))
            .collect()
    }

    /// The fact about a section's descriptors in altmaps.
    pub(super) fn fact(&self, nr: SectionNr, ground: &Ground, altmaps: &[AltmapSpec]) -> Option<String> {
        words::altmap(nr.get(), ground.bits(nr), altmaps, |offset| {
            self.backing(Pfn::new(offset / DESCRIPTOR))
        })
    }

    /// The sections that have descriptors in altmaps.
    pub(super) fn sections(&self) -> impl Iterator<Item = SectionNr> {
        self.pieces.keys().map(|frame| frame.section::<Geo>())
    }

    /// Whole sections with base pages, as bytes of the array.
    pub(super) fn split_sections(&self) -> impl Iterator<Item = (u64, u64)> {
        let first =
            |piece: &&Piece| piece.frames.count() == PER_PAGE && piece.host.contains_range(whole(piece));
        let bytes = |range: PfnRange| (range.start().get() * DESCRIPTOR, range.end().get() * DESCRIPTOR);
        self.pieces.values().filter(first).map(move |piece| bytes(whole(piece)))
    }

    /// The address of a frame's descriptor, if it lies in an altmap.
    fn backing(&self, frame: Pfn) -> Option<u64> {
        let (_, piece) = self.pieces.range(..=frame).next_back()?;
        let index = frame.offset_from(piece.frames.start()).filter(|_| piece.frames.contains(frame))?;
        Some(piece.at.get() * Geo::PAGE_SIZE + index.get() * DESCRIPTOR)
    }
}

/// The frames of the section in which a piece begins.
fn whole(piece: &Piece) -> PfnRange {
    piece.frames.start().section::<Geo>().frames::<Geo>().unwrap_or_default()
}

/// The part of a range that lies in a section.
fn part_of(frames: PfnRange, nr: SectionNr) -> Option<PfnRange> {
    nr.frames::<Geo>().map(|section| section.intersection(frames)).filter(|part| !part.is_empty())
}

/// True if a part has all populated subsections of its section.
fn is_all(bits: SubsectionBits, part: PfnRange) -> bool {
    bits.difference(touched(part)).is_empty()
}

/// Takes frames of an altmap for the pieces of one addition.
struct Placing<'w> {
    pool: FramePool<'w>,
    host: PfnRange,
    pieces: Vec<Piece>,
}

impl Placing<'_> {
    /// Descriptors as one aligned block.
    fn block(&mut self, frames: PfnRange) -> Result<(), NoRoom> {
        self.take(frames, BLOCK)
    }

    /// Descriptors page by page.
    fn pages(&mut self, frames: PfnRange) -> Result<(), NoRoom> {
        let mut rest = frames;
        while !rest.is_empty() {
            let (page, after) = rest.split_at(rest.start().saturating_add(PER_PAGE));
            self.take(page, PAGE)?;
            rest = after;
        }
        Ok(())
    }

    fn take(&mut self, frames: PfnRange, count: PageCount) -> Result<(), NoRoom> {
        let at = self.pool.take(count, count).map_err(|_| NoRoom)?.start();
        self.pieces.push(Piece { frames, at, host: self.host });
        Ok(())
    }
}
