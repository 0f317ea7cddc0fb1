//! The clusters of memory that the firmware of an Alpha lists.
//!
//! # Invariants
//!
//! 1. A cluster counts pages of 8 KiB ([`crate::boot`] takes a row for evidence of that), in decimal numbers.
//! 2. A cluster with a usage is the console's or is not volatile, and the kernel leaves it alone.

use crate::addresses::{self, decimal};
use crate::frames::ALPHA_FRAME_BYTES;
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, Reason};

impl Notation {
    /// `memcluster 0, usage 1, start 0, end 256`.
    pub const CLUSTERS: Self = Self::other("memory-clusters");
}

/// The clusters.
pub(super) const SOURCE: Source = Source { notations: &[Notation::CLUSTERS], readers: &[cluster] };

/// Reads `memcluster 0, usage 1, start        0, end      256`.
fn cluster(line: &Line<'_>) -> Answer {
    let text = line.message.strip_prefix("memcluster ")?;
    Some(entry(text).map(|entry| Statement::Entry(Notation::CLUSTERS, entry)))
}

/// `0, usage 1, start 0, end 256`.
fn entry(text: &str) -> Result<MapEntry, Reason> {
    let mut parts = text.split(',').skip(1).map(str::trim);
    let mut number = |name: &str| {
        decimal(parts.next().and_then(|part| part.strip_prefix(name)).ok_or(Reason::NoRange)?.trim())
    };
    let (usage, start, end) = (number("usage ")?, number("start ")?, number("end ")?);
    let count = end.checked_sub(start).ok_or(Reason::Reversed { start, end })?;
    let kind = if usage & 3 == 0 { RangeKind::Ram } else { RangeKind::Reserved };
    Ok(MapEntry::new(addresses::units(start, count, ALPHA_FRAME_BYTES)?, kind, None))
}

/// The number of a row.
pub(crate) fn row_number(message: &str) -> Option<u64> {
    decimal(message.strip_prefix("memcluster ")?.split_once(',')?.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_without_a_usage_are_memory() {
        let read = |text: &str| cluster(&Line::new(text)).expect("a memory line");
        let range = |start: u64, end: u64| addresses::between(start << 13, end << 13);
        let entry = |range, kind| Ok(Statement::Entry(Notation::CLUSTERS, MapEntry::new(range, kind, None)));
        let own = "memcluster 1, usage 0, start      236, end   147455";
        assert_eq!(read(own), entry(range(236, 147_455), RangeKind::Ram));
        assert_eq!(row_number(own), Some(1));
        for usage in [1, 2] {
            let text = format!("<4>memcluster 0, usage {usage}, start        0, end      236");
            assert_eq!(read(&text), entry(range(0, 236), RangeKind::Reserved));
        }
        assert_eq!(read("memcluster 0, usage 1,"), Err(Reason::NoRange));
        assert_eq!(read("memcluster 0, usage 1, start 2, end 1"), Err(Reason::Reversed { start: 2, end: 1 }));
    }
}
