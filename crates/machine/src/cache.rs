//! The tables that the processor may still remember: it caches entries on the path to a mapping, until it is told to
//! forget them.
//!
//! # Invariants
//!
//! 1. Both maps have the same tables.

use std::collections::BTreeMap;

use sparsemem_core::{ByteLen, PhysAddr, VirtAddr, VirtRange};

use crate::walker::{Table, Walker};

/// Remembered tables, below the root.
#[derive(Debug, Default)]
pub(crate) struct TableCache {
    /// The tables by level and first address that they translate.
    slots: BTreeMap<(u32, VirtAddr), PhysAddr>,
    tables: BTreeMap<PhysAddr, (u32, VirtAddr)>,
}

impl TableCache {
    /// Remembers a table that leads to a mapping.
    pub(crate) fn enter(&mut self, table: Table) {
        let slot = (table.level, table.covers);
        if self.slots.get(&slot) == Some(&table.at) {
            return;
        }
        self.forget(slot);
        self.slots.insert(slot, table.at);
        self.tables.insert(table.at, slot);
    }

    /// The addresses that lead to the table at `at`, if it is remembered.
    pub(crate) fn find(&self, at: PhysAddr) -> Option<VirtAddr> {
        self.tables.get(&at).map(|slot| slot.1)
    }

    /// Forgets the tables on the path to `range`, unless they are still there: the processor would read them again.
    pub(crate) fn flush(&mut self, range: VirtRange, walker: Walker<'_>) {
        for slot in self.touched(range, walker) {
            let mut still = None;
            let found = walker.tables_to(slot.1, &mut |table| {
                if table.level == slot.0 {
                    still = Some(table.at);
                }
            });
            if found.is_err() || still != self.slots.get(&slot).copied() {
                self.forget(slot);
            }
        }
    }

    /// The slots of remembered tables that have an address in `range`.
    fn touched(&self, range: VirtRange, walker: Walker<'_>) -> Vec<(u32, VirtAddr)> {
        let levels = 1..crate::processor::root_level(walker.depth);
        let of_level = |level| {
            let bytes = 1 << walker.processor.shift(level + 1);
            let first = VirtAddr::new(range.start().get() / bytes * bytes);
            let end = first.max(range.end());
            self.slots.range((level, first)..(level, end)).map(|(slot, _)| *slot)
        };
        let overlaps = |slot: &(u32, VirtAddr)| {
            let bytes = ByteLen::new(1 << walker.processor.shift(slot.0 + 1));
            VirtRange::from_start_count(slot.1, bytes).is_some_and(|slot| slot.overlaps(range))
        };
        levels.flat_map(of_level).filter(overlaps).collect()
    }

    fn forget(&mut self, slot: (u32, VirtAddr)) {
        if let Some(at) = self.slots.remove(&slot) {
            self.tables.remove(&at);
        }
    }
}
