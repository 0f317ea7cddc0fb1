//! Compounds: frames that are used as one large page, and whose tails may share descriptors.
//!
//! The tails of a large page have descriptors that are alike. In a *folded* compound the first frames keep descriptors of
//! their own, as many as fit a page, and those of all others lie in one page that every compound of the order and the node
//! shares. That page may only be read.
//!
//! # Invariants
//!
//! 1. A compound has more than one frame, a power of two of them, and begins at a multiple of that.
//! 2. A subsection is folded as a whole: all of its frames belong to folded compounds of one order, or none does.

use core::fmt;

use crate::{
    Geometry, MemoryModel, PageCount, Pfn, PfnRange, Reclaim, SectionNr, SectionShape, SubsectionBits,
    VirtAddr,
};

/// The size of a compound, as the logarithm of its number of frames. On x86_64 a page of 2 MiB has order 9, one of 1 GiB
/// order 18.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CompoundOrder(u8);

impl CompoundOrder {
    /// The order, if it is from 1 to 63.
    ///
    /// ```
    /// use sparsemem_core::{CompoundOrder, PageCount};
    ///
    /// let order = CompoundOrder::new(9).unwrap();
    /// assert_eq!(order.frames(), PageCount::new(512));
    /// assert_eq!(CompoundOrder::of(PageCount::new(512)), Some(order));
    /// assert_eq!(CompoundOrder::of(PageCount::new(3)), None);
    /// ```
    #[must_use]
    pub const fn new(order: u8) -> Option<Self> {
        if order == 0 || order >= 64 { None } else { Some(Self(order)) }
    }

    /// The order of compounds of so many frames, if that is a power of two and more than one.
    #[must_use]
    pub const fn of(frames: PageCount) -> Option<Self> {
        if !frames.get().is_power_of_two() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 63")]
        Self::new(frames.get().trailing_zeros() as u8)
    }

    /// The raw number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The number of frames of a compound.
    #[must_use]
    pub const fn frames(self) -> PageCount {
        PageCount::new(1 << self.0)
    }

    /// The first frame of the compound that would have `pfn`.
    #[must_use]
    pub const fn head_of(self, pfn: Pfn) -> Pfn {
        Pfn::new(pfn.get() & !(self.frames().get() - 1))
    }

    /// True if `frames` are whole compounds, or in a section that is smaller than a compound, all of a section.
    #[must_use]
    pub fn divides<G: Geometry>(self, frames: PfnRange) -> bool {
        let granule = self.frames().get().min(G::PAGES_PER_SECTION);
        (frames.start().get() | frames.end().get()) & (granule - 1) == 0
    }
}

impl fmt::Debug for CompoundOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompoundOrder({})", self.0)
    }
}

/// The promise that nobody stores to descriptors of tails, which folding compounds needs.
///
/// A model lends descriptors as `&Page`, to safe code too, and safe code may store to the atomics in one. The tails of a folded
/// compound share a page that may only be read: such a store faults. So whoever folds promises that no code of the kernel
/// does that; [`Reader::head`](crate::Reader::head) has the frame whose descriptor may be written.
///
/// ```compile_fail,E0133
/// use sparsemem_core::{CompoundOrder, ReadOnlyTails};
///
/// let tails = ReadOnlyTails::promise(CompoundOrder::new(9).unwrap());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadOnlyTails(CompoundOrder);

impl ReadOnlyTails {
    /// The promise for compounds of an order.
    ///
    /// # Safety
    ///
    /// From the call on that installs or folds compounds with this value, and as long as they are folded, no code stores to the
    /// descriptor of one of their tails: neither through a reference that a lookup lends nor through a pointer.
    #[must_use]
    pub const unsafe fn promise(order: CompoundOrder) -> Self {
        Self(order)
    }

    /// The order of the compounds.
    #[must_use]
    pub const fn order(self) -> CompoundOrder {
        self.0
    }
}

