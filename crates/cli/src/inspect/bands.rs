//! Selects the rows of the picture that are drawn; the others are folded into one line.
//!
//! # Invariants
//!
//! 1. Bands are in order and cover all rows up to the last.
//! 2. Their number follows the extents; rows are not visited one by one, because there may be billions.

use std::ops::Range;

use super::extents::{Extent, What};

/// Equal rows are folded if there are at least this many.
const WORTH_FOLDING: u64 = 2;

/// Successive rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) rows: Range<u64>,
    pub(super) fold: Fold,
}

/// Says whether rows are drawn, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// The rows are drawn.
    Drawn,
    /// The rows are empty.
    Nothing,
    /// The rows look like the row before, which is drawn.
    Alike,
}

/// The bands of rows of `row` sections.
pub(super) fn bands(extents: &[Extent], row: u64) -> Vec<Band> {
    let mut bands = Vec::new();
    let mut next = 0;
    for extent in extents {
        let (first, end) = ((extent.start / row).max(next), (extent.end - 1) / row + 1);
        push(&mut bands, next..first, Fold::Nothing);
        if let Some(alike) = alike(extent, first, row) {
            push(&mut bands, first..alike.start, Fold::Drawn);
            push(&mut bands, alike.clone(), Fold::Alike);
            push(&mut bands, alike.end..end, Fold::Drawn);
        } else {
            push(&mut bands, first..end, Fold::Drawn);
        }
        next = next.max(end);
    }
    bands
}

/// The number of rows that are drawn.
pub(super) fn count_drawn(bands: &[Band]) -> u64 {
    let drawn = bands.iter().filter(|band| band.fold == Fold::Drawn);
    drawn.map(|band| band.rows.end - band.rows.start).sum()
}

/// The rows of an extent after its first, which need not be drawn.
fn alike(extent: &Extent, first: u64, row: u64) -> Option<Range<u64>> {
    let start = extent.start.div_ceil(row).max(first) + 1;
    let end = extent.end / row;
    let dull = matches!(extent.what, What::Window | What::Other);
    (dull && end >= start + WORTH_FOLDING).then_some(start..end)
}

fn push(bands: &mut Vec<Band>, rows: Range<u64>, fold: Fold) {
    if rows.start < rows.end {
        bands.push(Band { rows, fold });
    }
}

#[cfg(test)]
mod tests {
    use super::{Band, Fold, bands, count_drawn};
    use crate::inspect::extents::{Extent, Owner, What};

    const RAM: What = What::Full(Owner::Unknown);

    fn of(extents: &[(u64, u64, What)]) -> Vec<Band> {
        let extents = extents.iter().map(|&(start, end, what)| Extent { start, end, what });
        bands(&extents.collect::<Vec<_>>(), 4)
    }

    fn band(start: u64, end: u64, fold: Fold) -> Band {
        Band { rows: start..end, fold }
    }

    #[test]
    fn rows_without_anything_are_folded() {
        let found = of(&[(1, 2, RAM), (3, 5, RAM), (40, 41, RAM)]);
        let (drawn, nothing) = (Fold::Drawn, Fold::Nothing);
        assert_eq!(found, [band(0, 1, drawn), band(1, 2, drawn), band(2, 10, nothing), band(10, 11, drawn)]);
        assert_eq!(count_drawn(&found), 3);
    }

    #[test]
    fn equal_rows_are_folded_only_where_nothing_is_lost() {
        assert_eq!(of(&[(0, 400, RAM)]), [band(0, 100, Fold::Drawn)]);
        let found = of(&[(2, 399, What::Window)]);
        assert_eq!(found, [band(0, 2, Fold::Drawn), band(2, 99, Fold::Alike), band(99, 100, Fold::Drawn)]);
        assert_eq!(of(&[(0, 8, What::Window)]), [band(0, 2, Fold::Drawn)]);
    }

    #[test]
    fn extents_that_share_a_row_draw_it_once() {
        let found = of(&[(0, 1, RAM), (1, 2, What::Other), (2, 40, What::Window), (40, 41, RAM)]);
        let (drawn, alike) = (Fold::Drawn, Fold::Alike);
        assert_eq!(found, [band(0, 1, drawn), band(1, 2, drawn), band(2, 10, alike), band(10, 11, drawn)]);
    }
}
