//! Receipts that make "clear, then flush, then free" the only order there is.
//!
//! What a cleared entry pointed to goes into an [`Unlinked`]. All that can be done with one is to flush it, which gives
//! a [`Flushed`], and only that can be freed. Freeing what was not flushed does not compile.
//!
//! # Invariants
//!
//! 1. What is in a receipt is reachable from no entry.
//! 2. No address of what is in an `Unlinked` is mapped.

use core::alloc::Layout;

use sparsemem_core::{AddressSpace, Block, LostBlocks, MetadataMemory, Origin, PhysAddr};

use crate::EntryFormat;
use crate::page::Pages;

/// How many blocks wait for one flush. The receipt lives on the stack: about 1.5 KiB.
const BATCH: usize = 32;

/// A block whose entry was cleared: memory of a leaf or of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loose {
    /// The pages for which processors may still know the entry.
    pub(crate) stale: Pages,
    /// What the entry pointed to.
    pub(crate) phys: PhysAddr,
    /// As which it was allocated.
    pub(crate) layout: Layout,
    /// From where.
    pub(crate) origin: Origin,
}

/// Blocks that nothing points to any more, but that processors may still use.
#[must_use = "the blocks leak unless they are flushed and freed"]
#[derive(Debug)]
pub(crate) struct Unlinked {
    blocks: [Option<Loose>; BATCH],
    len: usize,
}

/// Blocks that no processor can use any more.
#[must_use = "the blocks leak unless they are freed"]
#[derive(Debug)]
pub(crate) struct Flushed(Unlinked);

impl Unlinked {
    pub(crate) const fn none() -> Self {
        Self { blocks: [None; BATCH], len: 0 }
    }

    /// Adds a block, or returns it if there is no room.
    pub(crate) fn push(&mut self, loose: Loose) -> Result<(), Loose> {
        let Some(room) = self.blocks.get_mut(self.len) else { return Err(loose) };
        *room = Some(loose);
        self.len += 1;
        Ok(())
    }

    /// Makes every processor forget the way to these blocks; adjoining ranges are flushed as one.
    pub(crate) fn flush<F: EntryFormat, E: AddressSpace + ?Sized>(self, env: &mut E) -> Flushed {
        let mut run: Option<Pages> = None;
        for stale in self.blocks.iter().flatten().map(|loose| loose.stale) {
            let joined = run.and_then(|run| run.joined(stale));
            if let (None, Some(done)) = (joined, run) {
                env.flush(done.bytes::<F>());
            }
            run = joined.or(Some(stale));
        }
        if let Some(done) = run {
            env.flush(done.bytes::<F>());
        }
        Flushed(self)
    }
}

impl Flushed {
    /// Gives the blocks back, in the order in which they were unlinked; counts those that `env` refuses.
    pub(crate) fn free<E: MetadataMemory + ?Sized>(self, env: &mut E, lost: &mut LostBlocks) {
        for Loose { phys, layout, origin, .. } in self.0.blocks.into_iter().flatten() {
            let start = env.phys_to_virt(phys);
            // SAFETY: 1. Exactly this block was taken apart and written into an entry with its origin, or was there
            // before as the entry says (`PageTable::new`, promise 2). 2. The entry is cleared and flushed, so nobody
            // else knows of it.
            let block = unsafe { Block::from_parts(start, phys, layout, origin) };
            if let Err(refused) = env.free(block) {
                lost.note(refused.error);
            }
        }
    }
}
