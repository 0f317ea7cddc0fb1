//! The environment over any frame allocator whose memory the kernel has in its direct map.

use core::alloc::Layout;

use sparsemem_core::{
    AddressSpace, Block, ByteLen, ForeignBlock, MetadataMemory, NodeId, Origin, OutOfMemory, PhysAddr,
    PhysMap, PhysRange, Rejected, forward_to_field,
};

use crate::direct_map::{has, pointer_to};
use crate::{Given, Ledger};

/// A frame allocator, as an environment uses it.
///
/// # Safety
///
/// [`FrameSource::take`] returns RAM of at least the size and the alignment that were asked for, which nobody else uses
/// until [`FrameSource::give_back`] is called with the same arguments. No method unwinds.
pub unsafe trait FrameSource {
    /// Takes memory for `layout`, on `node` if it can and elsewhere if it must.
    fn take(&mut self, layout: Layout, node: NodeId) -> Option<PhysAddr>;

    /// Gives memory back.
    ///
    /// # Safety
    ///
    /// It was taken with this layout from this source, and nobody uses it any more.
    unsafe fn give_back(&mut self, at: PhysAddr, layout: Layout);
}

// SAFETY: the source that is borrowed keeps the contract.
unsafe impl<S: FrameSource> FrameSource for &mut S {
    fn take(&mut self, layout: Layout, node: NodeId) -> Option<PhysAddr> {
        (**self).take(layout, node)
    }

    unsafe fn give_back(&mut self, at: PhysAddr, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { (**self).give_back(at, layout) };
    }
}

/// An environment over a frame allocator `S`, a direct map `M` and a ledger `L`, for the time after the boot.
///
/// Over [`PageTables`](crate::PageTables) it serves vmemmap as well. A frame allocator gives whole frames: a section's usage
/// takes some hundred bytes of one.
#[derive(Debug)]
pub struct FrameEnvironment<S, M, L> {
    source: S,
    map: M,
    ledger: L,
    origin: Origin,
    boot: PhysRange,
}

impl<S: FrameSource, M: PhysMap, L: Ledger> FrameEnvironment<S, M, L> {
    /// An environment. `ledger` is empty.
    ///
    /// # Safety
    ///
    /// `map` reaches all memory of the source.
    pub const unsafe fn new(source: S, map: M, ledger: L) -> Self {
        Self { source, map, ledger, origin: Origin::Runtime, boot: PhysRange::empty_at(PhysAddr::new(0)) }
    }

    /// The environment of a boot, for a boot allocator that gives memory of any node, block by block: its blocks are of
    /// [`Origin::Boot`].
    #[must_use]
    pub fn of_boot(self) -> Self {
        Self { origin: Origin::Boot, ..self }
    }

    /// Takes back the blocks of a boot, too, when sections of it are removed: those in the block of its
    /// [`BootArena`](crate::BootArena). Their memory stays idle, because frames that no frame allocator gave are not for it
    /// to take; `sparsemem-bootmem-registration` says when which of them may be given to it.
    ///
    /// # Safety
    ///
    /// Only the arena, which is gone, gave blocks in that memory.
    pub const unsafe fn adopt_boot(&mut self, block: PhysRange) {
        self.boot = block;
    }

    /// The frame allocator.
    pub const fn source(&mut self) -> &mut S {
        &mut self.source
    }
}

// SAFETY: the map is never exchanged.
forward_to_field!(unsafe impl [S, M: PhysMap, L] PhysMap for FrameEnvironment<S, M, L> => map);
// SAFETY: as above.
forward_to_field!(unsafe impl [S, M: AddressSpace, L] AddressSpace for FrameEnvironment<S, M, L> => map);

// SAFETY: the source gives memory to nobody else; it is zeroed, and its alignment is checked at both addresses. The ledger
// knows what is out, and no other block is given back to the source; blocks of the boot are recognised by their memory.
unsafe impl<S: FrameSource, M: PhysMap, L: Ledger> MetadataMemory for FrameEnvironment<S, M, L> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let none = OutOfMemory::new(layout, node);
        let at = self.source.take(layout, node).ok_or(none)?;
        let start = pointer_to(&self.map, at, layout);
        let Some(start) = start.filter(|_| self.ledger.enter(Given { at, layout })) else {
            // SAFETY: it was just taken, and nobody has it.
            unsafe { self.source.give_back(at, layout) };
            return Err(none);
        };
        // SAFETY: the memory was just taken, and the map reaches it.
        unsafe { start.write_bytes(0, layout.size()) };
        // SAFETY: as above.
        Ok(unsafe { Block::from_parts(start, at, layout, self.origin) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let (at, layout) = (block.phys(), block.layout());
        let bytes = PhysRange::from_start_count(at, ByteLen::new(layout.size() as u64));
        let is_of_boot = bytes.is_some_and(|bytes| self.boot.contains_range(bytes));
        match block.origin() {
            _ if !has(&self.map, &block) => Err(Rejected { error: block.foreign(), returned: block }),
            Origin::Boot if is_of_boot => Ok(()),
            origin if origin == self.origin && self.ledger.strike(Given { at, layout }) => {
                // SAFETY: it was in the ledger, and whoever had it has given the block up.
                unsafe { self.source.give_back(at, layout) };
                Ok(())
            }
            _ => Err(Rejected { error: block.foreign(), returned: block }),
        }
    }
}
