//! Mapping memory into a range, all of it or none.
//!
//! The loop looks at one page at a time. Where the walk ends in a leaf, the page is mapped already. Where it ends in
//! an absent entry, that entry becomes a leaf or gets a table, and in the latter case the same page is looked at again
//! one level further down. There is no per-level code and no "end of this table".
//!
//! # Invariants
//!
//! 1. Every entry that is published here is FRESH until the call has succeeded, so what has to be undone can be told
//!    from what was there before.
//! 2. A frame from the surroundings is in an entry before anything else can fail, or is given back at once.

use crate::depth;
use crate::descent::Step;
use crate::entry::Entry;
use crate::page::{Page, Pages};
use crate::{LeafCounts, LeafSize, PageTable, PopulateError, TableMemory, TaggedFrame, VirtRange, Wanted};

/// Whether a large leaf may be put in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Put a leaf there, even if only a part of the slot was asked for.
    Place,
    /// Go on with smaller leaves.
    Smaller,
}

/// What a successful [`PageTable::populate`] made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "says how much memory now belongs to the tables"]
pub struct Populated {
    leaves: LeafCounts,
    nr_tables: u64,
}

impl Populated {
    /// The leaves that were made.
    #[must_use]
    pub const fn leaves(self) -> LeafCounts {
        self.leaves
    }

    /// The number of table pages that were made.
    #[must_use]
    pub const fn nr_tables(self) -> u64 {
        self.nr_tables
    }

    /// Whether everything was there already.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.leaves.total() == 0 && self.nr_tables == 0
    }
}

impl PageTable {
    /// Maps every byte of `range` that is not mapped yet; ends inside a 4 KiB page are rounded outwards.
    ///
    /// An existing leaf is left alone. For an empty slot of 1 GiB or 2 MiB, aligned to its size, `policy` is asked
    /// whether a leaf of that size may take it, also if `range` covers only a part of the slot. If it may not, or if
    /// there is no memory for a leaf of that size, the slot gets a table and smaller leaves. A table that exists
    /// already is always used.
    ///
    /// # Errors
    ///
    /// [`PopulateError`], and nothing is left behind: what the call linked is unlinked, flushed and given back, and
    /// all tables hold what they held before.
    ///
    /// # Concurrency
    ///
    /// Walks may go on elsewhere, and may see what a call that fails takes away again.
    pub fn populate<M, P>(&self, mem: &mut M, range: VirtRange, policy: P) -> Result<Populated, PopulateError>
    where
        M: TableMemory + ?Sized,
        P: FnMut(VirtRange, LeafSize) -> Choice,
    {
        let pages = depth::pages(range, self.depth).map_err(|bad| PopulateError::bad_range(bad, range))?;
        let mut run = Run { tree: *self, mem, policy, made: Populated::default(), at: pages.first() };
        match run.fill(pages) {
            Ok(()) => Ok(run.commit(pages)),
            Err(error) => Err(run.undo(pages, error)),
        }
    }
}

/// One populate in progress.
struct Run<'m, M: ?Sized, P> {
    tree: PageTable,
    mem: &'m mut M,
    policy: P,
    made: Populated,
    /// The page that is looked at: nothing behind it was touched.
    at: Page,
}

/// What became of an attempt to put a leaf into an empty slot.
enum Attempt {
    Placed,
    Smaller,
}

impl<M, P> Run<'_, M, P>
where
    M: TableMemory + ?Sized,
    P: FnMut(VirtRange, LeafSize) -> Choice,
{
    fn fill(&mut self, pages: Pages) -> Result<(), PopulateError> {
        while self.at < pages.end() {
            let step = self.tree.stop(self.mem, self.at).last;
            match self.place(&step)? {
                Attempt::Placed => self.at = step.slot().end(),
                Attempt::Smaller => self.grow(&step)?,
            }
        }
        Ok(())
    }

    /// Puts a leaf into the slot of `step`, unless there is one.
    fn place(&mut self, step: &Step) -> Result<Attempt, PopulateError> {
        if step.mapping().is_some() {
            return Ok(Attempt::Placed);
        }
        match step.level().leaf_size() {
            None => Ok(Attempt::Smaller),
            Some(LeafSize::Size4KiB) => self.small_leaf(step),
            Some(size) => self.large_leaf(step, size),
        }
    }

    fn small_leaf(&mut self, step: &Step) -> Result<Attempt, PopulateError> {
        let size = LeafSize::Size4KiB;
        let what = Wanted::Leaf(size);
        let frame = self.mem.alloc_leaf(step.slot().first().start(), size);
        let frame = frame.ok_or(PopulateError::OutOfMemory { at: self.at.start(), what })?;
        self.link_leaf(step, size, frame)
    }

    fn large_leaf(&mut self, step: &Step, size: LeafSize) -> Result<Attempt, PopulateError> {
        let slot = step.slot().bytes();
        if matches!((self.policy)(slot, size), Choice::Smaller) {
            return Ok(Attempt::Smaller);
        }
        match self.mem.alloc_leaf(slot.start(), size) {
            Some(frame) => self.link_leaf(step, size, frame),
            None => Ok(Attempt::Smaller),
        }
    }

    fn link_leaf(
        &mut self,
        step: &Step,
        size: LeafSize,
        frame: TaggedFrame,
    ) -> Result<Attempt, PopulateError> {
        if let Err(error) = self.check(frame, Wanted::Leaf(size)) {
            self.mem.free_leaf(frame, size);
            return Err(error);
        }
        self.tree.publish(self.mem, step, Entry::leaf(frame, size));
        self.made.leaves.add(size);
        let at = step.slot().first().start();
        match self.mem.linked(at, frame, size) {
            Ok(()) => Ok(Attempt::Placed),
            Err(_) => Err(PopulateError::LinkRefused { at, size }),
        }
    }

    /// Puts an empty table into the slot of `step`.
    fn grow(&mut self, step: &Step) -> Result<(), PopulateError> {
        let what = Wanted::Table(step.level().below().unwrap_or(step.level()));
        let frame = self.mem.alloc_table();
        let frame = frame.ok_or(PopulateError::OutOfMemory { at: self.at.start(), what })?;
        if let Err(error) = self.check(frame, what) {
            self.mem.free_table(frame);
            return Err(error);
        }
        self.tree.publish(self.mem, step, Entry::table(frame));
        self.made.nr_tables += 1;
        Ok(())
    }

    fn check(&self, frame: TaggedFrame, what: Wanted) -> Result<(), PopulateError> {
        if frame.start.as_u64() & (what.align_bytes() - 1) == 0 {
            return Ok(());
        }
        Err(PopulateError::Misaligned { at: self.at.start(), frame: frame.start, what })
    }

    /// Makes what was done lasting.
    fn commit(self, pages: Pages) -> Populated {
        if !self.made.is_nothing() {
            self.tree.settle_fresh(self.mem, pages);
        }
        self.made
    }

    /// Takes back what was done up to and including the page that failed.
    fn undo(self, pages: Pages, error: PopulateError) -> PopulateError {
        if !self.made.is_nothing() {
            self.tree.drop_fresh(self.mem, Pages::inclusive(pages.first(), self.at));
        }
        error
    }
}