/// The reason why the descriptors of compounds cannot share memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The model has every descriptor in memory of its own, or its descriptors do not fill pages.
    #[error(
        "the descriptors of this model do not share memory; add the frames without compounds, or choose a virtual memmap on page \
         tables and a descriptor whose size is a power of two"
    )]
    Unsupported,
    /// All descriptors of a compound fit the page that it has for itself.
    #[error("the descriptors of {} frames fill no more than the page of their own, which has {own}", order.frames())]
    TooSmall {
        /// The order that was given.
        order: CompoundOrder,
        /// Descriptors in a page.
        own: PageCount,
    },
    /// The frames are not whole compounds.
    #[error("{frames} does not begin and end on multiples of {}", order.frames())]
    Unaligned {
        /// The frames that were given.
        frames: PfnRange,
        /// The order that was given.
        order: CompoundOrder,
    },
    /// The section has folded compounds of another order.
    #[error("section {section} has compounds of {}; a section has those of one order", order.frames())]
    OtherOrder {
        /// The section.
        section: SectionNr,
        /// The order of the compounds that it has.
        order: CompoundOrder,
    },
    /// Descriptors lie already where these would, and one of the two shares memory.
    #[error("the page of descriptors at {at} is there already; remove the memory that needs it first")]
    Mapped {
        /// The first address of the page.
        at: VirtAddr,
    },
}

/// The folded compounds of a section ([`MemoryModel::folded`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The size of each.
    pub order: CompoundOrder,
    /// So many frames of each, from the first on, have descriptors of their own.
    pub own: PageCount,
    /// The subsections that consist of them.
    pub subsections: SubsectionBits,
}

impl Folded {
    /// The first frame of the folded compound of `pfn`, a frame of the section, if it is in one.
    #[must_use]
    pub fn head_of<G: Geometry>(&self, pfn: Pfn) -> Option<Pfn> {
        self.subsections.contains(pfn.subsection::<G>()).then(|| self.order.head_of(pfn))
    }

    /// True if `pfn`, a frame of the section, shares its descriptor with other frames.
    #[must_use]
    pub fn shares<G: Geometry>(&self, pfn: Pfn) -> bool {
        self.head_of::<G>(pfn).is_some_and(|head| pfn.offset_from(head) >= Some(self.own))
    }

    /// The runs of frames in `part`, frames of one subsection, that have descriptors of their own, lowest first.
    fn own_runs<G: Geometry>(self, part: PfnRange) -> impl Iterator<Item = PfnRange> {
        let mut rest = part;
        core::iter::from_fn(move || {
            while !rest.is_empty() {
                let head = self.head_of::<G>(rest.start());
                let own_end = head.map_or(rest.end(), |head| head.saturating_add(self.own));
                let end = head.map_or(rest.end(), |head| head.saturating_add(self.order.frames()));
                let own = rest.split_at(own_end).0;
                rest = rest.split_at(end).1;
                if !own.is_empty() {
                    return Some(own);
                }
            }
            None
        })
    }
}

