//! The one walker: from the root towards a page, an entry at a time, at any depth.
//!
//! Every operation is a loop over pages that asks [`PageTable::stop`] how far the tables reach, acts on that one
//! entry, and goes on behind the addresses that the entry stands for. That visits four or five entries for each leaf
//! or hole, and in return knows no table boundary that it could get wrong.
//!
//! # Invariants
//!
//! 1. The table of a [`Step`] is linked, or is unlinked and not yet freed: steps are made from the root downwards,
//!    are used in the same visit, and tables are freed only after a visit has dropped its steps.
//! 2. `stop` ends in an entry that points to no table.

use core::iter::successors;

use x86_64::PhysAddr;

use crate::entry::{Entry, Target};
use crate::page::{Page, Pages};
use crate::table::Index;
use crate::{Level, Mapping, PageTable, Table, TableMemory};

/// One entry on the way to a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    table: PhysAddr,
    level: Level,
    page: Page,
    entry: Entry,
}

/// Where a walk ends, and the entry that led to the table it ends in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) parent: Option<Step>,
    pub(crate) last: Step,
}

impl PageTable {
    /// The entries on the way to `page`, from the root's to the one that points to no table.
    pub(crate) fn steps<M: TableMemory + ?Sized>(&self, mem: &M, page: Page) -> impl Iterator<Item = Step> {
        successors(Some(self.root_step(mem, page)), |step| step.child(mem))
    }

    /// The end of the walk to `page`.
    pub(crate) fn stop<M: TableMemory + ?Sized>(&self, mem: &M, page: Page) -> Stop {
        let mut stop = Stop { parent: None, last: self.root_step(mem, page) };
        while let Some(child) = stop.last.child(mem) {
            stop = Stop { parent: Some(stop.last), last: child };
        }
        stop
    }

    /// The root's entry for `page`.
    pub(crate) fn root_step<M: TableMemory + ?Sized>(&self, mem: &M, page: Page) -> Step {
        Step::read(mem, self.root, self.depth.root_level(), page)
    }

    /// Makes the absent entry of `step` point somewhere.
    pub(crate) fn publish<M: TableMemory + ?Sized>(&self, mem: &mut M, step: &Step, entry: Entry) {
        step.table(mem).publish(step.index(), entry);
        self.announce(mem, step);
    }

    /// Makes the entry of `step` absent.
    pub(crate) fn clear<M: TableMemory + ?Sized>(&self, mem: &mut M, step: &Step) {
        step.table(mem).clear(step.index());
        self.announce(mem, step);
    }

    /// Takes the FRESH bit off the entry of `step`.
    pub(crate) fn settle<M: TableMemory + ?Sized>(&self, mem: &mut M, step: &Step) {
        step.table(mem).settle(step.index());
        self.announce(mem, step);
    }

    /// Tells the surroundings about a change in the root table.
    fn announce<M: TableMemory + ?Sized>(&self, mem: &mut M, step: &Step) {
        if step.level == self.depth.root_level() {
            mem.root_changed(step.page.start());
        }
    }
}

impl Step {
    /// Reads the entry for `page` in `table`, which is linked and of `level`.
    fn read<M: TableMemory + ?Sized>(mem: &M, table: PhysAddr, level: Level, page: Page) -> Self {
        let mut step = Self { table, level, page, entry: Entry::ABSENT };
        step.entry = step.table(mem).load(step.index());
        step
    }

    /// The next step, if this entry points to a table.
    pub(crate) fn child<M: TableMemory + ?Sized>(&self, mem: &M) -> Option<Self> {
        let Target::Table(frame) = self.target() else { return None };
        // A PTE entry never points to a table.
        Some(Self::read(mem, frame.start, self.level.below()?, self.page))
    }

    /// Whether nothing is in the table of this entry.
    pub(crate) fn is_table_empty<M: TableMemory + ?Sized>(&self, mem: &M) -> bool {
        self.table(mem).is_empty()
    }

    /// What the entry pointed to when it was read.
    pub(crate) const fn target(&self) -> Target {
        self.entry.target(self.level)
    }

    pub(crate) const fn entry(&self) -> Entry {
        self.entry
    }

    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    /// The pages that the entry stands for.
    pub(crate) const fn slot(&self) -> Pages {
        self.page.slot(self.level)
    }

    /// The pages that the table of the entry stands for.
    pub(crate) const fn table_slot(&self) -> Pages {
        self.page.table_slot(self.level)
    }

    /// The leaf that the entry is, if it is one.
    pub(crate) const fn mapping(&self) -> Option<Mapping> {
        match self.target() {
            Target::Leaf(size, frame) => {
                Some(Mapping { range: self.slot().bytes(), frame, size, flags: self.entry.flags() })
            }
            _ => None,
        }
    }

    const fn index(&self) -> Index {
        Index::of(self.page, self.level)
    }

    fn table<'m, M: TableMemory + ?Sized>(&self, mem: &'m M) -> &'m Table {
        let table = mem.table(self.table);
        // SAFETY: 1. The table is live: it is the root, live by `PageTable::new`, or was reached from it (invariant
        // 1). 2. For a live table the pointer is valid and may be shared (`TableMemory`, promise 1). 3. It stays so
        // for `'m`: freeing takes `mem` exclusively, and other values over the same tables keep what a walk may hold
        // (promise 3). 4. A table's contents change only through atomics (`table`, invariant 1).
        unsafe { table.as_ref() }
    }
}
