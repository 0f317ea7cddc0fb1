//! Receipts that enforce the order "clear, then flush, then free".
//!
//! The target of a cleared entry is put into an [`Unlinked`]. Its only operation is the flush, which gives a
//! [`Flushed`], and only that can be freed. Code that frees a block before the flush does not compile.
//!
//! # Invariants
//!
//! 1. No entry leads to a block in a receipt.
//! 2. No address of a block in an `Unlinked` is mapped.

use core::alloc::Layout;

use sparsemem_core::{AddressSpace, Block, LostBlocks, MetadataMemory, Origin, PhysAddr};

use crate::EntryFormat;
use crate::page::Pages;

/// The number of blocks that wait for one flush. The receipt lives on the stack and has about 1.5 KiB.
const BATCH: usize = 32;

/// A block whose entry was cleared: memory of a leaf or of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loose {
    /// The pages for which processors may still cache the entry.
    pub(crate) stale: Pages,
    /// The target of the entry.
    pub(crate) phys: PhysAddr,
    /// The layout with which it was allocated.
    pub(crate) layout: Layout,
    /// The origin of the memory; `None` if it is shared and stays.
    pub(crate) origin: Option<Origin>,
}

/// Blocks to which no entry points any more, but that processors may still use.
#[must_use = "the blocks leak unless they are flushed and freed"]
#[derive(Debug)]
pub(crate) struct Unlinked {
    blocks: [Option<Loose>; BATCH],
    len: usize,
}

/// Blocks that no processor can use any more.
#[must_use = "the blocks leak unless they are freed"]
#[derive(Debug)]
struct Flushed<'b>(&'b [Option<Loose>]);

impl Unlinked {
    pub(crate) const fn none() -> Self {
        Self { blocks: [None; BATCH], len: 0 }
    }

    /// Adds a block; if there is no room, all others are flushed and freed first.
    pub(crate) fn add<F, E>(&mut self, loose: Loose, env: &mut E, lost: &mut LostBlocks)
    where
        F: EntryFormat,
        E: MetadataMemory + AddressSpace + ?Sized,
    {
        if let Err(loose) = self.push(loose) {
            self.release::<F, E>(env, lost);
            // An empty batch has room.
            let _ = self.push(loose);
        }
    }

    /// Flushes and frees all blocks.
    pub(crate) fn release<F, E>(&mut self, env: &mut E, lost: &mut LostBlocks)
    where
        F: EntryFormat,
        E: MetadataMemory + AddressSpace + ?Sized,
    {
        self.flush::<F, E>(env).free(env, lost);
    }

    /// Adds a block, or returns it if there is no room.
    fn push(&mut self, loose: Loose) -> Result<(), Loose> {
        let Some(room) = self.blocks.get_mut(self.len) else { return Err(loose) };
        *room = Some(loose);
        self.len += 1;
        Ok(())
    }

    /// Makes every processor drop its cached path to these blocks; adjoining ranges are flushed as one. Then there is room
    /// for others, but not before the receipt is gone.
    fn flush<F: EntryFormat, E: AddressSpace + ?Sized>(&mut self, env: &mut E) -> Flushed<'_> {
        // Taken first, so that no block is flushed or freed a second time where the environment unwinds.
        let len = core::mem::take(&mut self.len);
        let blocks = self.blocks.get(..len).unwrap_or_default();
        let mut run: Option<Pages> = None;
        for stale in blocks.iter().flatten().map(|loose| loose.stale) {
            let joined = run.and_then(|run| run.joined(stale));
            if let (None, Some(done)) = (joined, run) {
                env.flush(done.bytes::<F>());
            }
            run = joined.or(Some(stale));
        }
        if let Some(done) = run {
            env.flush(done.bytes::<F>());
        }
        Flushed(blocks)
    }
}

impl Flushed<'_> {
    /// Gives the blocks back that are not shared, in the order in which they were unlinked; counts those that `env`
    /// refuses.
    fn free<E: MetadataMemory + ?Sized>(self, env: &mut E, lost: &mut LostBlocks) {
        for &Loose { phys, layout, origin, .. } in self.0.iter().flatten() {
            let Some(origin) = origin else { continue };
            let start = env.phys_to_virt(phys);
            // SAFETY: 1. Exactly this block was taken apart and written into an entry with its origin, or was there
            // before as the entry says (`PageTable::new`, promise 2). 2. The entry is cleared and flushed, so no other
            // code knows the block.
            let block = unsafe { Block::from_parts(start, phys, layout, origin) };
            if let Err(refused) = env.free(block) {
                lost.note(refused.error);
            }
        }
    }
}
