//! The operations on one section, and their answers.

use crate::op;

/// What to do with subsections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Install,
    Retire,
    SetOnline,
    SetOffline,
    Taint,
}

impl op::Verb for Verb {
    const ALL: &'static [Self] =
        &[Self::Install, Self::Retire, Self::SetOnline, Self::SetOffline, Self::Taint];

    fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Retire => "retire",
            Self::SetOnline => "set online",
            Self::SetOffline => "set offline",
            Self::Taint => "taint",
        }
    }
}

/// An operation of these.
pub(crate) type Op = op::Op<Verb>;

/// What an operation answers. Sets of subsections are a bit each, from the section's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; these frames, counted from the region's first, have new descriptors.
    Done {
        fresh: u32,
    },
    /// Done, and the section is absent now.
    LastIsGone,
    Empty,
    Unaligned,
    BeyondMaximum,
    CrossesSection,
    Populated(u16),
    Absent(u16),
    Online(u16),
    Already(u16),
    /// An error that names another range or section than the one that was given, or one that cannot be.
    Misreported,
}
