//! Requests to add or remove memory, checked and split at section borders. Pure: no model, no memory.
//!
//! # Invariants
//!
//! 1. A [`Request`] is not empty, consists of whole subsections (of whole blocks, for RAM in blocks), and lies below
//!    the maxima of geometry and machine. So no later step can refuse a part for its borders.

use core::fmt;
use core::marker::PhantomData;

use sparsemem_core::{
    ByteLen, CompoundOrder, Geometry, NodeId, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, ReadOnlyTails,
    SectionNr, SectionShape,
};

use crate::{BlockNr, BlockSize, BlockSpan};

/// The kind of memory that is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// RAM in whole memory blocks, which can come online.
    Ram,
    /// RAM in subsections, which may fill its memory blocks only in part: for drivers that grow and shrink in steps of
    /// 2 MiB.
    RamPart,
    /// The memory of a device, in subsections.
    Device,
}

/// The alignment that a border must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granule {
    /// Multiples of a subsection.
    Subsection,
    /// Multiples of a memory block.
    Block,
}

impl fmt::Display for Granule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subsection => "subsections",
            Self::Block => "memory blocks",
        })
    }
}

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The range has no frames.
    #[error("{frames} has no frames")]
    Empty {
        /// The range that was given.
        frames: PfnRange,
    },
    /// The end of the range does not fit an address.
    #[error("{len} from {start} end beyond the last physical address; give a shorter range")]
    Wraps {
        /// The start that was given.
        start: PhysAddr,
        /// The length that was given.
        len: ByteLen,
    },
    /// A border lies inside a frame.
    #[error("{len} from {start} do not begin and end on multiples of {page}")]
    PartialFrame {
        /// The start that was given.
        start: PhysAddr,
        /// The length that was given.
        len: ByteLen,
        /// Bytes of a frame.
        page: ByteLen,
    },
    /// A border is not the border of a granule.
    #[error("{frames} does not consist of whole {rule}, multiples of {granule}")]
    Unaligned {
        /// The range that was given.
        frames: PfnRange,
        /// The required alignment.
        rule: Granule,
        /// Frames of a granule.
        granule: PageCount,
    },
    /// The range does not consist of whole compounds.
    #[error("{frames} does not begin and end on multiples of {}, the size of a compound", order.frames())]
    PartialCompound {
        /// The range that was given.
        frames: PfnRange,
        /// The compounds' order.
        order: CompoundOrder,
    },
    /// The range ends beyond the geometry's maximum.
    #[error("{frames} ends beyond the last possible frame {last}")]
    BeyondMaximum {
        /// The range that was given.
        frames: PfnRange,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// The machine cannot address all of the range.
    #[error("{frames} is not within {addressable}, which is all that this machine addresses")]
    NotAddressable {
        /// The range that was given.
        frames: PfnRange,
        /// The frames that the machine can address.
        addressable: PfnRange,
    },
}

/// The limits of a machine.
#[derive(Clone, Copy)]
pub struct Limits<G> {
    /// The frames that the machine can address, and map if the model needs it. Source: Linux
    /// `mhp_get_pluggable_range`.
    pub addressable: PfnRange,
    /// The size of a memory block.
    pub block: BlockSize<G>,
}

impl<G> fmt::Debug for Limits<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addressable, block } = self;
        f.debug_struct("Limits").field("addressable", addressable).field("block", block).finish()
    }
}

impl<G: Geometry> Limits<G> {
    /// All frames of the geometry, in blocks of one size.
    #[must_use]
    pub fn new(block: BlockSize<G>) -> Self {
        let addressable = PfnRange::new(Pfn::new(0), Pfn::new(G::MAX_PFN)).unwrap_or_default();
        Self { addressable, block }
    }

    /// The same limits for a machine that addresses only `addressable`.
    #[must_use]
    pub const fn addressable(self, addressable: PfnRange) -> Self {
        Self { addressable, ..self }
    }
}

/// The frames of `len` bytes from `start`, for callers that count in bytes.
///
/// # Errors
///
/// [`RequestError::Wraps`] and [`RequestError::PartialFrame`].
pub fn frames_of_bytes<G: Geometry>(start: PhysAddr, len: ByteLen) -> Result<PfnRange, RequestError> {
    let bytes = PhysRange::from_start_count(start, len).ok_or(RequestError::Wraps { start, len })?;
    let page = ByteLen::new(G::PAGE_SIZE);
    if (bytes.start().get() | bytes.end().get()) & (G::PAGE_SIZE - 1) != 0 {
        return Err(RequestError::PartialFrame { start, len, page });
    }
    Ok(bytes.whole_frames::<G>())
}

/// The part of a request that lies in one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The section.
    pub section: SectionNr,
    /// The frames of the request in that section.
    pub frames: PfnRange,
}

