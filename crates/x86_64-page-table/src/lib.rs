//! The entry format of four- and five-level x86_64 page tables.
//!
//! [`X86_64`] defines the bits of an entry; [`PageTable`](sparsemem_page_table::PageTable) populates, walks and unmaps
//! tables of any format.
//!
//! # Flags
//!
//! A leaf is writable, not executable, and accessed and dirty from the start, so that the processor never writes to
//! it; it is not global. The kernel has to have enabled no-execute. Bits 9 and 10 of an entry hold the origin of its
//! target, bit 58 is used while a populate runs.
//!
//! # What a kernel does when mappings change (Intel SDM vol. 3, 4.10.4)
//!
//! - **Published**: nothing. An entry that is not present is never cached, so processors see a new one at once (4.10.4.3).
//!   [`EntryFormat::published`](sparsemem_page_table::EntryFormat::published) only keeps the compiler's order, and
//!   [`AddressSpace::published`](sparsemem_core::AddressSpace::published) may do nothing.
//! - **Forgotten**: `invlpg` for each page, which drops all cached entries of tables as well, on every processor. On this
//!   target, `X86_64::forget` does it for the calling one;
//!   [`AddressSpace::flush`](sparsemem_core::AddressSpace::flush) sends an interrupt to the others.
//! - **Live changes** are allowed: a processor uses the old entry or the new one until the flush.
//!
//! # Examples
//!
//! ```
//! use std::alloc::Layout;
//! use std::collections::BTreeMap;
//! use std::ptr::NonNull;
//!
//! use sparsemem_core::{
//!     AddressSpace, Block, ByteLen, ForeignBlock, LeafSize, LostBlocks, MetadataMemory, NodeId, Origin, OutOfMemory,
//!     PagingDepth, PhysAddr, PhysMap, Rejected, VirtAddr, VirtRange,
//! };
//! use sparsemem_page_table::{Choice, Fate, PageTable, Walk};
//! use sparsemem_x86_64_page_table::X86_64;
//!
//! #[repr(C, align(4096))]
//! struct Table([u64; 512]);
//!
//! /// Tables on the heap, and leaves that are only numbers.
//! #[derive(Default)]
//! struct Host {
//!     tables: BTreeMap<PhysAddr, NonNull<Table>>,
//!     used_bytes: u64,
//! }
//!
//! impl Host {
//!     fn take(&mut self, layout: Layout) -> PhysAddr {
//!         let start = self.used_bytes.next_multiple_of(layout.align() as u64);
//!         self.used_bytes = start + layout.size() as u64;
//!         PhysAddr::new(start)
//!     }
//! }
//!
//! // SAFETY: a table is a box of its own; no code follows the pointer to a leaf.
//! unsafe impl PhysMap for Host {
//!     fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
//!         self.tables.get(&at).map_or(NonNull::dangling(), |table| table.cast())
//!     }
//!     fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
//!         self.tables.iter().find(|(_, table)| table.cast() == at).map(|(&phys, _)| phys)
//!     }
//! }
//!
//! // SAFETY: tables are boxes of zeros; leaves are only numbers here, which no code follows. A table that is given
//! // back is leaked, so nothing is used twice. Nothing unwinds.
//! unsafe impl MetadataMemory for Host {
//!     fn alloc_zeroed(&mut self, layout: Layout, _: NodeId) -> Result<Block, OutOfMemory> {
//!         let (phys, table) = (self.take(layout), NonNull::from(Box::leak(Box::new(Table([0; 512])))));
//!         self.tables.insert(phys, table);
//!         // SAFETY: the box is new, and as large as a table.
//!         Ok(unsafe { Block::from_parts(table.cast(), phys, layout, Origin::Runtime) })
//!     }
//!     fn alloc_memmap(&mut self, layout: Layout, _: NodeId) -> Result<Block, OutOfMemory> {
//!         let phys = self.take(layout);
//!         // SAFETY: no code follows the pointer.
//!         Ok(unsafe { Block::from_parts(NonNull::dangling(), phys, layout, Origin::Runtime) })
//!     }
//!     fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
//!         self.tables.remove(&block.phys());
//!         Ok(())
//!     }
//! }
//!
//! // SAFETY: no processor walks these tables.
//! unsafe impl AddressSpace for Host {
//!     fn root(&self) -> PhysAddr {
//!         PhysAddr::new(0)
//!     }
//!     fn depth(&self) -> PagingDepth {
//!         PagingDepth::Four
//!     }
//!     fn flush(&mut self, _: VirtRange) {}
//! }
//!
//! let (mut host, node, mut lost) = (Host::default(), NodeId::new(0), LostBlocks::default());
//! let root = host.alloc_zeroed(Layout::new::<Table>(), node)?.phys();
//! // SAFETY: `root` is an empty table of `host`, and only this example uses it.
//! let tables = unsafe { PageTable::<X86_64>::new(root, host.depth()) };
//!
//! // One large leaf, and a page after it.
//! let start = VirtAddr::new(0xffff_ea00_0000_0000);
//! let large = LeafSize::Size2MiB;
//! let range = VirtRange::from_start_count(start, ByteLen::new(large.bytes() + 1)).ok_or("beyond the end")?;
//! let policy = |slot: VirtRange, size| match size {
//!     LeafSize::Size2MiB if range.contains_range(slot) => Choice::Place,
//!     _ => Choice::Smaller,
//! };
//! let made = tables.populate(&mut host, node, range, policy, &mut lost)?;
//! assert_eq!((made.leaves().of(large), made.leaves().of(LeafSize::Size4KiB)), (1, 1));
//! assert!(matches!(tables.walk(&host, start), Walk::Leaf(leaf) if leaf.size == large));
//!
//! // Unmapping gives back the leaves and the three tables between them and the root.
//! let gone = tables.unmap(&mut host, range, |_leaf| Fate::Drop, &mut lost)?;
//! assert_eq!((gone.dropped(), gone.nr_tables()), (made.leaves(), 3));
//! assert_eq!(host.tables.len(), 1);
//! assert!(lost.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![allow(unsafe_code, reason = "promises that the processor reads its entries as it writes them")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod format;

