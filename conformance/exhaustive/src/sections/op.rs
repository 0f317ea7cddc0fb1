//! The operations on one section, and their answers.

use std::fmt;

/// What to do with subsections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Install,
    Retire,
    SetOnline,
    SetOffline,
    Taint,
}

impl Verb {
    pub(crate) const ALL: [Self; 5] =
        [Self::Install, Self::Retire, Self::SetOnline, Self::SetOffline, Self::Taint];

    const fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Retire => "retire",
            Self::SetOnline => "set online",
            Self::SetOffline => "set offline",
            Self::Taint => "taint",
        }
    }
}

/// An operation on a range of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) verb: Verb,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames {}..{}", self.verb.name(), self.start, self.end)
    }
}

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
