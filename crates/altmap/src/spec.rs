//! Which frames a device sets aside, and whether that fits what is to be added.
//!
//! # Invariants
//!
//! 1. The end of an [`AltmapSpec`] is a frame number: nothing here overflows later.

use sparsemem_core::{PageCount, PageDescriptor, Pfn, PfnRange, SectionNr, SectionShape, SubsectionBits};

/// Why an altmap does not fit a request. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AltmapError {
    /// The frames that are set aside end beyond the largest frame number.
    #[error("{reserve} kept and {free} free from frame {base} on do not end at a frame number")]
    Overflow {
        /// First frame.
        base: Pfn,
        /// Frames that the driver keeps.
        reserve: PageCount,
        /// Frames for the memmap.
        free: PageCount,
    },
    /// The altmap begins somewhere else than the request.
    #[error("the altmap begins at frame {base}, the request at {first}")]
    WrongBase {
        /// First frame of the altmap.
        base: Pfn,
        /// First frame of the request.
        first: Pfn,
    },
    /// More is set aside than there is.
    #[error("{offset} are set aside at the start of {request}, which is shorter")]
    BeyondRequest {
        /// Frames that are set aside.
        offset: PageCount,
        /// What is to be added.
        request: PfnRange,
    },
    /// Frames of the altmap, or of the request, lie beyond the geometry's maximum.
    #[error("{frames} ends beyond the last possible frame {last}")]
    BeyondMaximum {
        /// The frames that are set aside, or that are to be added.
        frames: PfnRange,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// The altmap has blocks out: it belongs to something that was added before.
    #[error("{in_use} of the altmap are in use already")]
    InUse {
        /// Frames in use.
        in_use: PageCount,
    },
    /// Some of the request is populated already, so the altmap would lie in somebody's memory.
    #[error("{request} is populated already in subsections {populated:?} of section {section}")]
    Populated {
        /// What is to be added.
        request: PfnRange,
        /// The first section of it that is there in part.
        section: SectionNr,
        /// The subsections that are there.
        populated: SubsectionBits,
    },
    /// The memmap of the request is larger than the altmap.
    #[error("the memmap of {request} needs {needed}, the altmap has {free}")]
    TooSmall {
        /// What is to be added.
        request: PfnRange,
        /// Frames that its memmap takes, with alignment; `u64::MAX` if that number does not fit.
        needed: PageCount,
        /// Frames that are set aside for it.
        free: PageCount,
    },
}

/// Which frames are set aside for a memmap: `free` of them, behind `reserve` that the driver keeps, from `base` on.
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
    /// [`AltmapError::Overflow`] if they do not end at a frame number. Differs from Linux, which adds without looking.
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

    /// The altmap of RAM that hosts its own memmap: as many whole frames at the start of `block` as the descriptors of
    /// all its frames fill.
    ///
    /// Source: Linux `memmap_on_memory`. Differs from Linux: nothing has to be aligned to pageblocks or
    /// large mappings, because base pages do as well (D-06).
    ///
    /// It may be too small, which [`Altmap::check_add`](crate::Altmap::check_add) says: a model may lay out descriptors of
    /// frames beyond the block too, with a section or a page that the block has in part, and base pages of an array take
    /// a frame each where frames are larger.
    ///
    /// # Errors
    ///
    /// [`AltmapError::Overflow`] if the descriptors of so many frames have no size, [`AltmapError::BeyondRequest`] if
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

    /// First frame: also the first of what is to be added.
    #[must_use]
    pub const fn base(self) -> Pfn {
        self.base
    }

    /// Frames at the start that the driver keeps for itself.
    #[must_use]
    pub const fn reserve(self) -> PageCount {
        self.reserve
    }

    /// Frames behind them that the memmap may take.
    #[must_use]
    pub const fn free(self) -> PageCount {
        self.free
    }

    /// How many frames are set aside altogether.
    #[must_use]
    pub const fn offset(self) -> PageCount {
        PageCount::new(self.reserve.get() + self.free.get())
    }

    /// All frames that are set aside.
    #[must_use]
    pub fn frames(self) -> PfnRange {
        // `new` saw that the end fits.
        PfnRange::from_start_count(self.base, self.offset()).unwrap_or_default()
    }

    /// The frames that the memmap may take.
    #[must_use]
    pub fn free_frames(self) -> PfnRange {
        self.frames().split_at(self.base.saturating_add(self.reserve)).1
    }

    /// What is left of a request for the device's users.
    #[must_use]
    pub fn usable(self, request: PfnRange) -> PfnRange {
        request.split_at(self.base.saturating_add(self.offset())).1
    }

    /// Checks that the altmap belongs to a request: it begins with it and does not end behind it.
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
