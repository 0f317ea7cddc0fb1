//! The operations below hotplug, and their answers.

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

/// What an operation answers. Sets of subsections are of one section, named by its number before them, and have a bit each,
/// from the section's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; these frames, counted from the region's first, have new descriptors.
    Done {
        fresh: u32,
    },
    /// Done; so many sections lost a part or all, and so many of them are absent now.
    Retired {
        sections: u64,
        gone: u64,
    },
    Empty,
    Unaligned,
    BeyondMaximum,
    CrossesSection,
    Populated(u64, u16),
    Absent(u64, u16),
    Online(u64, u16),
    Already(u64, u16),
    /// An error that names another range or section than the one that was given, or one that cannot be.
    Misreported,
}
