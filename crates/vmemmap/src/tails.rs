//! The pages that tails of folded compounds share: one for each order, node and content, from the first compound to the last.
//! Tails of memory that is added are blank; those of memory that was folded while it was up are as they were, for instance
//! with the number of their section in a stamp.
//!
//! Each has a record, in a block of its own, and the records are a list. A page never comes from an altmap: compounds of
//! other devices share it, and stay when the altmap's device goes.
//!
//! # Invariants
//!
//! 1. Only the writer of the model follows the list and changes it.
//! 2. The count in a record is the number of leaves that map its page. Page and record are given back when an operation
//!    ends and the count is zero, so no record without leaves outlives the operation that made it.

use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

use sparsemem_core::primitive::{AtomicPtr, Ordering};
use sparsemem_core::{
    CompoundOrder, LostBlocks, MetadataMemory, NodeId, Origin, OutOfMemory, PhysAddr, PhysMap,
};

use crate::bytes::Bytes;

/// The record of one shared page.
pub(crate) struct Tail {
    next: *mut Self,
    order: CompoundOrder,
    node: NodeId,
    page: PhysAddr,
    page_origin: Origin,
    origin: Origin,
    leaves: u64,
    content: Blank,
}

/// The content of a shared page: new compounds have tails of zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blank {
    Yes,
    No,
}

/// The list of all shared pages of an array.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Tails(AtomicPtr<Tail>);

/// The blocks of a page and its record.
const RECORD: Layout = Layout::new::<Tail>();

/// Bytes of a shared page and its record.
const fn bytes_with(page: Layout) -> u64 {
    // The cast widens.
    (page.size() + RECORD.size()) as u64
}

impl Tails {
    sparsemem_core::const_fn! {
        /// No shared page.
        pub(crate) const fn none() -> Self {
            Self(AtomicPtr::new(null_mut()))
        }
    }

    /// The page of an order and a node for blank tails, made with its record if there is none yet; and the bytes that were made.
    ///
    /// # Safety
    ///
    /// For the writer of the model. `page` is the layout of the format's smallest page at every call, and all
    /// environments reach each other's memory.
    pub(crate) unsafe fn take<E: MetadataMemory>(
        &self,
        env: &mut E,
        page: Layout,
        order: CompoundOrder,
        node: NodeId,
        lost: &mut LostBlocks,
    ) -> Result<(PhysAddr, u64), OutOfMemory> {
        // SAFETY: the caller is the writer.
        let found = unsafe {
            self.find(|tail| tail.order == order && tail.node == node && tail.content == Blank::Yes)
        };
        if let Some(tail) = found {
            return Ok((tail.page, 0));
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.create(env, page, (order, node), Blank::Yes, lost) }
    }

    /// The same for tails that are like the descriptor of `size` bytes at `like`.
    ///
    /// # Safety
    ///
    /// As [`Tails::take`], and the environment reaches the descriptor, to which nobody writes.
    pub(crate) unsafe fn take_like<E: MetadataMemory>(
        &self,
        env: &mut E,
        page: Layout,
        (order, node): (CompoundOrder, NodeId),
        (like, size): (PhysAddr, usize),
        lost: &mut LostBlocks,
    ) -> Result<(PhysAddr, u64), OutOfMemory> {
        let is_like = |tail: &Tail| {
            // SAFETY: a page of the list is written once, before it is shared.
            let shared = unsafe { Bytes::at(env, tail.page, size) };
            // SAFETY: the caller's promise.
            shared.first_difference(unsafe { Bytes::at(env, like, size) }).is_none()
        };
        // SAFETY: the caller is the writer.
        let found = unsafe { self.find(|tail| tail.order == order && tail.node == node && is_like(tail)) };
        if let Some(tail) = found {
            return Ok((tail.page, 0));
        }
        // SAFETY: as above.
        let content = if unsafe { Bytes::at(env, like, size) }.are_zero() { Blank::Yes } else { Blank::No };
        // SAFETY: the caller's promise is the same.
        let made = unsafe { self.create(env, page, (order, node), content, lost) }?;
        // SAFETY: the page was just made, and nobody has it yet.
        let shared = unsafe { Bytes::at(env, made.0, page.size()) };
        // SAFETY: as above.
        shared.repeat(unsafe { Bytes::at(env, like, size) });
        Ok(made)
    }