/// A checked request.
///
/// ```
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{ByteLen, NodeId, PhysAddr};
/// use sparsemem_hotplug::{BlockSize, MemoryKind, Limits, Request, frames_of_bytes};
///
/// let limits = Limits::new(BlockSize::<X86_64>::SECTION);
/// let frames = frames_of_bytes::<X86_64>(PhysAddr::new(0x4_2c00_0000), ByteLen::new(700 << 20))?;
/// let request = Request::new(frames, NodeId::new(0), MemoryKind::Device, &limits)?;
/// assert_eq!(request.parts().count(), 6);
/// assert_eq!(request.shared_borders().count(), 2, "both ends lie inside a section");
/// # Ok::<(), sparsemem_hotplug::RequestError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Request<G> {
    frames: PfnRange,
    bytes: PhysRange,
    node: NodeId,
    kind: MemoryKind,
    compound: Option<ReadOnlyTails>,
    geometry: PhantomData<fn() -> G>,
}

impl<G> fmt::Debug for Request<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, node, kind, .. } = self;
        f.debug_struct("Request").field("frames", frames).field("node", node).field("kind", kind).finish()
    }
}

impl<G: Geometry> Request<G> {
    /// Checks a request.
    ///
    /// Source: Linux `check_hotplug_memory_range`, `check_pfn_span`, `mhp_range_allowed` (H-01, H-07, H-12).
    ///
    /// # Errors
    ///
    /// [`RequestError`], with the range and the rule that it breaks.
    pub fn new(
        frames: PfnRange,
        node: NodeId,
        kind: MemoryKind,
        limits: &Limits<G>,
    ) -> Result<Self, RequestError> {
        if frames.is_empty() {
            return Err(RequestError::Empty { frames });
        }
        check_granule(frames, kind, limits)?;
        let beyond = RequestError::BeyondMaximum { frames, last: Pfn::new(G::MAX_PFN - 1) };
        let bytes = frames.bytes::<G>().filter(|_| frames.end().get() <= G::MAX_PFN).ok_or(beyond)?;
        if !limits.addressable.contains_range(frames) {
            return Err(RequestError::NotAddressable { frames, addressable: limits.addressable });
        }
        Ok(Self { frames, bytes, node, kind, compound: None, geometry: PhantomData })
    }

    /// The same request for memory that is used as compounds, whose tails share descriptors
    /// ([`InstallModel::install_compounds`](sparsemem_core::InstallModel::install_compounds)).
    ///
    /// # Errors
    ///
    /// [`RequestError::PartialCompound`].
    pub fn in_compounds(self, tails: ReadOnlyTails) -> Result<Self, RequestError> {
        let (frames, order) = (self.frames, tails.order());
        let size = order.frames().get();
        if (frames.start().get() | frames.end().get()) & (size - 1) != 0 {
            return Err(RequestError::PartialCompound { frames, order });
        }
        Ok(Self { compound: Some(tails), ..self })
    }

    /// The compounds that the memory is used as, if it is, with the promise about their tails.
    #[must_use]
    pub const fn compound(&self) -> Option<ReadOnlyTails> {
        self.compound
    }

    /// All frames of the request.
    #[must_use]
    pub const fn frames(&self) -> PfnRange {
        self.frames
    }

    /// All bytes of the request.
    #[must_use]
    pub const fn bytes(&self) -> PhysRange {
        self.bytes
    }

    /// The node that should supply the metadata.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The kind of memory.
    #[must_use]
    pub const fn kind(&self) -> MemoryKind {
        self.kind
    }

    /// The parts by section, lowest first.
    pub fn parts(&self) -> impl Iterator<Item = Part> + Clone + use<G> {
        parts_of::<G>(self.frames)
    }

    /// The parts in sections that the request shares with other memory, because it begins or ends inside them.
    ///
    /// Source: Linux `move_pfn_range_to_zone`, which taints the section of an unaligned start and the one that
    /// contains an unaligned end (H-62).
    pub fn shared_borders(&self) -> impl Iterator<Item = Part> + Clone + use<G> {
        let (start, end) = (self.frames.start(), self.frames.end());
        self.parts().filter(move |part| {
            let starts_inside = start.offset_in_section::<G>().get() != 0;
            let ends_inside = end.offset_in_section::<G>().get() != 0;
            (starts_inside && part.frames.start() == start) || (ends_inside && part.frames.end() == end)
        })
    }

    /// The memory blocks of the range.
    #[must_use]
    pub const fn blocks(&self, block: BlockSize<G>) -> BlockSpan {
        let frames = block.frames().get();
        let first = BlockNr::new(self.frames.start().get() / frames);
        BlockSpan::new(first, self.frames.end().get().div_ceil(frames) - first.get())
    }
}

/// The parts of a range by section, lowest first.
pub(crate) fn parts_of<G: Geometry>(frames: PfnRange) -> impl Iterator<Item = Part> + Clone + use<G> {
    frames.by_section::<G>().map(|(section, frames)| Part { section, frames })
}

fn check_granule<G: Geometry>(
    frames: PfnRange,
    kind: MemoryKind,
    limits: &Limits<G>,
) -> Result<(), RequestError> {
    let (rule, granule) = match kind {
        MemoryKind::Ram => (Granule::Block, limits.block.frames()),
        MemoryKind::RamPart | MemoryKind::Device => {
            (Granule::Subsection, PageCount::new(G::PAGES_PER_SUBSECTION))
        }
    };
    if (frames.start().get() | frames.end().get()) & (granule.get() - 1) == 0 {
        return Ok(());
    }
    Err(RequestError::Unaligned { frames, rule, granule })
}

#[cfg(test)]
mod tests;
