//! The allocators: a boot-time and a run-time one, which share the machine's memory.
//!
//! Only one of them allocates at a time, so they need no borders between them: a block records its allocator, and its
//! bytes return to the common pool. Large blocks grow upwards from the bottom of a node and small ones downwards from
//! its top, so that the mappings of a virtual memmap stay contiguous in memory and the host can merge them.
//!
//! # Invariants
//!
//! 1. A byte of a node is either free or in exactly one live block.
//! 2. Free bytes are zero or in `dirty`. Bytes of a block were removed from `dirty` and cleared before the block was
//!    allocated.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use sparsemem_core::{ByteLen, NodeId, Origin, PhysAddr, PhysRange};

use crate::balance::{Balance, StateDigest};
use crate::dirty::Dirty;
use crate::extents::{End, Extents};

/// Requests of at least this many bytes are served from the bottom.
const LARGE: u64 = 64 << 10;
/// Every block takes a multiple of this many bytes, at a multiple of it.
const GRANULE: u64 = 16;

/// The free and the allocated memory.
#[derive(Debug)]
pub(crate) struct Allocator {
    phase: Origin,
    free: BTreeMap<NodeId, Extents>,
    live: BTreeMap<PhysAddr, Live>,
    balance: Balance,
    given: u64,
    dirty: Dirty,
}

/// An allocated block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Live {
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
    node: NodeId,
}

/// The bytes that a block of `layout` takes.
fn taken_bytes(layout: Layout) -> Option<u64> {
    (layout.size().max(1) as u64).checked_next_multiple_of(GRANULE)
}

/// The bytes that a block at `start` takes.
fn taken(start: PhysAddr, layout: Layout) -> PhysRange {
    let bytes = ByteLen::new(taken_bytes(layout).unwrap_or(0));
    PhysRange::from_start_count(start, bytes).unwrap_or_default()
}

impl Allocator {
    /// An allocator whose memory is free, except the memory below `lowest`.
    pub(crate) fn new(memory: &[(PhysRange, NodeId)], lowest: PhysAddr) -> Self {
        let mut free = BTreeMap::<NodeId, Extents>::new();
        for (range, node) in memory {
            let start = range.start().max(lowest).min(range.end());
            let usable = PhysRange::new(start, range.end()).unwrap_or_default();
            free.entry(*node).or_default().insert(usable);
        }
        let balance = Balance::of_nodes(free.keys().copied());
        Self { phase: Origin::Boot, free, live: BTreeMap::new(), balance, given: 0, dirty: Dirty::default() }
    }

    /// The allocator that serves requests now.
    pub(crate) const fn phase(&self) -> Origin {
        self.phase
    }

    /// Makes the run-time allocator serve requests from now on.
    pub(crate) fn finish_boot(&mut self) {
        self.phase = Origin::Runtime;
    }

    /// Allocates memory on `node`, or else on the lowest other node that has enough; no node gives more than `limit`
    /// bytes. `clear` makes bytes zero.
    pub(crate) fn take(
        &mut self,
        layout: Layout,
        node: NodeId,
        limit: impl Fn(NodeId) -> u64,
        clear: impl FnMut(PhysRange),
    ) -> Option<PhysAddr> {
        let (node, range) = self.take_on(layout, node, &limit).or_else(|| {
            let others: Vec<_> = self.free.keys().copied().filter(|other| *other != node).collect();
            others.into_iter().find_map(|other| self.take_on(layout, other, &limit))
        })?;
        self.dirty.claim(range).into_iter().for_each(clear);
        self.live.insert(range.start(), Live { layout, origin: self.phase, node });
        self.balance.gave(self.phase, node, layout.size() as u64);
        self.given += 1;
        Some(range.start())
    }

    /// The allocated block that begins at `start`, if there is one.
    pub(crate) fn live_at(&self, start: PhysAddr) -> Option<Live> {
        self.live.get(&start).copied()
    }

    /// Frees the block at `start`; `clear` makes bytes zero.
    pub(crate) fn give_back(&mut self, start: PhysAddr, clear: impl FnMut(PhysRange)) {
        let Some(live) = self.live.remove(&start) else { return };
        let range = taken(start, live.layout);
        self.dirty.insert(range);
        self.dirty.claim_excess().into_iter().for_each(clear);
        self.free.entry(live.node).or_default().insert(range);
        self.balance.took(live.origin, live.node, live.layout.size() as u64);
    }

    /// Clears all free memory; `clear` makes bytes zero.
    pub(crate) fn trim(&mut self, clear: impl FnMut(PhysRange)) {
        self.dirty.claim_all().into_iter().for_each(clear);
    }

    /// The allocated blocks, as counts.
    pub(crate) const fn balance(&self) -> &Balance {
        &self.balance
    }

    /// The number of blocks that were ever allocated.
    pub(crate) const fn given(&self) -> u64 {
        self.given
    }

    /// Every allocated block, lowest first.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = (PhysRange, Origin)> {
        self.live.iter().map(|(start, live)| {
            let size = ByteLen::new(live.layout.size() as u64);
            (PhysRange::from_start_count(*start, size).unwrap_or_default(), live.origin)
        })
    }

    /// A fingerprint of free and allocated memory.
    pub(crate) fn digest(&self) -> StateDigest {
        let mut hasher = DefaultHasher::new();
        for (node, extents) in &self.free {
            node.hash(&mut hasher);
            extents.iter().for_each(|extent| extent.hash(&mut hasher));
        }
        self.live.hash(&mut hasher);
        StateDigest(hasher.finish())
    }

    /// Allocates memory of one node, if the node has enough within its limit.
    fn take_on(
        &mut self,
        layout: Layout,
        node: NodeId,
        limit: impl Fn(NodeId) -> u64,
    ) -> Option<(NodeId, PhysRange)> {
        let given = self.balance.on(node).bytes;
        if given.saturating_add(layout.size() as u64) > limit(node) {
            return None;
        }
        let bytes = taken_bytes(layout)?;
        let align = (layout.align() as u64).max(GRANULE);
        let end = if layout.size() as u64 >= LARGE { End::Bottom } else { End::Top };
        let range = self.free.get_mut(&node)?.take(bytes, align, end)?;
        Some((node, range))
    }
}
