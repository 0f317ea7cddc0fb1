//! Walks over what a model has: present sections and runs of valid frames.
//!
//! # Invariants
//!
//! 1. A walk asks the model anew at every step, so it ends and stays in order whatever is added or removed meanwhile.

use crate::{MemoryModel, PageCount, Pfn, PfnRange, SectionNr};

/// The present sections of a model, lowest first.
#[derive(Clone, Debug)]
pub struct PresentSections<'m, M> {
    model: &'m M,
    next: Option<SectionNr>,
}

impl<'m, M: MemoryModel> PresentSections<'m, M> {
    pub(crate) fn new(model: &'m M) -> Self {
        Self { model, next: Some(SectionNr::new(0)) }
    }
}

impl<M: MemoryModel> Iterator for PresentSections<'_, M> {
    type Item = SectionNr;

    fn next(&mut self) -> Option<SectionNr> {
        let found = self.model.next_present(self.next?);
        self.next = found.map(SectionNr::next);
        found
    }
}

/// The runs of valid frames in a range, lowest first.
#[derive(Clone, Debug)]
pub struct ValidRanges<'m, M> {
    model: &'m M,
    rest: PfnRange,
}

impl<'m, M: MemoryModel> ValidRanges<'m, M> {
    pub(crate) fn new(model: &'m M, within: PfnRange) -> Self {
        Self { model, rest: within }
    }

    /// The valid frames themselves instead of their runs.
    pub fn frames(self) -> impl Iterator<Item = Pfn> {
        self.flat_map(|run| {
            (0..run.count().get()).map(move |offset| run.start().saturating_add(PageCount::new(offset)))
        })
    }
}

impl<M: MemoryModel> Iterator for ValidRanges<'_, M> {
    type Item = PfnRange;

    fn next(&mut self) -> Option<PfnRange> {
        let found = self.model.next_valid(self.rest)?;
        self.rest = self.rest.split_at(found.end()).1;
        Some(found)
    }
}
