//! What the crate needs from its surroundings: table pages, leaves, and a way to forget translations.

use core::ptr::NonNull;

use x86_64::PhysAddr;

use crate::{LeafSize, Table, TaggedFrame, VirtAddr, VirtRange};

/// The surroundings refuse to use a leaf that was just put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leaf refused")]
pub struct LinkRefused;

/// Memory for tables and leaves, and the translations made from them.
///
/// A kernel implements it over its direct map, its allocators and its TLB; a host test over boxed pages.
///
/// # Safety
///
/// The implementor promises:
/// 1. [`table`](Self::table) gives, for the root and for every table that is linked or was allocated and not yet
///    freed, a pointer to that table which may be shared, and which stays valid until
///    [`free_table`](Self::free_table) is called for it.
/// 2. A table from [`alloc_table`](Self::alloc_table) is 4 KiB, aligned to that, all zero, and nobody else uses it
///    until it is freed. A leaf from [`alloc_leaf`](Self::alloc_leaf) may be mapped where it was asked for, until it
///    is freed.
/// 3. Where several values stand for the same tables (one reader per processor, say), only one of them is used
///    exclusively at a time, and what `free_table` gets is not reused while a walk by another one may still hold it.
/// 4. No method unwinds into a populate or unmap that called it.
pub unsafe trait TableMemory {
    /// The table at the physical address `table`.
    fn table(&self, table: PhysAddr) -> NonNull<Table>;

    /// Allocates a zeroed table page.
    fn alloc_table(&mut self) -> Option<TaggedFrame>;

    /// Takes a table page back.
    ///
    /// Nothing points to it any more, and the part of its addresses that the call in progress works on was flushed
    /// since.
    fn free_table(&mut self, frame: TaggedFrame);

    /// Allocates the memory for a leaf of `size` which will be mapped at `at`, aligned to `size`.
    ///
    /// `None` makes populate try the next smaller size.
    fn alloc_leaf(&mut self, at: VirtAddr, size: LeafSize) -> Option<TaggedFrame>;

    /// Takes a leaf's memory back. Its addresses were flushed since it was unlinked.
    fn free_leaf(&mut self, frame: TaggedFrame, size: LeafSize);

    /// Called when the entry of a new leaf is visible.
    ///
    /// Hardware needs nothing here; a simulated memory management unit mirrors the leaf.
    ///
    /// # Errors
    ///
    /// [`LinkRefused`] if the leaf cannot be used. The populate in progress then undoes everything that it did; the
    /// addresses of the refused leaf are part of what it flushes.
    fn linked(&mut self, at: VirtAddr, frame: TaggedFrame, size: LeafSize) -> Result<(), LinkRefused>;

    /// Makes every processor forget what it knows about `range`.
    ///
    /// When this returns, no processor holds a translation of an address in `range`, nor a cached upper-level entry
    /// on the way to one. At the time of the call nothing in `range` is mapped. The range may hold addresses that
    /// never were mapped, and may reach beyond the range given to unmap where a leaf does.
    fn flush(&mut self, range: VirtRange);

    /// Called when an entry of the root table was changed, and before anything that depends on it: before the leaf
    /// below a new entry is [`linked`](Self::linked), and before the table below a cleared one is flushed and freed.
    ///
    /// Does nothing by default. A kernel whose other address spaces have root tables of their own, with copies of
    /// this one's entries, updates the copies of the entry for `at` here.
    fn root_changed(&mut self, at: VirtAddr) {
        let _ = at;
    }
}

// The surroundings may be chosen at run time.
const _: Option<&dyn TableMemory> = None;
