//! Sets of numbers as sorted runs: first number, and first number past the run.
//!
//! # Invariants
//!
//! 1. Returned runs are sorted, not empty, and neither overlap nor are adjacent.

/// A run: first number, and first number past it.
pub(super) type Span = (u64, u64);

/// The same numbers, with overlapping and adjacent runs joined.
pub(super) fn joined(spans: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let mut sorted: Vec<Span> = spans.into_iter().filter(|(start, end)| start < end).collect();
    sorted.sort_unstable();
    let mut runs: Vec<Span> = Vec::new();
    for (start, end) in sorted {
        match runs.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => runs.push((start, end)),
        }
    }
    runs
}

/// The numbers of `spans` that are not in `holes`.
pub(super) fn without(
    spans: impl IntoIterator<Item = Span>,
    holes: impl IntoIterator<Item = Span>,
) -> Vec<Span> {
    let mut rest = joined(spans);
    for (start, end) in joined(holes) {
        let cut = |span: Span| [(span.0, span.1.min(start)), (span.0.max(end), span.1)];
        rest = rest.into_iter().flat_map(cut).filter(|(start, end)| start < end).collect();
    }
    rest
}

/// Two spans that overlap, if there are any.
pub(super) fn overlap(spans: impl IntoIterator<Item = Span>) -> Option<(Span, Span)> {
    let mut sorted: Vec<Span> = spans.into_iter().collect();
    sorted.sort_unstable();
    let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
    pairs.find(|(one, next)| next.0 < one.1).map(|(one, next)| (*one, *next))
}

#[cfg(test)]
mod tests {
    use super::{joined, overlap, without};

    #[test]
    fn runs_that_touch_become_one() {
        assert_eq!(joined([(5, 7), (1, 3), (3, 4), (9, 9), (6, 8)]), [(1, 4), (5, 8)]);
    }

    #[test]
    fn holes_are_cut_out() {
        assert_eq!(without([(0, 10)], [(2, 3), (5, 6)]), [(0, 2), (3, 5), (6, 10)]);
        assert_eq!(without([(0, 4), (6, 8)], [(0, 1), (3, 9)]), [(1, 3)]);
    }

    #[test]
    fn overlaps_are_found_in_any_order() {
        assert_eq!(overlap([(4, 6), (0, 4)]), None);
        assert_eq!(overlap([(4, 6), (0, 5)]), Some(((0, 5), (4, 6))));
    }
}