/// The runs of frames in `frames` that are valid and have descriptors of their own, lowest first; each lies in one
/// subsection.
///
/// The guard is what makes the answer hold: a frame that is valid before the model is asked what is folded, and is found by a
/// lookup afterwards, was not removed and added again in between, because that takes a grace period. So callers look each
/// run up before they write to it. Whoever folds memory that is up says so first, and waits for guards before descriptors are
/// shared.
pub(crate) fn own_runs<'a, M: MemoryModel>(
    model: &'a M,
    frames: PfnRange,
    guard: &'a <M::Reclaim as Reclaim>::Guard,
) -> impl Iterator<Item = PfnRange> {
    let valid = move |part: &PfnRange| model.lookup_with(part.start(), guard).is_some();
    let parts = frames.by_subsection::<M::Geometry>().filter(valid);
    parts.flat_map(move |part| {
        let folded = model.folded(part.start().section::<M::Geometry>(), guard);
        let all = if folded.is_none() { part } else { PfnRange::empty_at(part.start()) };
        let own = folded.map(|folded| folded.own_runs::<M::Geometry>(part)).into_iter().flatten();
        core::iter::once(all).filter(|all| !all.is_empty()).chain(own)
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::presets::X86_64;

    fn frames(start: u64, end: u64) -> PfnRange {
        PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
    }

    fn folded(order: u8, subsections: u64) -> Folded {
        let order = CompoundOrder::new(order).unwrap();
        Folded { order, own: PageCount::new(64), subsections: SubsectionBits::from_words([subsections]) }
    }

    fn own(folded: &Folded, frames: PfnRange) -> Vec<PfnRange> {
        frames.by_subsection::<X86_64>().flat_map(|part| folded.own_runs::<X86_64>(part)).collect()
    }

    #[test]
    fn an_order_is_a_power_of_two_of_frames() {
        assert_eq!([0, 64, 255].map(CompoundOrder::new), [None; 3]);
        let orders = [1, 2, 512, 513].map(|count| CompoundOrder::of(PageCount::new(count)));
        assert_eq!(orders, [None, CompoundOrder::new(1), CompoundOrder::new(9), None]);
        assert_eq!(CompoundOrder::of(PageCount::new(0)), None);
        assert_eq!(CompoundOrder::new(9).unwrap().head_of(Pfn::new(0x3ff)), Pfn::new(0x200));
    }

    #[test]
    fn whole_compounds_begin_and_end_at_multiples() {
        let divides = |order, range| CompoundOrder::new(order).unwrap().divides::<X86_64>(range);
        assert!(divides(9, frames(0x200, 0x600)) && divides(9, frames(0x8000, 0x1_0000)));
        assert!(!divides(10, frames(0x200, 0x600)) && !divides(10, frames(0x400, 0x600)));
        // A compound of eight sections is installed one section after the other.
        assert!(divides(18, frames(0x8000, 0x1_0000)) && !divides(18, frames(0x8000, 0xfe00)));
    }

    #[test]
    fn the_first_frames_of_each_compound_own_their_descriptors() {
        // Subsection 1 is not folded.
        let folded = folded(9, !0b10);
        assert_eq!(
            own(&folded, frames(0x8000, 0x8800)),
            [frames(0x8000, 0x8040), frames(0x8200, 0x8400), frames(0x8400, 0x8440), frames(0x8600, 0x8640)]
        );
        assert_eq!(own(&folded, frames(0x8020, 0x8201)), [frames(0x8020, 0x8040), frames(0x8200, 0x8201)]);
        assert_eq!(own(&folded, frames(0x8040, 0x8200)), []);
        let shares = [0x8000, 0x803f, 0x8040, 0x81ff, 0x8200, 0x83ff]
            .map(|pfn| folded.shares::<X86_64>(Pfn::new(pfn)));
        assert_eq!(shares, [false, false, true, true, false, false]);
    }

    #[test]
    fn a_compound_may_be_smaller_or_larger_than_a_subsection() {
        let small = own(&folded(8, 1), frames(0, 0x200));
        assert_eq!(small, [frames(0, 0x40), frames(0x100, 0x140)]);
        let large = folded(18, u64::MAX);
        assert_eq!(own(&large, frames(0x4_0000, 0x4_8000)), [frames(0x4_0000, 0x4_0040)]);
        assert_eq!(own(&large, frames(0x4_8000, 0x5_0000)), [], "the second section has no head");
        assert_eq!(large.head_of::<X86_64>(Pfn::new(0x4_8001)), Some(Pfn::new(0x4_0000)));
        // A compound of which a part was removed and added again without sharing.
        assert_eq!(own(&folded(10, 0b01), frames(0, 0x400)), [frames(0, 0x40), frames(0x200, 0x400)]);
    }
}