    /// Makes a page of zeros and its record.
    ///
    /// # Safety
    ///
    /// As [`Tails::take`].
    unsafe fn create<E: MetadataMemory>(
        &self,
        env: &mut E,
        page: Layout,
        (order, node): (CompoundOrder, NodeId),
        content: Blank,
        lost: &mut LostBlocks,
    ) -> Result<(PhysAddr, u64), OutOfMemory> {
        let block = env.alloc_zeroed(page, node)?;
        let record = match env.alloc_zeroed(RECORD, node) {
            Ok(record) => record,
            Err(error) => {
                if let Err(refused) = env.free(block) {
                    lost.note(refused.error);
                }
                return Err(error);
            }
        };
        let (at, page_origin, origin) = (block.phys(), block.origin(), record.origin());
        // Relaxed: only the writer reads and stores (invariant 1).
        let next = self.0.load(Ordering::Relaxed);
        let tail = record.start().cast::<Tail>();
        // SAFETY: the block is exclusively owned, and has the layout of a record.
        unsafe { tail.write(Tail { next, order, node, page: at, page_origin, origin, leaves: 0, content }) };
        // Relaxed: as above.
        self.0.store(tail.as_ptr(), Ordering::Relaxed);
        Ok((at, bytes_with(page)))
    }

    /// Counts leaves that were made and map `page`.
    ///
    /// # Safety
    ///
    /// For the writer of the model.
    pub(crate) unsafe fn add(&self, page: PhysAddr, leaves: u64) {
        // SAFETY: the caller is the writer.
        if let Some(tail) = unsafe { self.find(|tail| tail.page == page) } {
            tail.leaves += leaves;
        }
    }

    /// Counts a leaf that mapped `page` and is about to go.
    ///
    /// # Safety
    ///
    /// For the writer of the model.
    pub(crate) unsafe fn subtract(&self, page: PhysAddr) {
        // SAFETY: the caller is the writer.
        if let Some(tail) = unsafe { self.find(|tail| tail.page == page) } {
            tail.leaves = tail.leaves.saturating_sub(1);
        }
    }

    /// Gives the pages back that no leaf maps any more, with their records; returns the bytes of both.
    ///
    /// # Safety
    ///
    /// For the writer of the model. The leaves that were subtracted are unmapped and flushed, and `page` is as in
    /// [`Tails::take`].
    pub(crate) unsafe fn give_back<E: MetadataMemory>(
        &self,
        env: &mut E,
        page: Layout,
        lost: &mut LostBlocks,
    ) -> u64 {
        // Relaxed, here and below: only the writer reads and stores (invariant 1).
        let (mut rest, mut kept, mut gone) = (self.0.load(Ordering::Relaxed), null_mut(), 0);
        while let Some(tail) = NonNull::new(rest) {
            // SAFETY: records of the list are live, and only the writer uses them.
            let record = unsafe { &mut *tail.as_ptr() };
            rest = record.next;
            if record.leaves > 0 {
                record.next = kept;
                kept = tail.as_ptr();
                continue;
            }
            let (at, page_origin, origin) = (record.page, record.page_origin, record.origin);
            let start = PhysMap::phys_to_virt(env, at);
            // SAFETY: the page was allocated with this layout and origin, and nobody reaches it any more.
            unsafe { lost.give_back(env, start, page, page_origin) };
            // SAFETY: the record is a block of its own, and in no list any more.
            unsafe { lost.give_back(env, tail.cast(), RECORD, origin) };
            gone += bytes_with(page);
        }
        // Relaxed: as above.
        self.0.store(kept, Ordering::Relaxed);
        gone
    }

    /// The first record for which `is_wanted`.
    ///
    /// # Safety
    ///
    /// For the writer of the model, which has no other reference to a record.
    #[allow(clippy::mut_from_ref, reason = "the caller is the only one that uses records")]
    unsafe fn find(&self, mut is_wanted: impl FnMut(&Tail) -> bool) -> Option<&mut Tail> {
        // Relaxed: as above.
        let mut rest = self.0.load(Ordering::Relaxed);
        while let Some(tail) = NonNull::new(rest) {
            // SAFETY: records of the list are live, and only the writer uses them.
            let record = unsafe { &mut *tail.as_ptr() };
            if is_wanted(record) {
                return Some(record);
            }
            rest = record.next;
        }
        None
    }
}
