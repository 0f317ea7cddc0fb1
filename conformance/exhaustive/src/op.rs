//! Operations on ranges of frames, for any kind of operation.

use std::fmt;

/// The kind of an operation.
pub(crate) trait Verb: Copy + 'static {
    /// All kinds.
    const ALL: &'static [Self];

    /// Its name in reports.
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
    /// Every kind of operation on every range.
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
