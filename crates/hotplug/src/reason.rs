//! Why somebody who may refuse did so.

use sparsemem_core::PfnRange;

/// Why a notifier or an allocator refuses.
///
/// Source: what Linux prints when offlining fails (M-16), as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The frames are in use, and their users can neither move nor go.
    #[error("in use")]
    InUse,
    /// The frames hold something that cannot be moved, by its kind.
    #[error("not movable")]
    Unmovable,
    /// The frames are known to be broken.
    #[error("poisoned")]
    Poisoned,
    /// What the refuser needs cannot be had.
    #[error("no memory for it")]
    OutOfMemory,
    /// The one who asked went away meanwhile.
    #[error("interrupted")]
    Interrupted,
    /// A rule of the kernel, in its own words.
    #[error("{0}")]
    Policy(&'static str),
}

/// An allocator's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frames {frames}: {reason}")]
pub struct FramesRefused {
    /// The frames that stand in the way.
    pub frames: PfnRange,
    /// Why.
    pub reason: Reason,
}
