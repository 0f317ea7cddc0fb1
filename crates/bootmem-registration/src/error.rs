//! The errors, one type per operation.

use sparsemem_core::{NodeId, Pfn, PhysRange, SectionNr};

use crate::{Tag, TagError, TagStoreError, User};

/// The reason why metadata could not be registered. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The geometry has no section of this number.
    #[error("section {section} is beyond the last section of the geometry")]
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
    /// The section of a piece is not registered.
    #[error("section {section} is not registered")]
    UnknownSection {
        /// The section.
        section: SectionNr,
    },
    /// A piece has no bytes.
    #[error("a piece of {user} at {bytes} has no bytes")]
    Empty {
        /// The bytes.
        bytes: PhysRange,
        /// The user of the piece.
        user: User,
    },
    /// The bytes reach beyond the geometry's maximum.
    #[error("{bytes} of {user} end beyond the last possible frame {last}")]
    BytesBeyondMaximum {
        /// The bytes.
        bytes: PhysRange,
        /// The user of the piece.
        user: User,
        /// The highest frame that the geometry has.
        last: Pfn,
    },
    /// The same user has the same bytes already.
    #[error("{bytes} of {user} is registered already")]
    PieceKnown {
        /// The bytes.
        bytes: PhysRange,
        /// The user of the piece.
        user: User,
    },
    /// The bytes overlap another piece in part, so the two cannot be separate blocks.
    #[error("{bytes} of {user} overlaps {other} of {other_user}")]
    Overlap {
        /// The bytes.
        bytes: PhysRange,
        /// The user of the piece.
        user: User,
        /// The bytes of the other piece.
        other: PhysRange,
        /// The user of the other piece.
        other_user: User,
    },
    /// The storage has no room for another section.
    #[error("no room for more than {capacity} sections; supply more slots")]
    SectionsFull {
        /// The number of sections that it has room for.
        capacity: usize,
    },
    /// The storage has no room for another piece.
    #[error("no room for more than {capacity} pieces; supply more slots")]
    PiecesFull {
        /// The number of pieces that it has room for.
        capacity: usize,
    },
    /// A page's tag cannot express its pieces.
    #[error("page {page}: {why}")]
    Tag {
        /// The page.
        page: Pfn,
        /// The reason.
        why: TagError,
    },
    /// A page's word holds another tag than the one that follows from its pieces: other code writes to the word, or
    /// an earlier registry left the tag there. Zero the word of a page without pieces before its first piece is
    /// registered.
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
        /// The tag that follows from the registered pieces.
        registered: Option<Tag>,
    },
    /// A page's tag cannot be stored.
    #[error(transparent)]
    Store(#[from] TagStoreError),
}

/// The reason why metadata was not released. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The section is not registered.
    #[error("section {section} is not registered")]
    UnknownSection {
        /// The section.
        section: SectionNr,
    },
    /// The section holds metadata that another section or a node needs:
    /// [`Registry::removal_plan`](crate::Registry::removal_plan) reports the sections that must be removed first.
    #[error("section {section} holds metadata of {user} at {bytes}; remove {user} first")]
    HoldsMetadata {
        /// The section.
        section: SectionNr,
        /// The user of the metadata. A node needs its data until its last section is removed.
        user: User,
        /// The bytes of the metadata.
        bytes: PhysRange,
    },
    /// The node has no data registered.
    #[error("node {node} has no data registered")]
    UnknownNode {
        /// The node.
        node: NodeId,
    },
    /// The node still has sections; its data is released with the last of them.
    #[error("node {node} still has section {section}; its data is released with its last section")]
    NodeHasSections {
        /// The node.
        node: NodeId,
        /// The lowest of its sections.
        section: SectionNr,
    },
    /// Only a part of a piece lies in the block that is given back, so it was not registered as it was allocated.
    #[error("only part of {bytes} of {user} lies in {block}; register pieces as they were allocated")]
    PartlyInBlock {
        /// The block.
        block: PhysRange,
        /// The user of the piece.
        user: User,
        /// The bytes of the piece.
        bytes: PhysRange,
    },
    /// The piece is not registered.
    #[error("{bytes} is not registered for {user}")]
    UnknownPiece {
        /// The bytes.
        bytes: PhysRange,
        /// The user that was given.
        user: User,
    },
}

/// The reason why there is no plan. (A cycle that prevents the removal is an answer, not an error.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The section is not registered.
    #[error("section {section} is not registered")]
    UnknownSection {
        /// The section.
        section: SectionNr,
    },
    /// The slices that the caller supplied are too short.
    #[error("a plan over {needed} sections needs that many slots and steps, not {slots} and {steps}")]
    TooFewSlots {
        /// The number of slots and of steps that are needed: one per registered section.
        needed: usize,
        /// The number of slots that were supplied.
        slots: usize,
        /// The number of steps that were supplied.
        steps: usize,
    },
}
