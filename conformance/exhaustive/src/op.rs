//! Operations on ranges of frames, whatever they do.

use std::fmt;

/// What can be done with a range.
pub(crate) trait Verb: Copy + 'static {
    /// All of it.
    const ALL: &'static [Self];

    /// In words.
    fn name(self) -> &'static str;
}

/// An operation on a range of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op<V> {
    pub(crate) verb: V,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl<V: Verb> Op<V> {
    /// Everything that can be done with any of the ranges.
    pub(crate) fn all(ranges: &[(u64, u64)]) -> Vec<Self> {
        let on_each = |verb| ranges.iter().map(move |(start, end)| Self { verb, start: *start, end: *end });
        V::ALL.iter().copied().flat_map(on_each).collect()
    }
}

impl<V: Verb> fmt::Display for Op<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames {}..{}", self.verb.name(), self.start, self.end)
    }
}
