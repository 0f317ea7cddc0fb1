//! The two ends of a populate: its FRESH entries settle, or they go.
//!
//! # Invariants
//!
//! 1. After either of the two no entry on the way to any of the pages is FRESH.

use crate::PageTable;
use crate::TableMemory;
use crate::page::{Page, Pages};
use crate::sweep::{Fate, Found};

impl PageTable {
    /// Takes the FRESH bit off every entry on the way to one of `pages`.
    pub(crate) fn settle_fresh<M: TableMemory + ?Sized>(&self, mem: &mut M, pages: Pages) {
        let mut page = pages.first();
        while page < pages.end() {
            page = self.settle_way(mem, page);
        }
    }

    /// Takes the FRESH bit off every entry on the way to `page`; returns the page behind the last entry's slot.
    fn settle_way<M: TableMemory + ?Sized>(&self, mem: &mut M, page: Page) -> Page {
        let mut step = self.root_step(mem, page);
        loop {
            if step.entry().is_fresh() {
                self.settle(mem, &step);
            }
            match step.child(mem) {
                Some(child) => step = child,
                None => return step.slot().end(),
            }
        }
    }

    /// Unlinks, flushes and frees every FRESH leaf and table on the way to one of `pages`.
    ///
    /// Leaves go before the tables they are in, so a fresh table is empty when the sweep leaves it. A table that was
    /// there before stays, also if it is empty.
    pub(crate) fn drop_fresh<M: TableMemory + ?Sized>(&self, mem: &mut M, pages: Pages) {
        let _ = self.sweep(mem, pages, |found| {
            let (Found::Leaf { entry, .. } | Found::EmptyTable { entry }) = found;
            if entry.is_fresh() { Fate::Drop } else { Fate::Keep }
        });
    }
}
