//! Four- and five-level x86_64 page tables for a kernel's virtual memmap: populate, walk, unmap, give empty tables
//! back.
//!
//! A [`PageTable`] is a handle of a live tree of tables. [`populate`](PageTable::populate) maps memory into a range
//! with leaves of 1 GiB, 2 MiB or 4 KiB as a policy says, all of it or nothing. [`walk`](PageTable::walk) looks up one
//! address, [`mappings`](PageTable::mappings) lists what a range holds, [`unmap`](PageTable::unmap) takes memory and
//! empty tables out again. Where the memory comes from, how a table is reached and how translations are flushed is the
//! surroundings' business: [`TableMemory`]. Nothing here knows what the range is for.
//!
//! # Invariants
//!
//! 1. No range is cut at a table boundary: operations step from entry to entry, at whatever level the walk ends.
//! 2. A populate that fails leaves every table as it was, and everything that it allocated goes back.
//! 3. Memory is freed only after its entry was cleared and the addresses were flushed; a type sees to the order.
//! 4. The root table is never freed, and a table only if all of its 512 entries are zero.
//! 5. Nothing panics, whatever range is given.
//!
//! # Flags
//!
//! A leaf is writable, not executable, and accessed and dirty from the start, so that the processor never writes to
//! it; it is not global. The kernel has to have enabled no-execute. Bits 9 and 10 of an entry hold a [`Tag`], bit 58 is
//! used while a populate runs.
//!
//! # Examples
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::ptr::NonNull;
//!
//! use sparsemem_page_table::{
//!     Choice, Depth, Fate, LeafSize, LinkRefused, PageTable, PhysAddr, Table, TableMemory, Tag, TaggedFrame,
//!     VirtAddr, VirtRange, Walk,
//! };
//!
//! /// Tables on the heap, leaves made of thin air.
//! #[derive(Default)]
//! struct Host {
//!     tables: BTreeMap<PhysAddr, Box<Table>>,
//!     used_bytes: u64,
//! }
//!
//! impl Host {
//!     fn take(&mut self, size: LeafSize) -> TaggedFrame {
//!         let start = PhysAddr::new(self.used_bytes.next_multiple_of(size.bytes()));
//!         self.used_bytes = start.as_u64() + size.bytes();
//!         TaggedFrame { start, tag: Tag::default() }
//!     }
//! }
//!
//! // SAFETY: a table is a box of its own from `alloc_table` until `free_table`; nothing unwinds, nothing is shared.
//! unsafe impl TableMemory for Host {
//!     fn table(&self, table: PhysAddr) -> NonNull<Table> {
//!         NonNull::from(&*self.tables[&table])
//!     }
//!     fn alloc_table(&mut self) -> Option<TaggedFrame> {
//!         let frame = self.take(LeafSize::Size4KiB);
//!         self.tables.insert(frame.start, Box::new(Table::new()));
//!         Some(frame)
//!     }
//!     fn free_table(&mut self, frame: TaggedFrame) {
//!         self.tables.remove(&frame.start);
//!     }
//!     fn alloc_leaf(&mut self, _at: VirtAddr, size: LeafSize) -> Option<TaggedFrame> {
//!         Some(self.take(size))
//!     }
//!     fn free_leaf(&mut self, _frame: TaggedFrame, _size: LeafSize) {}
//!     fn linked(&mut self, _: VirtAddr, _: TaggedFrame, _: LeafSize) -> Result<(), LinkRefused> {
//!         Ok(())
//!     }
//!     fn flush(&mut self, _range: VirtRange) {}
//! }
//!
//! let mut mem = Host::default();
//! let root = mem.alloc_table().ok_or("no memory for the root")?.start;
//! // SAFETY: `root` is an empty table of `mem`, and only this example uses it.
//! let tables = unsafe { PageTable::new(root, Depth::Four) };
//!
//! // One large leaf, and a page behind it.
//! let start = VirtAddr::new(0xffff_ea00_0000_0000);
//! let range = VirtRange::from_start_len(start, LeafSize::Size2MiB.bytes() + 1).ok_or("beyond 2^64")?;
//! let policy = |slot: VirtRange, size| match size {
//!     LeafSize::Size2MiB if range.contains_range(slot) => Choice::Place,
//!     _ => Choice::Smaller,
//! };
//! let made = tables.populate(&mut mem, range, policy)?;
//! assert_eq!((made.leaves().of(LeafSize::Size2MiB), made.leaves().of(LeafSize::Size4KiB)), (1, 1));
//! assert!(matches!(tables.walk(&mem, start), Walk::Leaf(leaf) if leaf.size == LeafSize::Size2MiB));
//!
//! // Unmapping gives back the leaves and the three tables between them and the root.
//! let gone = tables.unmap(&mut mem, range, |_leaf| Fate::Drop)?;
//! assert_eq!((gone.dropped(), gone.nr_tables()), (made.leaves(), 3));
//! assert_eq!(mem.tables.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod addr;
mod depth;
mod descent;
mod entry;
mod error;
mod frame;
mod level;
mod mappings;
mod memory;
mod page;
mod populate;
mod range;
mod receipt;
mod size;
mod sweep;
mod table;
mod undo;
mod unmap;
mod walk;

pub use addr::VirtAddr;
pub use depth::Depth;
pub use error::{PopulateError, UnmapError, Wanted};
pub use frame::{Tag, TaggedFrame};
pub use level::Level;
pub use mappings::{Mappings, TablePages};
pub use memory::{LinkRefused, TableMemory};
pub use populate::{Choice, Populated};
pub use range::{ReversedRange, VirtRange};
pub use size::{LeafCounts, LeafSize};
pub use sweep::Fate;
pub use table::Table;
pub use unmap::Unmapped;
pub use walk::{Mapping, PageTable, Walk};
pub use x86_64::PhysAddr;
pub use x86_64::structures::paging::PageTableFlags;
