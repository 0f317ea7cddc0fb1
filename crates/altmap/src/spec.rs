//! The frames that a device sets aside, and the check that they fit the request.
//!
//! # Invariants
//!
//! 1. The end of an [`AltmapSpec`] is a frame number: later arithmetic does not overflow.

use sparsemem_core::{PageCount, PageDescriptor, Pfn, PfnRange, SectionNr, SectionShape, SubsectionBits};

/// The reason why an altmap does not fit a request. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AltmapError {
    /// The frames that are set aside end beyond the largest frame number.
    #[error(
        "{reserve} for the driver and {free} for the memmap, from frame {base} on, end beyond any frame number"
    )]
    Overflow {
        /// First frame.
        base: Pfn,
        /// Number of frames that the driver keeps.
        reserve: PageCount,
        /// Number of frames for the memmap.
        free: PageCount,
    },
    /// The altmap begins at another frame than the request.
    #[error(
        "the altmap begins at frame {base}, the request at {first}; both have to begin at the same frame"
    )]
    WrongBase {
        /// First frame of the altmap.
        base: Pfn,
        /// First frame of the request.
        first: Pfn,
    },
    /// The altmap is larger than the request.
    #[error(
        "the altmap sets aside {offset} at the start of {request}, which is shorter; set fewer frames aside"
    )]
    BeyondRequest {
        /// Number of frames that are set aside.
        offset: PageCount,
        /// The frames to be added.
        request: PfnRange,
    },
    /// Frames of the altmap, or of the request, lie beyond the geometry's maximum.
    #[error("{frames} ends beyond the last possible frame {last}; cut it off there")]
    BeyondMaximum {
        /// The frames that are set aside, or that are to be added.
        frames: PfnRange,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// The altmap has blocks in use: it belongs to memory that was added before.
    #[error("{in_use} of the altmap are in use already; use another altmap")]
    InUse {
        /// Number of frames in use.
        in_use: PageCount,
    },
    /// Some of the request is populated already, so the altmap would lie in memory that is in use.
    #[error("{request} is populated already in subsections {populated:?} of section {section}")]
    Populated {
        /// The frames to be added.
        request: PfnRange,
        /// The first section with populated subsections.
        section: SectionNr,
        /// The subsections that are populated.
        populated: SubsectionBits,
    },
    /// The memmap of the request is larger than the altmap.
    #[error("the memmap of {request} needs {needed}, but the altmap has {free}; set more frames aside")]
    TooSmall {
        /// The frames to be added.
        request: PfnRange,
        /// Number of frames that its memmap takes, with alignment; `u64::MAX` if that number does not fit.
        needed: PageCount,
        /// Number of frames that are set aside for it.
        free: PageCount,
    },
}

/// The frames that are set aside for a memmap: `free` of them, after `reserve` that the driver keeps, from `base` on.
///
/// Source: Linux `struct vmem_altmap`, without its counters, which are the [`Altmap`](crate::Altmap)'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AltmapSpec {
    base: Pfn,
    reserve: PageCount,
    free: PageCount,
}

impl AltmapSpec {
    /// Sets frames aside.
    ///
    /// # Errors
    ///
    /// [`AltmapError::Overflow`] if they do not end at a frame number. Differs from Linux, which adds without a check.
    pub const fn new(base: Pfn, reserve: PageCount, free: PageCount) -> Result<Self, AltmapError> {
        let fits = match base.checked_add(reserve) {
            Some(first) => first.checked_add(free).is_some(),
            None => false,
        };
        if fits {
            Ok(Self { base, reserve, free })
        } else {
            Err(AltmapError::Overflow { base, reserve, free })
        }
    }

    /// The altmap of RAM that holds its own memmap: as many whole frames at the start of `block` as the descriptors of
    /// all its frames fill.
    ///
    /// Source: Linux `memmap_on_memory`. Differs from Linux: nothing has to be aligned to pageblocks or
    /// large mappings, because base pages work, too (D-06).
    ///
    /// It may be too small, which [`Altmap::check_add`](crate::Altmap::check_add) reports: a model may make descriptors
    /// of frames beyond the block too, with a section or a page of which the block has a part, and base pages of an
    /// array take a frame each where frames are larger.
    ///
    /// # Errors
    ///
    /// [`AltmapError::Overflow`] if the size of so many descriptors does not fit, [`AltmapError::BeyondRequest`] if
    /// they fill more than the block.
    pub fn self_hosted<G: SectionShape, P: PageDescriptor>(block: PfnRange) -> Result<Self, AltmapError> {
        let (base, reserve) = (block.start(), PageCount::new(0));
        let count = block.count();
        let bytes = count.get().checked_mul(size_of::<P>() as u64).ok_or(AltmapError::Overflow {
            base,
            reserve,
            free: count,
        })?;
        let spec = Self::new(base, reserve, PageCount::new(bytes.div_ceil(G::PAGE_SIZE)))?;
        spec.validate(block)?;
        Ok(spec)
    }

    /// First frame: also the first of the frames to be added.
    #[must_use]
    pub const fn base(self) -> Pfn {
        self.base
    }

    /// Number of frames at the start that the driver keeps for itself.
    #[must_use]
    pub const fn reserve(self) -> PageCount {
        self.reserve
    }

    /// Number of frames after them that the memmap may take.
    #[must_use]
    pub const fn free(self) -> PageCount {
        self.free
    }

    /// Number of frames that are set aside in total.
    #[must_use]
    pub const fn offset(self) -> PageCount {
        PageCount::new(self.reserve.get() + self.free.get())
    }

    /// All frames that are set aside.
    #[must_use]
    pub fn frames(self) -> PfnRange {
        // `new` checked that the end fits.
        PfnRange::from_start_count(self.base, self.offset()).unwrap_or_default()
    }

    /// The frames that the memmap may take.
    #[must_use]
    pub fn free_frames(self) -> PfnRange {
        self.frames().split_at(self.base.saturating_add(self.reserve)).1
    }

    /// The rest of a request, which the device's users get.
    #[must_use]
    pub fn usable(self, request: PfnRange) -> PfnRange {
        request.split_at(self.base.saturating_add(self.offset())).1
    }

    /// Checks that the altmap belongs to a request: it begins with the request and does not end after it.
    ///
    /// Source: Linux `__add_pages` (A-08, T-13). [`Altmap::check_add`](crate::Altmap::check_add) checks more.
    ///
    /// # Errors
    ///
    /// [`AltmapError::WrongBase`] or [`AltmapError::BeyondRequest`].
    pub fn validate(self, request: PfnRange) -> Result<(), AltmapError> {
        if self.base != request.start() {
            return Err(AltmapError::WrongBase { base: self.base, first: request.start() });
        }
        if self.offset() > request.count() {
            return Err(AltmapError::BeyondRequest { offset: self.offset(), request });
        }
        Ok(())
    }
}
