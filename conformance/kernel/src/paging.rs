//! Reads and writes the live page tables.
//!
//! The model makes the mappings of a virtual memmap. This module makes those of the direct map, and checks the work
//! of the library's page-table crate, with which it shares no code.
//!
//! # Invariants
//!
//! 1. The addresses that [`map`] and [`unmap`] change are mapped by pages of 2 MiB, or not at all.
//!
//! The tables of all processors that this kernel boots on have 512 entries, and their lowest pages 4 KiB; which bits an
//! entry has is the processor's own ([`page_table`]).

use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem::{LeafSize, PagingDepth, PhysAddr, PhysRange, VirtAddr, VirtRange};
use sparsemem_suite::Leaf;

use crate::arch::page_table::{self, canonical, levels, root};
use crate::arch::{DIRECT_MAP, MAPPED_AT_ENTRY, processors};
use crate::direct_map::{self, LEN_BYTES};

/// The size of the pages that [`map`] maps, and the level of their tables.
const PAGE: LeafSize = LeafSize::Size2MiB;
const LEVEL_OF_PAGES: u32 = 2;

/// The target of an entry, with the physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The entry is empty.
    Nothing,
    /// A table of the level below.
    Table(u64),
    /// Memory, as much as the entry translates.
    Memory(u64),
}

/// A way in which QEMU shows mappings; which of them there are depends on processor and depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "no processor has all")]
pub(crate) enum View {
    /// `info tlb`: every mapping.
    Mappings,
    /// `info mem`: mapped ranges.
    Ranges,
    /// `gva2gpa`: the translation of one address.
    Translations,
}

/// The number of levels of the tables that the processor uses, as a type of the core crate.
pub(crate) fn depth() -> PagingDepth {
    match levels() {
        3 => PagingDepth::Three,
        4 => PagingDepth::Four,
        _ => PagingDepth::Five,
    }
}

/// Bytes that an entry of a table of `level` translates; 1 is the level of 4 KiB pages.
const fn entry_bytes(level: u32) -> u64 {
    1 << (12 + 9 * (level - 1))
}

/// An entry of a table.
fn entry(table: u64, index: u64) -> Option<&'static AtomicU64> {
    let place = direct_map::to_virt(PhysAddr::new(table + (index % 512) * 8))?;
    // SAFETY: tables lie in memory that the direct map reaches and are never given back while they are linked; all
    // accesses to them are atomic.
    Some(unsafe { place.cast::<AtomicU64>().as_ref() })
}

/// There is no memory for a table of the direct map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the page tables of the direct map at {at}")]
pub(crate) struct NoTable {
    /// The first physical address that is not mapped.
    pub(crate) at: PhysAddr,
}

/// Maps a range in the direct map, with tables of zeroed frames from `new_table`. Existing mappings stay.
///
/// # Errors
///
/// [`NoTable`]; the addresses before the one that it names are mapped.
pub(crate) fn map(range: PhysRange, new_table: &mut dyn FnMut() -> Option<PhysAddr>) -> Result<(), NoTable> {
    let start = range.start().get().max(MAPPED_AT_ENTRY) / PAGE.bytes() * PAGE.bytes();
    for at in pages(start, range.end().get().min(LEN_BYTES)) {
        let entry = entry_of_page(at, new_table).ok_or(NoTable { at: PhysAddr::new(at) })?;
        // Relaxed, here and below: only the processor that changes memory stores entries, and it is the only one that
        // reads them here. Others walk them without loads of this program.
        if page_table::target(entry.load(Ordering::Relaxed), LEVEL_OF_PAGES) == Target::Nothing {
            entry.store(page_table::page(PhysAddr::new(at)), Ordering::Relaxed);
        }
    }
    page_table::published();
    direct_map::place(range).into_iter().for_each(processors::published_everywhere);
    Ok(())
}

/// Unmaps a range that was removed: all pages that lie completely in it, because the other pages also map its
/// neighbours. Mappings that entry code made stay, and so do tables.
pub(crate) fn unmap(range: PhysRange) {
    let start = range.start().get().max(MAPPED_AT_ENTRY).next_multiple_of(PAGE.bytes());
    let end = range.end().get().min(LEN_BYTES) / PAGE.bytes() * PAGE.bytes();
    for entry in pages(start, end).filter_map(|at| entry_of_page(at, &mut || None)) {
        entry.store(0, Ordering::Relaxed);
    }
    direct_map::place(range).into_iter().for_each(processors::flush_everywhere);
}

