//! Any environment, with counts of what it has given, and with requests that it refuses on command: what a world needs of
//! the environment in it.
//!
//! # Invariants
//!
//! 1. Everything is the environment's own; some requests do not reach it.

#![allow(unsafe_code, reason = "the traits of an environment are unsafe")]

use core::alloc::Layout;

use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, LeafSize, LinkRefused, MetadataMemory, NodeId, Origin, OutOfMemory,
    PagingDepth, PhysAddr, PhysRange, Rejected, VirtAddr, VirtRange, forward_to_field,
};

use crate::{Balance, Fault, Held};

/// An environment `E` that counts outstanding memory and simulates shortages.
#[derive(Debug)]
pub struct Metered<E> {
    env: E,
    balance: Balance,
    fault: Option<Fault>,
    refused: u64,
}

/// A request of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// A block of memory.
    Block,
    /// A mapping.
    Link,
}

impl<E> Metered<E> {
    /// The environment, with nothing outstanding.
    #[must_use]
    pub fn new(env: E) -> Self {
        Self { env, balance: Balance::default(), fault: None, refused: 0 }
    }

    /// The environment.
    #[must_use]
    pub const fn inner(&self) -> &E {
        &self.env
    }

    /// The environment, for changes.
    ///
    /// # Safety
    ///
    /// It must not be exchanged for another one while blocks are out.
    #[must_use]
    pub const unsafe fn inner_mut(&mut self) -> &mut E {
        &mut self.env
    }

    /// Outstanding memory, by its origin: for [`World::balance`](crate::World::balance).
    #[must_use]
    pub const fn balance(&self) -> Balance {
        self.balance
    }

    /// Refuses requests from now on: for [`World::arm`](crate::World::arm).
    pub const fn arm(&mut self, fault: Fault) {
        self.fault = Some(fault);
        self.refused = 0;
    }

    /// Stops refusing, and returns the number of requests that were refused: for [`World::heal`](crate::World::heal).
    pub fn heal(&mut self) -> u64 {
        self.fault = None;
        core::mem::take(&mut self.refused)
    }

    /// True if the armed fault refuses this request.
    fn is_refused(&mut self, request: Request) -> bool {
        let is_met = match (&mut self.fault, request) {
            (Some(Fault::NthAllocation(left)), Request::Block)
            | (Some(Fault::NthLink(left)), Request::Link) => {
                *left = left.saturating_sub(1);
                let is_met = *left == 0;
                self.fault = self.fault.filter(|_| !is_met);
                is_met
            }
            (Some(Fault::AllocationsAfter(0)), Request::Block) => true,
            (Some(Fault::AllocationsAfter(left)), Request::Block) => {
                *left -= 1;
                false
            }
            _ => false,
        };
        self.refused += u64::from(is_met);
        is_met
    }

    /// Gets a block by one of the environment's methods, and counts it.
    fn take(
        &mut self,
        layout: Layout,
        node: NodeId,
        allocate: impl FnOnce(&mut E, Layout, NodeId) -> Result<Block, OutOfMemory>,
    ) -> Result<Block, OutOfMemory> {
        if self.is_refused(Request::Block) {
            return Err(OutOfMemory::new(layout, node));
        }
        let block = allocate(&mut self.env, layout, node)?;
        let held = self.held(block.origin());
        held.blocks += 1;
        held.bytes += layout.size() as u64;
        Ok(block)
    }

    fn held(&mut self, origin: Origin) -> &mut Held {
        match origin {
            Origin::Boot => &mut self.balance.boot,
            Origin::Runtime => &mut self.balance.runtime,
            Origin::Altmap => &mut self.balance.altmap,
        }
    }
}

// SAFETY: the environment stays in its place (`inner_mut`).
forward_to_field!(unsafe impl [E: sparsemem_core::PhysMap] PhysMap for Metered<E> => env);

// SAFETY: the blocks are the environment's; some requests are refused before they reach it.
unsafe impl<E: MetadataMemory> MetadataMemory for Metered<E> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.take(layout, node, E::alloc_zeroed)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.take(layout, node, E::alloc_memmap)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let (origin, bytes) = (block.origin(), block.layout().size() as u64);
        self.env.free(block)?;
        let held = self.held(origin);
        // An environment that takes blocks which it did not give would make these negative.
        held.blocks = held.blocks.saturating_sub(1);
        held.bytes = held.bytes.saturating_sub(bytes);
        Ok(())
    }

    fn has_altmap(&self, memory: PhysRange) -> bool {
        self.env.has_altmap(memory)
    }
}

// SAFETY: everything is the environment's; some mappings are refused before they reach it.
unsafe impl<E: AddressSpace> AddressSpace for Metered<E> {
    fn root(&self) -> PhysAddr {
        self.env.root()
    }

    fn depth(&self) -> PagingDepth {
        self.env.depth()
    }

    fn largest_leaf(&self) -> LeafSize {
        self.env.largest_leaf()
    }

    /// Hardware does not refuse mappings; this simulates a kernel that does.
    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        if self.is_refused(Request::Link) {
            return Err(LinkRefused { at });
        }
        self.env.linked(at, to, size)
    }

    fn root_changed(&mut self, at: VirtAddr) {
        self.env.root_changed(at);
    }

    fn published(&mut self, range: VirtRange) {
        self.env.published(range);
    }

    fn flush(&mut self, range: VirtRange) {
        self.env.flush(range);
    }
}
