//! The leaves that are mapped in a range, and the tables that lead to them.

use sparsemem_core::{Origin, PhysAddr, PhysMap, VirtRange};

use crate::level::NR_LEVELS;
use crate::page::{Page, Pages};
use crate::{EntryFormat, Level, Mapping, PageTable, Target};

/// The leaves in a range, in order of address; made by [`PageTable::mappings`].
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is asked"]
pub struct Mappings<'m, F, E: ?Sized> {
    tree: PageTable<F>,
    env: &'m E,
    /// The pages that are not visited yet.
    left: Option<Pages>,
}

/// The number of table pages of each level; made by [`PageTable::table_pages`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TablePages {
    levels: [u64; NR_LEVELS],
}

impl<F: EntryFormat> PageTable<F> {
    /// The leaves that map a byte of `range`, each of them once and whole, in order of address.
    ///
    /// Addresses that are not canonical are not mapped, so `range` may be any range.
    ///
    /// # Cost
    ///
    /// A walk for each leaf and each empty entry that stands for addresses in `range`. Addresses below an empty entry
    /// add no cost.
    pub fn mappings<'m, E: PhysMap + ?Sized>(&self, env: &'m E, range: VirtRange) -> Mappings<'m, F, E> {
        Mappings { tree: *self, env, left: Pages::touching::<F>(range) }
    }

    /// Counts the table pages that a walk to any address in `range` goes through, each of them once.
    ///
    /// The root is one of them, at its level, if any address in `range` is canonical.
    ///
    /// # Cost
    ///
    /// As for [`mappings`](Self::mappings).
    #[must_use]
    pub fn table_pages<E: PhysMap + ?Sized>(&self, env: &E, range: VirtRange) -> TablePages {
        let mut count = TablePages::default();
        let mut left = Pages::touching::<F>(range);
        while let Some(page) = self.next_canonical(left) {
            let next = self.count_entered(env, page, &mut count);
            left = left.and_then(|pages| pages.starting_at(next));
        }
        count
    }

    /// Calls `visit` with the address and the origin of every table below the root that a walk to an address in `range` goes
    /// through, each of them once.
    ///
    /// # Cost
    ///
    /// As for [`mappings`](Self::mappings).
    pub fn each_table<E: PhysMap + ?Sized>(
        &self,
        env: &E,
        range: VirtRange,
        visit: &mut dyn FnMut(PhysAddr, Origin),
    ) {
        let mut left = Pages::touching::<F>(range);
        let mut is_first = true;
        while let Some(page) = self.next_canonical(left) {
            let mut next = page;
            for step in self.steps(env, page) {
                // As in `count_entered`: a later walk enters a table exactly where the table starts.
                let enters = is_first || step.slot().first() == page;
                if let (Target::Table { at, origin }, true) = (step.target(), enters) {
                    visit(at, origin);
                }
                next = step.slot().end();
            }
            is_first = false;
            left = left.and_then(|pages| pages.starting_at(next));
        }
    }

    /// Counts the tables that no page before `page` entered; returns the page after the last entry's slot.
    ///
    /// The pages come in order and end with slots, so a later walk enters a table exactly where the table starts.
    /// Only the very first walk, with nothing counted yet, may enter its tables in the middle.
    fn count_entered<E: PhysMap + ?Sized>(&self, env: &E, page: Page, count: &mut TablePages) -> Page {
        let is_first = count.total() == 0;
        let mut slot: Option<Pages> = None;
        for step in self.steps(env, page) {
            if is_first || slot.is_some_and(|above| above.first() == page) {
                count.add(step.level());
            }
            slot = Some(step.slot());
        }
        // A walk has a step at least.
        slot.map_or(page, Pages::end)
    }

    /// The first page in `left` that the processor can translate.
    fn next_canonical(&self, left: Option<Pages>) -> Option<Page> {
        let page = self.shape().skip_hole::<F>(left?.first())?;
        (page < left?.end()).then_some(page)
    }
}

impl<F: EntryFormat, E: PhysMap + ?Sized> Iterator for Mappings<'_, F, E> {
    type Item = Mapping;

    fn next(&mut self) -> Option<Mapping> {
        while let Some(page) = self.tree.next_canonical(self.left) {
            let last = self.tree.stop(self.env, page).last;
            self.left = self.left.and_then(|pages| pages.starting_at(last.slot().end()));
            if let Some(mapping) = last.mapping() {
                return Some(mapping);
            }
        }
        None
    }
}

impl<F: EntryFormat, E: PhysMap + ?Sized> core::iter::FusedIterator for Mappings<'_, F, E> {}

impl TablePages {
    /// The number of table pages of `level`.
    #[must_use]
    pub fn of(self, level: Level) -> u64 {
        self.levels.get(level.position()).copied().unwrap_or(0)
    }

    /// The number of table pages of all levels.
    #[must_use]
    pub fn total(self) -> u64 {
        self.levels.iter().sum()
    }

    /// Counts one more table page of `level`.
    fn add(&mut self, level: Level) {
        if let Some(count) = self.levels.get_mut(level.position()) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_pages_are_counted_by_level() {
        let levels = [Level::PTE, Level::PMD, Level::PUD, Level::P4D, Level::PGD];
        let mut pages = TablePages::default();
        for (count, level) in (1..).zip(levels) {
            (0..count).for_each(|_| pages.add(level));
        }
        assert_eq!(levels.map(|level| pages.of(level)), [1, 2, 3, 4, 5]);
        assert_eq!(pages.total(), 15);
    }
}
