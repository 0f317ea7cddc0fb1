//! The answers of a model: the state of a section, walks over present sections and valid frames, and the reason why a
//! frame has no descriptor.
//!
//! # Invariants
//!
//! 1. The positions of the flags are those of Linux 5.12 and later, so that a recorded word can be compared bit for bit.
//! 2. Together they fill the lowest [`SECTION_FLAG_BITS`] bits and no other.
//! 3. A walk calls the model again at every step, so it ends and stays in order while memory is added or removed.

use crate::{
    Geometry, MemoryModel, NodeId, PageCount, Pfn, PfnRange, SectionNr, SectionShape, SubsectionBits,
    SubsectionIdx,
};

/// Number of flag bits in a section word; an encoded memmap pointer leaves them free.
pub const SECTION_FLAG_BITS: u32 = 5;

bitflags::bitflags! {
    /// The flags that a section word holds.
    ///
    /// Source: Linux `SECTION_*` bits of `section_mem_map`, 6.1 and 6.12.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct SectionFlags: u8 {
        /// Memory was reported here at boot, or hot-added since.
        const PRESENT = 1 << 0;
        /// The rest of the word is a memmap pointer: lookups succeed.
        const HAS_MEM_MAP = 1 << 1;
        /// The section belongs to an online memory block; at boot this is set before there is a memmap.
        const ONLINE = 1 << 2;
        /// The memmap was made at boot and covers the section as a whole, holes included.
        const EARLY = 1 << 3;
        /// A device range shares the section with other memory, so `ONLINE` alone does not prove that a frame is RAM.
        const TAINT_ZONE_DEVICE = 1 << 4;
    }
}

const _: () = assert!(SectionFlags::all().bits() == (1 << SECTION_FLAG_BITS) - 1);

/// The frames of a section of boot that are valid, as a choice of the model's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyFrames {
    /// All of them, holes included, as in Linux (O-100).
    All,
    /// Those of its populated subsections, as in a section that was added later.
    Populated,
    /// Those that boot was given, frame by frame, until they are removed; of a subsection that was added later, all.
    ///
    /// A model that says so answers by itself what is valid: a set of subsections cannot say it.
    Reported,
}

/// A copy of a section's observable state: equal on every model that went through the same operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionState {
    /// The flag bits of the section word.
    pub flags: SectionFlags,
    /// The node, known only from `memory_present` until the section has its memmap (W-32).
    pub early_node: Option<NodeId>,
    /// The populated subsections; empty while there is no usage.
    pub subsections: SubsectionBits,
    /// The populated subsections that are online.
    pub online: SubsectionBits,
}

impl SectionState {
    /// The state of a section that is absent.
    pub const ABSENT: Self = Self {
        flags: SectionFlags::empty(),
        early_node: None,
        subsections: SubsectionBits::EMPTY,
        online: SubsectionBits::EMPTY,
    };

    /// True if boot marked the section and nothing has made its memmap yet: it waits for
    /// [`DeferredModel::bring_up`](crate::DeferredModel::bring_up).
    #[must_use]
    pub const fn is_deferred(&self) -> bool {
        self.flags.contains(SectionFlags::PRESENT) && !self.flags.contains(SectionFlags::HAS_MEM_MAP)
    }

    /// The subsections whose frames are valid: those that are populated, or all of a section of boot, if the model says so
    /// ([`MemoryModel::early_frames`]), as in Linux (`pfn_section_valid`). By [`EarlyFrames::Reported`] some frames
    /// of a populated subsection may be holes.
    #[must_use]
    pub fn valid<G: Geometry>(&self, early: EarlyFrames) -> SubsectionBits {
        if !self.flags.contains(SectionFlags::HAS_MEM_MAP) {
            SubsectionBits::EMPTY
        } else if early == EarlyFrames::All && self.flags.contains(SectionFlags::EARLY) {
            SubsectionBits::full::<G>()
        } else {
            self.subsections
        }
    }

