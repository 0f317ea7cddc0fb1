//! The machine as models see it: memory, direct map, address space.

use std::alloc::Layout;
use std::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, ByteLen, ForeignBlock, LeafSize, LinkRefused, MetadataMemory, NodeId, OutOfMemory,
    PagingDepth, PhysAddr, PhysMap, PhysRange, Rejected, VirtAddr, VirtRange,
};

use crate::walker::{Stores, Walker};
use crate::{Demand, Leaf, Machine, Mismatch, Verdict};

// SAFETY: the direct map is one mapping of all physical memory, and pointers keep the provenance of all of it, so
// they may access every block; the inverse subtracts the same start.
unsafe impl PhysMap for Machine {
    /// A physical address beyond the end of memory leads to addresses where every access faults.
    #[inline]
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        self.ram.at(at)
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        self.ram.phys(at)
    }
}

/// The bytes of a block.
fn bytes_of(start: PhysAddr, layout: Layout) -> PhysRange {
    PhysRange::from_start_count(start, ByteLen::new(layout.size() as u64)).unwrap_or_default()
}

// SAFETY: (1) a block's bytes are in no other block and stay so until it is given back (`Allocator`, invariant 1);
// (2) an allocated block is zero (`Allocator`, invariant 2); (3) the direct map stays mapped while a block is
// allocated (`Machine`, invariant 2).
unsafe impl MetadataMemory for Machine {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let demand = Demand::Block { layout, node, origin: self.alloc.phase() };
        if self.faults.judge(demand) == Verdict::Refuse {
            return Err(OutOfMemory::new(layout, node));
        }
        let Self { alloc, faults, ram, .. } = self;
        // SAFETY: the allocator clears only memory that is free (`Dirty`, invariant 2).
        let clear = |range| unsafe { ram.clear(range) };
        let phys = alloc.take(layout, node, |node| faults.limit(node), clear);
        let phys = phys.ok_or(OutOfMemory::new(layout, node))?;
        ram.open(bytes_of(phys, layout));
        // SAFETY: the allocator gave these bytes to no other block, aligned as requested, in this phase; the direct
        // map reaches them at this pointer.
        Ok(unsafe { Block::from_parts(self.ram.at(phys), phys, layout, self.alloc.phase()) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let known = self.alloc.live_at(block.phys());
        let mine = known.is_some_and(|live| live.layout == block.layout() && live.origin == block.origin());
        if !mine || block.start() != self.ram.at(block.phys()) {
            return Err(Rejected { error: block.foreign(), returned: block });
        }
        let memory = bytes_of(block.phys(), block.layout());
        let remembered = self.mirror.maps(memory).or_else(|| self.cache.find(block.phys()));
        self.note(remembered.map(|at| Mismatch::FreedTooEarly { block: block.phys(), at }));
        let Self { alloc, ram, .. } = self;
        ram.shut(memory);
        // SAFETY: the allocator clears only memory that is free (`Dirty`, invariant 2).
        alloc.give_back(block.phys(), |range| unsafe { ram.clear(range) });
        Ok(())
    }
}

// SAFETY: the root is a zeroed frame that no allocator gives out, so the machine itself never changes an entry. The
// processor's translations of the window are the host's mappings: `flush` removes those whose entries are gone, and
// the host forgets them on every processor before that returns.
unsafe impl AddressSpace for Machine {
    fn root(&self) -> PhysAddr {
        self.root
    }

    fn depth(&self) -> PagingDepth {
        self.depth
    }

    fn largest_leaf(&self) -> LeafSize {
        self.largest_leaf
    }

    /// Maps the same physical memory at the same virtual address. The machine refuses places outside the window,
    /// addresses that are not aligned to the size, physical memory that does not exist, and places where an older
    /// leaf was not flushed. The host refuses as well once the process has too many mappings (65 530 by default):
    /// leaves that follow each other both in the window and in memory count as one.
    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.link(Leaf { at, to, size }, Stores::Reach)
    }

    /// The same, and stores there fault.
    fn linked_shared(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.link(Leaf { at, to, size }, Stores::Fault)
    }

    /// Makes the leaves that touch `range` accessible, where the processor does not see them at once.
    ///
    /// # Panics
    ///
    /// Ends the process if the host cannot do it.
    fn published(&mut self, range: VirtRange) {
        if !self.processor.sees_at_once() {
            self.mirror.publish(range, &mut self.window);
        }
    }

    /// Makes every leaf that touches `range` inaccessible, unless the page tables still have it. Where they lead elsewhere, the
    /// new leaves are shown: a processor that has forgotten an address reads the tables again.
    ///
    /// # Panics
    ///
    /// Ends the process if the host cannot do it.
    fn flush(&mut self, range: VirtRange) {
        self.note_change(range);
        // Not `self.walker()`, which would borrow the window and the mirror as well.
        let walker = Walker { ram: &self.ram, processor: self.processor, root: self.root, depth: self.depth };
        let new = self.mirror.flush(range, &mut self.window, walker);
        self.cache.flush(range, walker);
        new.into_iter().for_each(|leaf| self.look_at(leaf));
    }
}

impl Machine {
    /// Maps a leaf, as [`AddressSpace::linked`] says.
    fn link(&mut self, leaf: Leaf, stores: Stores) -> Result<(), LinkRefused> {
        let Leaf { at, to, size } = leaf;
        if self.faults.judge(Demand::Link { at, to, size }) == Verdict::Refuse {
            return Err(LinkRefused { at });
        }
        let memory = PhysRange::from_start_count(to, ByteLen::new(size.bytes()));
        let aligned = at.get().is_multiple_of(size.bytes()) && to.is_aligned(size.bytes());
        if !aligned || !memory.is_some_and(|range| self.layout.exists(range)) {
            return Err(LinkRefused { at });
        }
        self.note_change(leaf.range());
        let Self { mirror, window, ram, .. } = self;
        mirror.enter(leaf, window, ram).ok_or(LinkRefused { at })?;
        if stores == Stores::Fault {
            mirror.share(leaf, window);
        }
        if !self.processor.sees_at_once() {
            self.mirror.hold_back(leaf, &mut self.window);
        }
        self.look_at(leaf);
        Ok(())
    }

    /// Reads the tables on the path to a new leaf as the processor may: remembers them, and notes a breach if they are
    /// broken or lead elsewhere.
    fn look_at(&mut self, leaf: Leaf) {
        let Self { ram, processor, root, depth, cache, mirror, .. } = self;
        let walker = Walker { ram, processor: *processor, root: *root, depth: *depth };
        let breach = match walker.tables_to(leaf.at, &mut |table| cache.enter(table)) {
            Ok(Some((tables, _))) if tables != leaf => Some(Mismatch::Different { tables, mirror: leaf }),
            Ok(Some((_, stores))) => mirror.judge(leaf, stores),
            // An entry that is not there yet is found when tables and mirror are compared.
            Ok(None) => None,
            Err(broken) => Some(broken),
        };
        self.note(breach);
    }

    /// Notes a breach if an entry for `range` changed while the processor remembered it, and the processor forbids it.
    fn note_change(&mut self, range: VirtRange) {
        if self.processor.breaks_before_make() {
            let changed = self.mirror.changed(range, self.walker());
            self.note(changed.map(|(old, new)| Mismatch::LiveChange { old, new }));
        }
    }
}
