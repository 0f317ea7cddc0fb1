//! The machine around a model, as scenarios need it in addition to what the model needs.
//!
//! The host's simulated machine and a kernel on real hardware both implement [`World`]; scenarios use nothing else of
//! them.
//!
//! # Invariants
//!
//! 1. A world observes and obstructs; it never supports a model.

use alloc::string::String;

use sparsemem_core::{LeafSize, MetadataMemory, Origin, PagingDepth, PhysAddr, VirtAddr, VirtRange};

use crate::Spare;

/// Blocks that are allocated and not freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The number of blocks.
    pub blocks: u64,
    /// Their bytes, as they were requested.
    pub bytes: u64,
}

/// Outstanding metadata memory, by its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Memory from the boot allocator.
    pub boot: Held,
    /// Memory from the run-time allocator.
    pub runtime: Held,
    /// Memory from altmaps.
    pub altmap: Held,
}

impl Balance {
    /// Bytes of all of them.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.boot.bytes + self.runtime.bytes + self.altmap.bytes
    }

    /// The part with this origin.
    #[must_use]
    pub const fn of(&self, origin: Origin) -> Held {
        match origin {
            Origin::Boot => self.boot,
            Origin::Runtime => self.runtime,
            Origin::Altmap => self.altmap,
        }
    }
}

/// The requests that a world refuses from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th allocation from now, counted from 1; those before and after succeed.
    NthAllocation(u64),
    /// Every allocation after the first n.
    AllocationsAfter(u64),
    /// The n-th mapping from now, counted from 1.
    NthLink(u64),
}

/// A mapping in the page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// First virtual address.
    pub at: VirtAddr,
    /// The first physical address that it maps to.
    pub to: PhysAddr,
    /// Size.
    pub size: LeafSize,
}

impl Leaf {
    /// The first virtual address past the leaf.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.at.get() + self.size.bytes()
    }
}

/// The machine around a model.
pub trait World {
    /// The memory that is outstanding now.
    fn balance(&self) -> Balance;

    /// Refuses requests from now on; replaces an earlier fault.
    fn arm(&mut self, fault: Fault);

    /// Stops refusing, and returns the number of requests that were refused since [`World::arm`].
    fn heal(&mut self) -> u64;

    /// True if [`Fault::NthLink`] can be armed: hardware refuses no mapping, but an environment can.
    fn can_refuse_links(&self) -> bool;

    /// The largest mapping that models may use.
    fn largest_leaf(&self) -> LeafSize;

    /// A page table has 2 to this power bytes, and so has the smallest mapping: by default 4 KiB, as on most processors.
    fn table_shift(&self) -> u32 {
        12
    }

    /// Levels of the page tables.
    fn depth(&self) -> PagingDepth;

    /// The number of page tables below the top level that lead to the model's array and existed before it, because
    /// other mappings of the world lie nearby.
    fn shared_tables(&self) -> u64 {
        0
    }

    /// The mapping of an address, found by walking the page tables in software.
    fn leaf_at(&self, at: VirtAddr) -> Option<Leaf>;

    /// Calls `visit` for every mapping that has an address in `within`, lowest first. The world walks the page tables
    /// in software.
    fn leaves(&self, within: VirtRange, visit: &mut dyn FnMut(Leaf));

    /// True if the processor can read the byte at an address.
    fn is_readable(&self, at: VirtAddr) -> bool;

    /// Checks that the page tables agree with the mappings that the processor uses. Hardware uses the tables, so it
    /// returns `Ok`.
    ///
    /// # Errors
    ///
    /// The difference, in words.
    fn check(&self) -> Result<(), String>;

    /// A clock with any unit that does not run backwards.
    fn ticks(&self) -> u64;

    /// Ends boot: metadata comes from the run-time allocator from now on, if the world has one.
    fn end_boot(&mut self) {}

    /// A device to plug that begins on a section border, if the world has one.
    fn spare(&self) -> Option<Spare> {
        None
    }

    /// A number that changes when the free or the allocated memory changes, as far as the world can detect that.
    fn fingerprint(&self) -> u64 {
        let Balance { boot, runtime, altmap } = self.balance();
        let parts = [boot, runtime, altmap].map(|held| held.blocks.rotate_left(32) ^ held.bytes);
        parts.into_iter().fold(0, |print, part| print.rotate_left(21) ^ part)
    }
}

/// A world together with the environment that models take memory and mappings from.
pub trait WorldWithEnvironment: World {
    /// The environment of a model's slow operations.
    type Env: MetadataMemory;

    /// The environment, for reading.
    fn env(&self) -> &Self::Env;

    /// The environment, for allocating and freeing.
    fn env_mut(&mut self) -> &mut Self::Env;
}
