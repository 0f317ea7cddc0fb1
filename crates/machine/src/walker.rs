//! An independent reader of page tables: it reads the tables of the machine's processor in physical memory, and shares
//! no code with the crates that write them.
//!
//! # Invariants
//!
//! 1. It only reads, and never outside physical memory.

use sparsemem_core::{ByteLen, LeafSize, PagingDepth, PhysAddr, VirtAddr, VirtRange};

use crate::config::HOST_ADDRESSES;
use crate::host::Protection;
use crate::processor::{Decoded, root_level};
use crate::ram::Ram;
use crate::{Mismatch, Processor};

/// One mapping of the page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// First virtual address.
    pub at: VirtAddr,
    /// First physical address.
    pub to: PhysAddr,
    /// Size.
    pub size: LeafSize,
}

impl Leaf {
    /// The virtual addresses that are mapped.
    #[must_use]
    pub fn range(self) -> VirtRange {
        VirtRange::from_start_count(self.at, ByteLen::new(self.size.bytes())).unwrap_or_default()
    }
}

/// The effect of a store through a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// It reaches the memory.
    Reach,
    /// It faults.
    Fault,
}

impl Stores {
    /// The host's access to memory with this effect.
    pub(crate) const fn access(self) -> Protection {
        match self {
            Self::Reach => Protection::Open,
            Self::Fault => Protection::ReadOnly,
        }
    }

    /// The breach that a mapping at `at` is, if stores should do this instead.
    pub(crate) const fn should_be(self, wanted: Self, at: VirtAddr) -> Result<(), Mismatch> {
        match (self, wanted) {
            (Self::Fault, Self::Reach) => Err(Mismatch::NotWritable { at }),
            (Self::Reach, Self::Fault) => Err(Mismatch::Writable { at }),
            _ => Ok(()),
        }
    }
}

/// Reads the tables below one root.
#[derive(Clone, Copy)]
pub(crate) struct Walker<'r> {
    pub(crate) ram: &'r Ram,
    pub(crate) processor: Processor,
    pub(crate) root: PhysAddr,
    pub(crate) depth: PagingDepth,
}

/// One table on the path from the root.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) at: PhysAddr,
    /// 1 for the table of the smallest leaves.
    pub(crate) level: u32,
    /// The virtual address that entry 0 stands for.
    pub(crate) covers: VirtAddr,
    /// True if every entry on the path allows stores.
    writable: bool,
}

/// The meaning of an entry.
enum Step {
    Nothing,
    Down(Table),
    Mapped(Leaf, Stores),
}

impl Walker<'_> {
    /// The mapping that translates `at`, if there is one. There is none for addresses that no process of the host
    /// has.
    pub(crate) fn leaf_at(&self, at: VirtAddr) -> Result<Option<Leaf>, Mismatch> {
        Ok(self.tables_to(at, &mut |_| ())?.map(|(leaf, _)| leaf))
    }

    /// The same, and passes every table on the path below the root to `visit`.
    pub(crate) fn tables_to(
        &self,
        at: VirtAddr,
        visit: &mut dyn FnMut(Table),
    ) -> Result<Option<(Leaf, Stores)>, Mismatch> {
        if at.get() >= self.low_end() {
            return Ok(None);
        }
        let mut table = self.root_table();
        loop {
            let offset = at.get() - table.covers.get();
            match self.step(table, offset >> self.processor.shift(table.level))? {
                Step::Nothing => return Ok(None),
                Step::Mapped(leaf, stores) => return Ok(Some((leaf, stores))),
                Step::Down(below) => {
                    visit(below);
                    table = below;
                }
            }
        }
    }

    /// Passes every mapping that has an address in `range` to `visit`, in order of address.
    pub(crate) fn leaves(
        &self,
        range: VirtRange,
        visit: &mut dyn FnMut(Leaf, Stores) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        if range.is_empty() {
            return Ok(());
        }
        self.leaves_below(self.root_table(), range, visit)
    }

    fn leaves_below(
        &self,
        table: Table,
        range: VirtRange,
        visit: &mut dyn FnMut(Leaf, Stores) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        let bytes = 1 << self.processor.shift(table.level);
        let first = range.start().get().saturating_sub(table.covers.get()) / bytes;
        let end = range.end().get().saturating_sub(table.covers.get()).div_ceil(bytes);
        for index in first..end.min(self.entries(table)) {
            match self.step(table, index)? {
                Step::Nothing => {}
                Step::Mapped(leaf, stores) => visit(leaf, stores)?,
                Step::Down(below) => self.leaves_below(below, range, visit)?,
            }
        }
        Ok(())
    }

    /// The root. Only the addresses at the low end are read, because a process of the host has no others.
    const fn root_table(&self) -> Table {
        Table { at: self.root, level: root_level(self.depth), covers: VirtAddr::new(0), writable: true }
    }

    /// The addresses that are read.
    fn low_end(&self) -> u64 {
        self.processor.low_end(self.depth).min(HOST_ADDRESSES)
    }

    /// The entries of a table that are read.
    fn entries(&self, table: Table) -> u64 {
        if table.level < root_level(self.depth) {
            return self.processor.entries();
        }
        self.low_end().div_ceil(1 << self.processor.shift(table.level))
    }

    /// Reads one entry.
    fn step(&self, table: Table, index: u64) -> Result<Step, Mismatch> {
        let shift = self.processor.shift(table.level);
        let covers = table.covers.saturating_add(ByteLen::new(index << shift));
        let place = table.at.saturating_add(ByteLen::new(index * 8));
        let entry =
            self.ram.word(place).ok_or(Mismatch::TableOutsideMemory { at: covers, table: table.at })?;
        let decoded = self.processor.decode(entry, table.level);
        if let Some(error) = decoded.error(covers, entry) {
            return Err(error);
        }
        match decoded {
            Decoded::Table { at, writable } => {
                let writable = table.writable && writable;
                Ok(Step::Down(Table { at, level: table.level - 1, covers, writable }))
            }
            Decoded::Leaf { to, writable } => {
                // The host has addresses for every size that its window has.
                let size = LeafSize::from_shift(shift).ok_or(Mismatch::Malformed { at: covers, entry })?;
                let stores = if table.writable && writable { Stores::Reach } else { Stores::Fault };
                Ok(Step::Mapped(Leaf { at: covers, to, size }, stores))
            }
            _ => Ok(Step::Nothing),
        }
    }
}
