//! The two ends of a populate: its FRESH entries settle, or they go.
//!
//! # Invariants
//!
//! 1. After either of the two no entry on the way to any of the pages is FRESH.

use sparsemem_core::{AddressSpace, LostBlocks, MetadataMemory};

use crate::page::{Page, Pages};
use crate::sweep::{Fate, Found};
use crate::{EntryFormat, PageTable};

impl<F: EntryFormat> PageTable<F> {
    /// Takes the FRESH bits off every entry on the way to one of `pages`.
    pub(crate) fn settle_fresh<E: AddressSpace + ?Sized>(&self, env: &mut E, pages: Pages) {
        let mut page = pages.first();
        while page < pages.end() {
            page = self.settle_way(env, page);
        }
    }

    /// Takes the FRESH bits off every entry on the way to `page`; returns the page after the last entry's slot.
    fn settle_way<E: AddressSpace + ?Sized>(&self, env: &mut E, page: Page) -> Page {
        let mut step = self.root_step(env, page);
        loop {
            if step.is_fresh() {
                self.settle(env, &step);
            }
            match step.child(env) {
                Some(child) => step = child,
                None => return step.slot().end(),
            }
        }
    }

    /// Unlinks, flushes and frees every FRESH leaf and table on the way to one of `pages`.
    ///
    /// Leaves go before the tables they are in, so a fresh table is empty when the sweep leaves it. A table that was
    /// there before stays, also if it is empty.
    pub(crate) fn drop_fresh<E>(&self, env: &mut E, pages: Pages, lost: &mut LostBlocks)
    where
        E: MetadataMemory + AddressSpace + ?Sized,
    {
        let _ = self.sweep(env, pages, lost, |found| {
            let (Found::Leaf { is_fresh, .. } | Found::EmptyTable { is_fresh }) = found;
            if is_fresh { Fate::Drop } else { Fate::Keep }
        });
    }
}
