//! Ranges from which somebody leaves runs out.
//!
//! # Invariants
//!
//! 1. Runs come lowest first, are not empty, and lie in the range, whatever is answered.

use sparsemem_core::PfnRange;

/// The part of an answer that lies in the frames that were asked about.
pub(crate) fn clipped(answer: Option<PfnRange>, frames: PfnRange) -> Option<PfnRange> {
    answer.map(|run| run.intersection(frames)).filter(|run| !run.is_empty())
}

/// The runs of a range without those that `next` answers with: of a rest of the range, the lowest to be left out.
#[derive(Clone)]
pub(crate) struct Without<F> {
    rest: PfnRange,
    next: F,
}

impl<F: Fn(PfnRange) -> Option<PfnRange>> Without<F> {
    /// What is left of `frames`.
    pub(crate) const fn new(frames: PfnRange, next: F) -> Self {
        Self { rest: frames, next }
    }
}

impl<F: Fn(PfnRange) -> Option<PfnRange>> Iterator for Without<F> {
    type Item = PfnRange;

    fn next(&mut self) -> Option<PfnRange> {
        while !self.rest.is_empty() {
            let none = PfnRange::empty_at(self.rest.end());
            let left_out = clipped((self.next)(self.rest), self.rest).unwrap_or(none);
            let (run, _) = self.rest.split_at(left_out.start());
            (_, self.rest) = self.rest.split_at(left_out.end());
            if !run.is_empty() {
                return Some(run);
            }
        }
        None
    }
}
