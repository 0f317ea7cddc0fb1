//! A piece of boot metadata, and who uses it.
//!
//! # Invariants
//!
//! 1. User and purpose of a [`Piece`] fit each other: node data is a node's, everything else a section's.

use sparsemem_core::{Geometry, NodeId, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr};

/// Who uses a piece of metadata. Nodes come before sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User {
    /// A node.
    Node(NodeId),
    /// A section.
    Section(SectionNr),
}

impl core::fmt::Display for User {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Section(nr) => write!(f, "section {nr}"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

/// What a piece of metadata is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Descriptors.
    Memmap,
    /// Subsection map and pageblock flags.
    Usage,
    /// A root of the section table, or a page table that leads to a virtual memmap.
    Table,
    /// Data of a node.
    NodeData,
}

/// A piece of boot metadata with one user. A block with several users is several pieces of the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    bytes: PhysRange,
    user: User,
    purpose: Purpose,
}

impl Piece {
    /// Descriptors of a section.
    #[must_use]
    pub const fn memmap(nr: SectionNr, bytes: PhysRange) -> Self {
        Self { bytes, user: User::Section(nr), purpose: Purpose::Memmap }
    }

    /// The usage of a section.
    #[must_use]
    pub const fn usage(nr: SectionNr, bytes: PhysRange) -> Self {
        Self { bytes, user: User::Section(nr), purpose: Purpose::Usage }
    }

    /// A table that a section needs.
    #[must_use]
    pub const fn table(nr: SectionNr, bytes: PhysRange) -> Self {
        Self { bytes, user: User::Section(nr), purpose: Purpose::Table }
    }

    /// Data of a node.
    #[must_use]
    pub const fn node_data(node: NodeId, bytes: PhysRange) -> Self {
        Self { bytes, user: User::Node(node), purpose: Purpose::NodeData }
    }

    /// Where it lies.
    #[must_use]
    pub const fn bytes(&self) -> PhysRange {
        self.bytes
    }

    /// Who uses it.
    #[must_use]
    pub const fn user(&self) -> User {
        self.user
    }

    /// What it is.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The pages that it lies on, wholly or in part.
    #[must_use]
    pub fn pages<G: Geometry>(&self) -> PfnRange {
        touched_pages::<G>(self.bytes)
    }
}

/// The pages that bytes lie on, wholly or in part.
pub(crate) fn touched_pages<G: Geometry>(bytes: PhysRange) -> PfnRange {
    let first = bytes.start().pfn::<G>();
    if bytes.is_empty() {
        return PfnRange::empty_at(first);
    }
    let last = PhysAddr::new(bytes.end().get() - 1).pfn::<G>();
    PfnRange::new(first, last.saturating_add(PageCount::new(1))).unwrap_or_default()
}

/// The range of one page.
pub(crate) fn one(page: Pfn) -> PfnRange {
    PfnRange::new(page, page.saturating_add(PageCount::new(1))).unwrap_or_default()
}

/// The bytes of pages; addresses that do not fit are cut off.
pub(crate) fn bytes_of<G: Geometry>(pages: PfnRange) -> PhysRange {
    let address = |page: Pfn| page.phys::<G>().unwrap_or(PhysAddr::new(u64::MAX));
    PhysRange::new(address(pages.start()), address(pages.end())).unwrap_or_default()
}

/// A place for a piece in a registry's storage.
#[derive(Clone, Copy, Debug)]
pub struct PieceSlot(Piece);

impl PieceSlot {
    /// A place that holds nothing.
    pub const EMPTY: Self =
        Self::new(Piece::memmap(SectionNr::new(0), PhysRange::empty_at(PhysAddr::new(0))));

    pub(crate) const fn new(piece: Piece) -> Self {
        Self(piece)
    }

    pub(crate) const fn piece(&self) -> &Piece {
        &self.0
    }
}

/// A place for a section in a registry's storage.
#[derive(Clone, Copy, Debug)]
pub struct SectionSlot {
    pub(crate) nr: SectionNr,
    pub(crate) node: NodeId,
}

impl SectionSlot {
    /// A place that holds nothing.
    pub const EMPTY: Self = Self { nr: SectionNr::new(0), node: NodeId::new(0) };
}