/// The physical addresses at which pages begin.
fn pages(start: u64, end: u64) -> impl Iterator<Item = u64> {
    core::iter::successors(Some(start), |at| at.checked_add(PAGE.bytes())).take_while(move |at| *at < end)
}

/// The entry for a page of the direct map; `None` if there is no table for it and no frame for a new one.
fn entry_of_page(page: u64, new_table: &mut dyn FnMut() -> Option<PhysAddr>) -> Option<&'static AtomicU64> {
    let (mut table, at) = (root().get(), DIRECT_MAP + page);
    for level in (LEVEL_OF_PAGES + 1..=levels()).rev() {
        let entry = entry(table, at / entry_bytes(level))?;
        table = match page_table::target(entry.load(Ordering::Relaxed), level) {
            Target::Table(below) => below,
            Target::Memory(_) => return None,
            Target::Nothing => {
                let below = new_table()?;
                // Release: other processors may walk the new table as soon as they find it, and it has to be empty then.
                entry.store(page_table::table(below), Ordering::Release);
                below.get()
            }
        };
    }
    entry(table, at / entry_bytes(2))
}

/// A table on the path from the root.
#[derive(Clone, Copy)]
struct Table {
    at: u64,
    /// 1 for the table of 4 KiB pages.
    level: u32,
    /// The virtual address that entry 0 stands for.
    covers: u64,
}

impl Table {
    /// The top-level table.
    fn top() -> Self {
        Self { at: root().get(), level: levels(), covers: 0 }
    }

    /// The mapping of an entry, or the table that it leads to.
    fn step(self, index: u64) -> Option<Step> {
        let entry = entry(self.at, index)?.load(Ordering::Relaxed);
        let covers = self.covers + index * entry_bytes(self.level);
        match page_table::target(entry, self.level) {
            Target::Nothing => None,
            Target::Table(at) => Some(Step::Down(Self { at, level: self.level - 1, covers })),
            Target::Memory(to) => {
                let size = LeafSize::from_shift(entry_bytes(self.level).trailing_zeros())?;
                // The bits between bit 12 and the size of a large page are attributes, not address bits.
                let to = PhysAddr::new(to & !(size.bytes() - 1));
                Some(Step::Leaf(Leaf { at: VirtAddr::new(canonical(covers)), to, size }))
            }
        }
    }
}

/// The target of an entry.
enum Step {
    Down(Table),
    Leaf(Leaf),
}

/// The bits of an address that tables translate.
fn translated(at: u64) -> u64 {
    at & ((1 << (12 + 9 * levels())) - 1)
}

/// The mapping of an address.
pub(crate) fn leaf_at(at: VirtAddr) -> Option<Leaf> {
    if canonical(at.get()) != at.get() {
        return None;
    }
    let mut table = Table::top();
    loop {
        match table.step(translated(at.get()) / entry_bytes(table.level) % 512)? {
            Step::Leaf(leaf) => return Some(leaf),
            Step::Down(below) => table = below,
        }
    }
}

/// The number of tables below the top level on the path to an address.
pub(crate) fn tables_towards(at: VirtAddr) -> u64 {
    let (mut table, mut below) = (Table::top(), 0);
    while let Some(Step::Down(next)) = table.step(translated(at.get()) / entry_bytes(table.level) % 512) {
        (table, below) = (next, below + 1);
    }
    below
}

/// Passes every mapping with an address in `within` to `visit`, lowest first; `within` must lie in one half of the
/// addresses.
pub(crate) fn leaves(within: VirtRange, visit: &mut dyn FnMut(Leaf)) {
    if !within.is_empty() {
        let last = translated(within.end().get() - 1);
        leaves_below(Table::top(), translated(within.start().get()), last, visit);
    }
}

/// The same for the part of `first..=last` that a table translates.
fn leaves_below(table: Table, first: u64, last: u64, visit: &mut dyn FnMut(Leaf)) {
    let bytes = entry_bytes(table.level);
    let from = first.saturating_sub(table.covers) / bytes;
    let to = last.saturating_sub(table.covers) / bytes;
    for index in from..=to.min(511) {
        match table.step(index) {
            Some(Step::Leaf(leaf)) => visit(leaf),
            Some(Step::Down(below)) => leaves_below(below, first, last, visit),
            None => {}
        }
    }
}