pub use format::X86_64;
pub use x86_64::structures::paging::PageTableFlags;

/// The instruction by which a processor learns that tables have changed (Intel SDM vol. 3, 4.10.4.1). It is for ring 0.
#[cfg(target_arch = "x86_64")]
mod maintenance {
    use core::arch::asm;

    use sparsemem_core::VirtRange;
    use sparsemem_page_table::EntryFormat;

    use crate::X86_64;

    /// A flush of more pages forgets everything, which is faster.
    const MOST: u64 = 64;

    impl X86_64 {
        /// Makes the calling processor drop its cached translations of `range`, and all cached entries of tables, in the
        /// current address space.
        ///
        /// It is the local part of an [`AddressSpace::flush`](sparsemem_core::AddressSpace::flush): the kernel has others do
        /// the same by an interrupt. Where it uses PCIDs, each processor does it for those that map the range, too.
        ///
        /// # Cost
        ///
        /// An `invlpg` for each page of `range`, up to 64; for more, a load of CR3.
        pub fn forget(range: VirtRange) {
            let page = 1_u64 << Self::BASE_SHIFT;
            let first = range.start().get() & !(page - 1);
            if (range.end().get() - first).div_ceil(page) > MOST {
                forget_all();
            } else {
                (first..range.end().get()).step_by(1 << Self::BASE_SHIFT).for_each(forget_page);
            }
        }
    }

    /// Invalidates the translation of one page, and every cached entry of a table.
    fn forget_page(at: u64) {
        // SAFETY: what the processor forgets it reads again.
        unsafe { asm!("invlpg [{}]", in(reg) at, options(nostack, preserves_flags)) };
    }

    /// Invalidates all translations that are not global, which are those that this format makes.
    fn forget_all() {
        let root: u64;
        // SAFETY: it reads a register.
        unsafe { asm!("mov {}, cr3", out(reg) root, options(nomem, nostack, preserves_flags)) };
        // SAFETY: the root stays what it is; what the processor forgets it reads again.
        unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
    }
}
