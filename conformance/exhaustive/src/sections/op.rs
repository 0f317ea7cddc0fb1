//! The operations below hotplug, and their answers.

use crate::op;

/// The kind of operation.
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

/// The answer of an operation. A set of subsections belongs to the section whose number precedes it, and has one bit
/// per subsection of that section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The operation succeeded; these frames, counted from the region's first, have new descriptors.
    Done {
        fresh: u32,
    },
    /// The operation succeeded; this many sections lost memory, and this many of them are absent now.
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
    /// The error names another range or section than the given one, or must not occur.
    Misreported,
}
