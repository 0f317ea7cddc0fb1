//! Receipts that make "clear, then flush, then free" the only order there is.
//!
//! A cleared entry's frame goes into an [`Unlinked`]. All that can be done with one is to flush it, which gives a
//! [`Flushed`], and only that can be freed. Freeing what was not flushed does not compile.
//!
//! # Invariants
//!
//! 1. What is in a receipt is reachable from no entry.
//! 2. No address of what is in an `Unlinked` is mapped.

use crate::page::Pages;
use crate::{LeafSize, TableMemory, TaggedFrame};

/// How many frames wait for one flush. The receipt lives on the stack: about 1.3 KiB.
const BATCH: usize = 32;

/// A frame whose entry was cleared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loose {
    /// The pages for which processors may still know the entry.
    pub(crate) stale: Pages,
    /// What the entry pointed to.
    pub(crate) what: What,
}

/// What is to be freed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Leaf(LeafSize, TaggedFrame),
    Table(TaggedFrame),
}

/// Frames that nothing points to any more, but that processors may still use.
#[must_use = "the frames leak unless they are flushed and freed"]
#[derive(Debug)]
pub(crate) struct Unlinked {
    frames: [Option<Loose>; BATCH],
    len: usize,
}

/// Frames that no processor can use any more.
#[must_use = "the frames leak unless they are freed"]
#[derive(Debug)]
pub(crate) struct Flushed(Unlinked);

impl Unlinked {
    pub(crate) const fn none() -> Self {
        Self { frames: [None; BATCH], len: 0 }
    }

    /// Adds a frame, or returns it if there is no room.
    pub(crate) fn push(&mut self, loose: Loose) -> Result<(), Loose> {
        let Some(room) = self.frames.get_mut(self.len) else { return Err(loose) };
        *room = Some(loose);
        self.len += 1;
        Ok(())
    }

    /// Makes every processor forget the way to these frames; adjoining ranges are flushed as one.
    pub(crate) fn flush<M: TableMemory + ?Sized>(self, mem: &mut M) -> Flushed {
        let mut run: Option<Pages> = None;
        for stale in self.frames.iter().flatten().map(|loose| loose.stale) {
            let joined = run.and_then(|run| run.joined(stale));
            if let (None, Some(done)) = (joined, run) {
                mem.flush(done.bytes());
            }
            run = joined.or(Some(stale));
        }
        if let Some(done) = run {
            mem.flush(done.bytes());
        }
        Flushed(self)
    }
}

impl Flushed {
    /// Gives the frames back, in the order in which they were unlinked.
    pub(crate) fn free<M: TableMemory + ?Sized>(self, mem: &mut M) {
        for loose in self.0.frames.into_iter().flatten() {
            match loose.what {
                What::Leaf(size, frame) => mem.free_leaf(frame, size),
                What::Table(frame) => mem.free_table(frame),
            }
        }
    }
}
