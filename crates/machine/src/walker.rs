//! An independent reader of page tables: it reads x86_64 tables in physical memory, and shares no code with the crate
//! that writes them.
//!
//! Source: Intel SDM volume 3, "4-level paging and 5-level paging".
//!
//! # Invariants
//!
//! 1. It only reads, and never outside physical memory.

use sparsemem_core::{ByteLen, LeafSize, PagingDepth, PhysAddr, VirtAddr, VirtRange};

use crate::Mismatch;
use crate::config::HOST_ADDRESSES;
use crate::ram::Ram;

/// The entry is in use.
const PRESENT: u64 = 1 << 0;
/// Stores are allowed.
const WRITABLE: u64 = 1 << 1;
/// In tables of levels 2 and 3: the entry maps memory.
const LARGE: u64 = 1 << 7;
/// The physical address in an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

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

/// Reads the tables below one root.
#[derive(Clone, Copy)]
pub(crate) struct Walker<'r> {
    pub(crate) ram: &'r Ram,
    pub(crate) root: PhysAddr,
    pub(crate) depth: PagingDepth,
}

/// One table on the path from the root.
#[derive(Clone, Copy)]
struct Table {
    at: PhysAddr,
    /// 1 for the table of 4 KiB leaves.
    level: u32,
    /// The virtual address that entry 0 stands for.
    covers: VirtAddr,
    /// Whether every entry on the path allows stores.
    writable: bool,
}

/// The meaning of an entry.
enum Step {
    Nothing,
    Down(Table),
    Mapped(Leaf),
}

/// Bytes that an entry of a table of `level` translates.
const fn entry_bytes(level: u32) -> u64 {
    1 << (12 + 9 * (level - 1))
}

impl Walker<'_> {
    /// The mapping that translates `at`, if there is one. There is none for addresses that no process of the host
    /// has.
    pub(crate) fn leaf_at(&self, at: VirtAddr) -> Result<Option<Leaf>, Mismatch> {
        if at.get() >= HOST_ADDRESSES {
            return Ok(None);
        }
        let mut table = self.root_table();
        loop {
            let index = (at.get() / entry_bytes(table.level)) % 512;
            match self.step(table, index)? {
                Step::Nothing => return Ok(None),
                Step::Mapped(leaf) => return Ok(Some(leaf)),
                Step::Down(below) => table = below,
            }
        }
    }

    /// Passes every mapping that has an address in `range` to `visit`, in order of address.
    pub(crate) fn leaves(
        &self,
        range: VirtRange,
        visit: &mut dyn FnMut(Leaf) -> Result<(), Mismatch>,
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
        visit: &mut dyn FnMut(Leaf) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        let bytes = entry_bytes(table.level);
        let first = range.start().get().saturating_sub(table.covers.get()) / bytes;
        let end = range.end().get().saturating_sub(table.covers.get()).div_ceil(bytes);
        for index in first..end.min(512) {
            match self.step(table, index)? {
                Step::Nothing => {}
                Step::Mapped(leaf) => visit(leaf)?,
                Step::Down(below) => self.leaves_below(below, range, visit)?,
            }
        }
        Ok(())
    }

    const fn root_table(&self) -> Table {
        let level = match self.depth {
            PagingDepth::Four => 4,
            PagingDepth::Five => 5,
        };
        // The lower half is enough, because a process of the host has no other addresses.
        Table { at: self.root, level, covers: VirtAddr::new(0), writable: true }
    }

    /// Reads one entry.
    fn step(&self, table: Table, index: u64) -> Result<Step, Mismatch> {
        let covers = table.covers.saturating_add(ByteLen::new(index * entry_bytes(table.level)));
        let place = table.at.saturating_add(ByteLen::new(index * 8));
        let entry =
            self.ram.word(place).ok_or(Mismatch::TableOutsideMemory { at: covers, table: table.at })?;
        if entry & PRESENT == 0 {
            return Ok(Step::Nothing);
        }
        let writable = table.writable && entry & WRITABLE != 0;
        let below = Table { at: PhysAddr::new(entry & ADDRESS), level: table.level - 1, covers, writable };
        let size = match (table.level, entry & LARGE != 0) {
            (1, _) => LeafSize::Size4KiB,
            (2, true) => LeafSize::Size2MiB,
            (3, true) => LeafSize::Size1GiB,
            (2.., false) => return Ok(Step::Down(below)),
            _ => return Err(Mismatch::Malformed { at: covers, entry }),
        };
        if !writable {
            return Err(Mismatch::NotWritable { at: covers });
        }
        // The bits between bit 12 and the size of a large mapping are attributes, not address bits.
        let to = PhysAddr::new(entry & ADDRESS & !(size.bytes() - 1));
        Ok(Step::Mapped(Leaf { at: covers, to, size }))
    }
}
