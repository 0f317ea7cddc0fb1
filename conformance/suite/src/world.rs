//! What scenarios need from the machine around a model, besides what the model needs.
//!
//! The host's simulated machine and a kernel on real hardware both implement [`World`]; scenarios see nothing else.
//!
//! # Invariants
//!
//! 1. A world observes and obstructs; it never helps a model along.

use alloc::string::String;

use sparsemem_core::{LeafSize, MetadataMemory, Origin, PagingDepth, PhysAddr, VirtAddr, VirtRange};

use crate::Spare;

/// Blocks that were given out and not given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many.
    pub blocks: u64,
    /// Their bytes, as they were asked for.
    pub bytes: u64,
}

/// Outstanding metadata memory, by where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// From the boot allocator.
    pub boot: Held,
    /// From the run-time allocator.
    pub runtime: Held,
    /// From altmaps.
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

/// What a world refuses from now on.
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
    /// First physical address behind it.
    pub to: PhysAddr,
    /// Size.
    pub size: LeafSize,
}

impl Leaf {
    /// First virtual address behind it.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.at.get() + self.size.bytes()
    }
}

/// The machine around a model, as scenarios see it.
pub trait World {
    /// What is outstanding now.
    fn balance(&self) -> Balance;

    /// Refuses something from now on; replaces what was armed before.
    fn arm(&mut self, fault: Fault);

    /// Refuses nothing any more, and says how many requests were refused since [`World::arm`].
    fn heal(&mut self) -> u64;

    /// Whether [`Fault::NthLink`] can be armed: hardware refuses no mapping, but an environment in front of it can.
    fn can_refuse_links(&self) -> bool;

    /// The largest mapping that models are asked to use.
    fn largest_leaf(&self) -> LeafSize;

    /// Levels of the page tables.
    fn depth(&self) -> PagingDepth;

    /// Page tables below the top that lead to the model's array and were there before it, because something else of the
    /// world has addresses in the same place.
    fn shared_tables(&self) -> u64 {
        0
    }

    /// The mapping of an address, by walking the page tables as software.
    fn leaf_at(&self, at: VirtAddr) -> Option<Leaf>;

    /// Every mapping that has an address in `within`, lowest first, by walking the page tables as software.
    fn leaves(&self, within: VirtRange, visit: &mut dyn FnMut(Leaf));

    /// Whether the processor can read a byte here.
    fn is_readable(&self, at: VirtAddr) -> bool;

    /// Whether the page tables and what the processor really maps are the same; hardware uses its tables, so `Ok`.
    ///
    /// # Errors
    ///
    /// What differs, in words.
    fn check(&self) -> Result<(), String>;

    /// A clock of any unit that does not run backwards.
    fn ticks(&self) -> u64;

    /// Boot is over: metadata comes from the run-time allocator from now on, where that is another one.
    fn end_boot(&mut self) {}

    /// A device to plug, beginning on a section border, if there is one.
    fn spare(&self) -> Option<Spare> {
        None
    }

    /// A number that is the same exactly when what is free and what is given out is the same, as well as the world can
    /// tell.
    fn fingerprint(&self) -> u64 {
        let Balance { boot, runtime, altmap } = self.balance();
        let parts = [boot, runtime, altmap].map(|held| held.blocks.rotate_left(32) ^ held.bytes);
        parts.into_iter().fold(0, |print, part| print.rotate_left(21) ^ part)
    }
}

/// A world together with the environment that models take memory and mappings from.
pub trait Surroundings: World {
    /// What a model's slow operations are given.
    type Env: MetadataMemory;

    /// The environment.
    fn env(&self) -> &Self::Env;

    /// The environment, to take from and give back to.
    fn env_mut(&mut self) -> &mut Self::Env;
}
