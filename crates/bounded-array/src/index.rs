//! The numbering of the array's elements, and the extent of an array: which elements it has.
//!
//! # Invariants
//!
//! 1. Two frames whose sections are held never have one element.
//! 2. An extent begins and ends on section borders, and has at least one section.

use sparsemem_core::{Geometry, Pfn, PfnRange, SectionLoss, SectionNr, SectionShape};

/// The numbering of an array's elements: which element is the descriptor of a frame, and back.
///
/// The model computes the numbering when it makes the array, and keeps it beside the array.
///
/// # Safety
///
/// For frames of sections that [`FrameIndex::holds`]: a larger frame has a larger element, an element's offset in a
/// run of [`PAGES_PER_SECTION`](sparsemem_core::SectionShape::PAGES_PER_SECTION) is the frame's offset in its section,
/// and [`FrameIndex::frame`] is the inverse of [`FrameIndex::element`]. A numbering that [`FrameIndex::of`] returned
/// holds every section that the ranges touch. The answers of a value never change, and no method unwinds.
pub unsafe trait FrameIndex: Copy + Send + Sync + 'static {
    /// The name of the model with this numbering.
    const NAME: &'static str;

    /// The numbering for RAM in `ranges`, which are whole sections and not empty.
    fn of<G: Geometry>(ranges: impl Iterator<Item = PfnRange> + Clone) -> Self;

    /// True if a frame has an element; then all frames of its section have one.
    fn holds(self, pfn: Pfn) -> bool;

    /// The element of a frame. For a frame of a section that is not held this is any number.
    fn element(self, pfn: Pfn) -> u64;

    /// The frame of an element; any frame for the element of no frame.
    fn frame(self, element: u64) -> Pfn;
}

/// The element of a frame is its number: FLATMEM's numbering. Holes have elements like any other frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Straight;

// SAFETY: both directions are the identity.
unsafe impl FrameIndex for Straight {
    const NAME: &'static str = "flat";

    fn of<G: Geometry>(_ranges: impl Iterator<Item = PfnRange> + Clone) -> Self {
        Self
    }

    #[inline]
    fn holds(self, _pfn: Pfn) -> bool {
        true
    }

    #[inline]
    fn element(self, pfn: Pfn) -> u64 {
        pfn.get()
    }

    #[inline]
    fn frame(self, element: u64) -> Pfn {
        Pfn::new(element)
    }
}

/// The numbering of an array, and its elements.
#[derive(Clone, Copy)]
pub(crate) struct Extent<I> {
    pub(crate) index: I,
    /// The element of the first descriptor.
    pub(crate) first: u64,
    /// The number of descriptors.
    pub(crate) count: u64,
    /// The lowest frame that the extent was made for, and the frame after the highest.
    pub(crate) frames: PfnRange,
}

/// The frames of the sections that `frames` touch, as far as the geometry has them; empty if there are none.
pub(crate) fn whole_sections<G: Geometry>(frames: PfnRange) -> PfnRange {
    let below = frames.split_at(Pfn::new(G::MAX_PFN)).0;
    if below.is_empty() {
        return PfnRange::default();
    }
    let mask = G::PAGES_PER_SECTION - 1;
    let (start, end) = (below.start().get() & !mask, (below.end().get() + mask) & !mask);
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap_or_default()
}

/// The lowest and the highest of all frames; `None` if there are none.
pub(crate) fn hull(ranges: impl Iterator<Item = PfnRange>) -> Option<PfnRange> {
    ranges.filter(|range| !range.is_empty()).reduce(|all, range| {
        let (start, end) = (all.start().min(range.start()), all.end().max(range.end()));
        PfnRange::new(start, end).unwrap_or(all)
    })
}

impl<I: FrameIndex> Extent<I> {
    /// The extent for the sections that `ranges` touch.
    ///
    /// # Errors
    ///
    /// [`SectionLoss::BeyondArray`], if there are no frames, or others in one iteration than in the next.
    pub(crate) fn of<G: Geometry>(
        ranges: impl Iterator<Item = PfnRange> + Clone,
    ) -> Result<Self, SectionLoss> {
        let whole = ranges.map(whole_sections::<G>).filter(|range| !range.is_empty());
        let frames = hull(whole.clone()).unwrap_or_default();
        let beyond = SectionLoss::BeyondArray { array: frames };
        let index = I::of::<G>(whole);
        let last = frames.end().get().checked_sub(1).ok_or(beyond)?;
        let (first, last) = (index.element(frames.start()), index.element(Pfn::new(last)));
        let count = last.checked_sub(first).and_then(|distance| distance.checked_add(1)).ok_or(beyond)?;
        Ok(Self { index, first, count, frames })
    }

    /// The offset of the element of a frame in the array, in elements, if the array has it.
    #[inline]
    pub(crate) fn offset(&self, pfn: Pfn) -> Option<u64> {
        let offset = self.index.element(pfn).wrapping_sub(self.first);
        (offset < self.count && self.index.holds(pfn)).then_some(offset)
    }

    /// The reason why the array does not have a section.
    pub(crate) fn refusal<G: Geometry>(&self, nr: SectionNr) -> SectionLoss {
        let array = self.frames;
        if nr.first_pfn::<G>().is_none_or(|pfn| self.index.holds(pfn)) {
            SectionLoss::BeyondArray { array }
        } else {
            SectionLoss::NotNumbered { array }
        }
    }

    /// The number of sections.
    pub(crate) const fn sections<G: Geometry>(&self) -> u64 {
        self.count >> G::PFN_SECTION_SHIFT
    }
}