    /// The first thing that is missing on the path to the descriptor of a frame of this section that has none.
    #[must_use]
    pub fn missing<G: Geometry>(&self, pfn: Pfn) -> LookupError {
        let section = pfn.section::<G>();
        if !section.exists::<G>() {
            LookupError::BeyondMaximum { pfn, last: Pfn::new(G::MAX_PFN - 1) }
        } else if !self.flags.contains(SectionFlags::PRESENT) {
            LookupError::AbsentSection { pfn, section }
        } else if !self.flags.contains(SectionFlags::HAS_MEM_MAP) {
            LookupError::NoMemmap { pfn, section }
        } else {
            LookupError::AbsentSubsection { pfn, section, subsection: pfn.subsection::<G>() }
        }
    }
}

/// The present sections of a model, lowest first.
#[derive(Clone, Debug)]
pub struct PresentSections<'m, M> {
    model: &'m M,
    next: Option<SectionNr>,
}

impl<'m, M: MemoryModel> PresentSections<'m, M> {
    pub(crate) fn new(model: &'m M) -> Self {
        Self { model, next: Some(SectionNr::new(0)) }
    }
}

impl<M: MemoryModel> Iterator for PresentSections<'_, M> {
    type Item = SectionNr;

    fn next(&mut self) -> Option<SectionNr> {
        let found = self.model.next_present(self.next?);
        self.next = found.map(SectionNr::next);
        found
    }
}

/// The runs of valid frames in a range, lowest first.
#[derive(Clone, Debug)]
pub struct ValidRanges<'m, M> {
    model: &'m M,
    rest: PfnRange,
}

impl<'m, M: MemoryModel> ValidRanges<'m, M> {
    pub(crate) fn new(model: &'m M, within: PfnRange) -> Self {
        Self { model, rest: within }
    }

    /// The valid frames themselves instead of their runs.
    pub fn frames(self) -> impl Iterator<Item = Pfn> {
        self.flat_map(|run| {
            (0..run.count().get()).map(move |offset| run.start().saturating_add(PageCount::new(offset)))
        })
    }
}

impl<M: MemoryModel> Iterator for ValidRanges<'_, M> {
    type Item = PfnRange;

    fn next(&mut self) -> Option<PfnRange> {
        let found = self.model.next_valid(self.rest)?;
        self.rest = self.rest.split_at(found.end()).1;
        Some(found)
    }
}

/// The reason why a lookup found no descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The frame lies beyond the last section of the geometry; also every number with garbage in its high bits.
    #[error("frame {pfn} is beyond the last possible frame {last}")]
    BeyondMaximum {
        /// The frame that was looked up.
        pfn: Pfn,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// Nothing is present in the frame's section.
    #[error("frame {pfn} lies in section {section}, which is absent")]
    AbsentSection {
        /// The frame that was looked up.
        pfn: Pfn,
        /// Its section.
        section: SectionNr,
    },
    /// The section was reported at boot but has no memmap yet.
    #[error("frame {pfn} lies in section {section}, which has no memmap yet")]
    NoMemmap {
        /// The frame that was looked up.
        pfn: Pfn,
        /// Its section.
        section: SectionNr,
    },
    /// The subsection has memory, but boot did not report this frame of it, in a model that is exact by frame
    /// ([`EarlyFrames::Reported`]).
    #[error(
        "frame {pfn} is a hole: boot reported other frames of subsection {subsection} of section {section}"
    )]
    Hole {
        /// The frame that was looked up.
        pfn: Pfn,
        /// Its section.
        section: SectionNr,
        /// Its subsection.
        subsection: SubsectionIdx,
    },
    /// The section has a memmap, but this part of it was never added.
    #[error("frame {pfn} lies in subsection {subsection} of section {section}, which is absent")]
    AbsentSubsection {
        /// The frame that was looked up.
        pfn: Pfn,
        /// Its section.
        section: SectionNr,
        /// Its subsection.
        subsection: SubsectionIdx,
    },
}
