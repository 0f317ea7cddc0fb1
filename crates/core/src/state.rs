//! What can be observed of one section, as a value.

use crate::{NodeId, SectionFlags, SubsectionBits};

/// A copy of a section's observable state: equal on every model that went through the same operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionState {
    /// The flag bits of the section word.
    pub flags: SectionFlags,
    /// The node, known only from `memory_present` until the section has its memmap (W-32).
    pub early_node: Option<NodeId>,
    /// The populated subsections; empty while there is no usage.
    pub subsections: SubsectionBits,
    /// Those of them that are online.
    pub online: SubsectionBits,
}

impl SectionState {
    /// The state of a section of which nothing is known.
    pub const ABSENT: Self = Self {
        flags: SectionFlags::empty(),
        early_node: None,
        subsections: SubsectionBits::EMPTY,
        online: SubsectionBits::EMPTY,
    };
}
