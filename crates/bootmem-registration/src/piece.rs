//! A piece of boot metadata, and its user.
//!
//! # Invariants
//!
//! 1. User and purpose of a [`Piece`] match: a node uses node data, and sections use everything else.

use sparsemem_core::{Geometry, NodeId, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr};

/// The user of a piece of metadata. Nodes are sorted before sections.
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

/// The purpose of a piece of metadata.
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

    /// The bytes of the piece.
    #[must_use]
    pub const fn bytes(&self) -> PhysRange {
        self.bytes
    }

    /// The user of the piece.
    #[must_use]
    pub const fn user(&self) -> User {
        self.user
    }

    /// The purpose of the piece.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// All pages that contain a byte of the piece.
    #[must_use]
    pub fn pages<G: Geometry>(&self) -> PfnRange {
        touched_pages::<G>(self.bytes)
    }
}

/// All pages that contain one of the bytes.
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

/// A slot for a piece in a registry's storage.
#[derive(Clone, Copy, Debug)]
pub struct PieceSlot(Piece);

impl PieceSlot {
    /// A slot without a piece.
    pub const EMPTY: Self =
        Self::new(Piece::memmap(SectionNr::new(0), PhysRange::empty_at(PhysAddr::new(0))));

    pub(crate) const fn new(piece: Piece) -> Self {
        Self(piece)
    }

    pub(crate) const fn piece(&self) -> &Piece {
        &self.0
    }
}

/// A slot for a section in a registry's storage.
#[derive(Clone, Copy, Debug)]
pub struct SectionSlot {
    pub(crate) nr: SectionNr,
    pub(crate) node: NodeId,
}

impl SectionSlot {
    /// A slot without a section.
    pub const EMPTY: Self = Self { nr: SectionNr::new(0), node: NodeId::new(0) };
}
