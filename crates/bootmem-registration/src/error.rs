//! What can be wrong, per operation.

use sparsemem_core::{NodeId, Pfn, PhysRange, SectionNr};

use crate::{Tag, TagError, TagStoreError, User};

/// Why metadata could not be registered. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The geometry has no section of this number.
    #[error("section {section} is beyond the last possible one")]
    BeyondMaximum {
        /// The section.
        section: SectionNr,
    },
    /// The section is registered already.
    #[error("section {section} is registered already")]
    SectionKnown {
        /// The section.
        section: SectionNr,
    },
    /// A piece of a section that is not registered.
    #[error("section {section} is not registered")]
    UnknownSection {
        /// The section.
        section: SectionNr,
    },
    /// A piece without bytes.
    #[error("a piece of {user} at {bytes} has no bytes")]
    Empty {
        /// The bytes.
        bytes: PhysRange,
        /// Whose piece it is.
        user: User,
    },
    /// The bytes lie beyond the geometry's maximum.
    #[error("{bytes} of {user} end beyond the last possible frame {last}")]
    BytesBeyondMaximum {
        /// The bytes.
        bytes: PhysRange,
        /// Whose piece it is.
        user: User,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// The same user has the same bytes already.
    #[error("{bytes} of {user} is registered already")]
    PieceKnown {
        /// The bytes.
        bytes: PhysRange,
        /// Whose piece it is.
        user: User,
    },
    /// The bytes share some, but not all, with another piece: one of them cannot be a block of its own.
    #[error("{bytes} of {user} overlaps {other} of {other_user}")]
    Overlap {
        /// The bytes.
        bytes: PhysRange,
        /// Whose piece it is.
        user: User,
        /// The bytes of the other piece.
        other: PhysRange,
        /// Whose that is.
        other_user: User,
    },
    /// The storage has no room for another section.
    #[error("no room for more than {capacity} sections")]
    SectionsFull {
        /// How many it has room for.
        capacity: usize,
    },
    /// The storage has no room for another piece.
    #[error("no room for more than {capacity} pieces")]
    PiecesFull {
        /// How many it has room for.
        capacity: usize,
    },
    /// A page's tag cannot say it.
    #[error("page {page}: {why}")]
    Tag {
        /// The page.
        page: Pfn,
        /// Why not.
        why: TagError,
    },
    /// A page's word holds another tag than the one that follows from its pieces: somebody else writes to it, or a registry
    /// before this one left it there. Zero the word of a page without pieces before its first piece is registered.
    #[error(
        "page {page} has the tag {:#x}, and {:#x} is the tag of the pieces on it: its word is not the registry's alone",
        found.map_or(0, Tag::word),
        registered.map_or(0, Tag::word)
    )]
    ForeignTag {
        /// The page.
        page: Pfn,
        /// The tag in its word, `None` for a word of zero.
        found: Option<Tag>,
        /// The tag that it should have.
        registered: Option<Tag>,
    },
    /// A page's tag cannot be kept.
    #[error(transparent)]
    Store(#[from] TagStoreError),
}

/// Why metadata was not released. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The section is not registered.
    #[error("section {section} is not registered")]
    UnknownSection {
        /// The section.
        section: SectionNr,
    },
    /// The section holds metadata that somebody else needs: [`Registry::removal_plan`](crate::Registry::removal_plan)
    /// says who goes first.
    #[error("section {section} holds metadata of {user}, at {bytes}")]
    HoldsMetadata {
        /// The section.
        section: SectionNr,
        /// Who needs it. A node needs it until its last section is gone.
        user: User,
        /// Where it is.
        bytes: PhysRange,
    },
    /// The node has no data registered.
    #[error("node {node} has no data registered")]
    UnknownNode {
        /// The node.
        node: NodeId,
    },
    /// The node still has sections; its data goes with the last of them.
    #[error("node {node} still has section {section}")]
    NodeHasSections {
        /// The node.
        node: NodeId,
        /// The lowest of its sections.
        section: SectionNr,
    },
    /// A piece lies only in part in the block that is given back: it was not allocated as it was registered.
    #[error("{bytes} of {user} lies only in part in {block}")]
    PartlyInBlock {
        /// The block.
        block: PhysRange,
        /// Whose piece it is.
        user: User,
        /// Where the piece lies.
        bytes: PhysRange,
    },
    /// There is no such piece.
    #[error("{bytes} is not registered for {user}")]
    UnknownPiece {
        /// The bytes.
        bytes: PhysRange,
        /// Whose piece it should be.
        user: User,
    },
}

/// Why there is no plan. (That a cycle forbids the removal is an answer, not an error.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The section is not registered.
    #[error("section {section} is not registered")]
    UnknownSection {
        /// The section.
        section: SectionNr,
    },
    /// The caller's slices are too short.
    #[error("a plan over {needed} sections needs that many slots and steps, not {slots} and {steps}")]
    TooFewSlots {
        /// How many are needed: one per registered section.
        needed: usize,
        /// Slots that were given.
        slots: usize,
        /// Steps that were given.
        steps: usize,
    },
}
