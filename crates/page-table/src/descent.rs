//! The one walker: from the root towards a page, an entry at a time, at any depth.
//!
//! Every operation is a loop over pages that calls [`PageTable::stop`] to find how far the tables reach, acts on that
//! one entry, and continues after the addresses that the entry stands for. That visits four or five entries for each
//! leaf or hole, and in return needs no code for the borders of tables.
//!
//! # Invariants
//!
//! 1. The table of a [`Step`] is linked, or is unlinked and not yet freed: steps are made from the root downwards,
//!    are used in the same visit, and tables are freed only after a visit has dropped its steps.
//! 2. `stop` ends in an entry that points to no table.

use core::iter::successors;
use core::marker::PhantomData;

use sparsemem_core::{AddressSpace, PhysAddr, PhysMap};

use crate::page::{Page, Pages};
use crate::table::{Index, Table};
use crate::{EntryFormat, Level, Mapping, PageTable, Target};

/// One entry on the path to a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<F> {
    table: PhysAddr,
    level: Level,
    page: Page,
    entry: u64,
    format: PhantomData<F>,
}

/// The entry where a walk ends, and the entry that led to its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop<F> {
    pub(crate) parent: Option<Step<F>>,
    pub(crate) last: Step<F>,
}

impl<F: EntryFormat> PageTable<F> {
    /// The entries on the path to `page`, from the root's to the one that points to no table.
    pub(crate) fn steps<E: PhysMap + ?Sized>(&self, env: &E, page: Page) -> impl Iterator<Item = Step<F>> {
        successors(Some(self.root_step(env, page)), |step| step.child(env))
    }

    /// The end of the walk to `page`.
    pub(crate) fn stop<E: PhysMap + ?Sized>(&self, env: &E, page: Page) -> Stop<F> {
        let mut stop = Stop { parent: None, last: self.root_step(env, page) };
        while let Some(child) = stop.last.child(env) {
            stop = Stop { parent: Some(stop.last), last: child };
        }
        stop
    }

    /// The root's entry for `page`.
    pub(crate) fn root_step<E: PhysMap + ?Sized>(&self, env: &E, page: Page) -> Step<F> {
        let level = self.root_level();
        Step::read(env, self.root, level, page, self.shape().index::<F>(page, level))
    }

    /// Stores `entry` in the entry of `step`, which is empty, or may be changed while it is in use.
    pub(crate) fn publish<E: AddressSpace + ?Sized>(&self, env: &mut E, step: &Step<F>, entry: u64) {
        step.table(env).publish(self.index(step), entry);
        self.announce(env, step);
    }

    /// Makes the entry of `step` empty.
    pub(crate) fn clear<E: AddressSpace + ?Sized>(&self, env: &mut E, step: &Step<F>) {
        step.table(env).clear(self.index(step), F::empty(step.level));
        self.announce(env, step);
    }

    /// Clears the FRESH bits of the entry of `step`.
    pub(crate) fn settle<E: AddressSpace + ?Sized>(&self, env: &mut E, step: &Step<F>) {
        step.table(env).settle(self.index(step), F::FRESH);
        self.announce(env, step);
    }

    /// The place of the entry of `step` in its table.
    #[inline]
    fn index(&self, step: &Step<F>) -> Index {
        self.shape().index::<F>(step.page, step.level)
    }

    /// Reports a change in the root table to the environment.
    fn announce<E: AddressSpace + ?Sized>(&self, env: &mut E, step: &Step<F>) {
        if step.level == self.shape().level() {
            env.root_changed(step.page.start::<F>());
        }
    }
}

impl<F: EntryFormat> Step<F> {
    /// Reads the entry for `page` in `table`, which is linked and of `level`.
    fn read<E: PhysMap + ?Sized>(env: &E, table: PhysAddr, level: Level, page: Page, index: Index) -> Self {
        let mut step = Self { table, level, page, entry: 0, format: PhantomData };
        step.entry = step.table(env).load(index);
        step
    }

    /// The next step, if this entry points to a table.
    pub(crate) fn child<E: PhysMap + ?Sized>(&self, env: &E) -> Option<Self> {
        // An entry of the lowest level never points to a table.
        let below = self.level.below()?;
        let Target::Table { at, .. } = self.target() else { return None };
        let index = Index::of::<F>(self.page, below, F::index_bits(below));
        Some(Self::read(env, at, below, self.page, index))
    }

    /// True if the table of this entry, which is not the root, has only empty entries.
    pub(crate) fn is_table_empty<E: PhysMap + ?Sized>(&self, env: &E) -> bool {
        self.table(env).is_empty(1 << F::index_bits(self.level), F::empty(self.level))
    }

    /// The target of the entry when it was read.
    #[inline]
    pub(crate) fn target(&self) -> Target {
        F::target(self.entry, self.level)
    }

    /// True if the populate that is running made the entry.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.entry & F::FRESH != 0
    }

    /// The entry, as it was read.
    pub(crate) const fn entry(&self) -> u64 {
        self.entry
    }

    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    /// The pages that the entry stands for.
    #[inline]
    pub(crate) fn slot(&self) -> Pages {
        self.page.slot::<F>(self.level)
    }

    /// The leaf that the entry is, if it is one.
    #[inline]
    pub(crate) fn mapping(&self) -> Option<Mapping> {
        let (at, origin) = match self.target() {
            Target::Leaf { at, origin } => (at, Some(origin)),
            Target::Shared { at } => (at, None),
            Target::Empty | Target::Table { .. } => return None,
        };
        let (entry, size) = (self.entry & !F::FRESH, F::leaf_size(self.level)?);
        Some(Mapping { range: self.slot().bytes::<F>(), phys: at, origin, size, entry })
    }

    #[inline]
    fn table<'m, E: PhysMap + ?Sized>(&self, env: &'m E) -> Table<'m> {
        let start = env.phys_to_virt(self.table);
        // SAFETY: 1. The table is live: it is the root, live by `PageTable::new`, or was reached from it (invariant
        // 1). 2. The environment reaches it, so the pointer may access all of it (`PhysMap`): a page, or the entries
        // that the root has. 3. It stays so for `'m`: giving a table back takes the environment exclusively, and tables
        // that are given back by other environments over the same tables are kept for walks (`PageTable::new`, promise
        // 4). 4. A table's contents change only through atomics (`table`, invariant 1). 5. Indices and numbers of
        // entries are computed from what the entry above translates, or from the root's addresses.
        unsafe { Table::at(start) }
    }
}
