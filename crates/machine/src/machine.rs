//! The machine: its parts, and its methods for tests.
//!
//! # Invariants
//!
//! 1. The root table lies in its own frame past all memory, where neither an allocator nor a hole is.
//! 2. Mappings are removed with the machine only when no block is allocated and no leaf is mirrored.

use std::fmt;
use std::ptr::NonNull;

use sparsemem_core::{
    ByteLen, LeafSize, NodeId, Origin, PagingDepth, PhysAddr, PhysRange, VirtAddr, VirtRange,
};

use crate::alloc::Allocator;
use crate::cache::TableCache;
use crate::config::{FRAME, PhysLayout};
use crate::mirror::Mirror;
use crate::ram::Ram;
use crate::walker::Walker;
use crate::window::Window;
use crate::{Balance, Faults, Leaf, MachineConfig, MachineError, Mismatch, Processor, StateDigest};

/// A simulated machine.
///
/// Dropping it gives everything back to the host, unless blocks are allocated or leaves are mapped: pointers into
/// them may be in use, so the addresses then stay mapped until the process ends. Tear models down first, or use
/// [`Machine::demolish`].
///
/// A process has 128 TiB of addresses, so one machine of 64 TiB fits at a time. Tests that make such machines must
/// run one after the other, or in separate processes.
pub struct Machine {
    pub(crate) ram: Ram,
    pub(crate) window: Window,
    pub(crate) mirror: Mirror,
    pub(crate) alloc: Allocator,
    pub(crate) faults: Faults,
    pub(crate) layout: PhysLayout,
    pub(crate) root: PhysAddr,
    pub(crate) processor: Processor,
    pub(crate) depth: PagingDepth,
    /// The tables that the processor may remember.
    pub(crate) cache: TableCache,
    /// The first breach of the processor's rules.
    pub(crate) breach: Option<Mismatch>,
    pub(crate) largest_leaf: LeafSize,
}

impl Machine {
    /// Makes a machine with zeroed memory, empty page tables and the boot allocator in use.
    ///
    /// A machine may have no memory; then nothing can be allocated on it.
    ///
    /// # Errors
    ///
    /// [`MachineError`] if ranges overlap, if memory or window do not fit the host's address space, or if the host
    /// refuses.
    pub fn new(config: &MachineConfig) -> Result<Self, MachineError> {
        let layout = PhysLayout::new(config)?;
        // The root must not lie at address zero, even without memory, because zero means that there is no root.
        let page = config.processor.page_bytes();
        let root = PhysAddr::new(layout.end().get().max(FRAME).next_multiple_of(page));
        let ram = Ram::new(root.saturating_add(ByteLen::new(page)))?;
        let window = Window::new(config.vmemmap_bytes, config.processor.low_end(config.depth))?;
        let alloc = Allocator::new(layout.managed(), PhysAddr::new(config.reserved_low_bytes));
        Ok(Self {
            ram,
            window,
            mirror: Mirror::default(),
            alloc,
            faults: Faults::new(),
            layout,
            root,
            processor: config.processor,
            depth: config.depth,
            cache: TableCache::default(),
            breach: None,
            largest_leaf: config.largest_leaf,
        })
    }

    /// Ends boot: from now on blocks come from the run-time allocator. Calling it again changes nothing.
    pub fn finish_boot(&mut self) {
        self.alloc.finish_boot();
    }

    /// The failures that the machine simulates.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Gives everything back to the host, also if blocks are allocated or leaves are mapped.
    ///
    /// # Safety
    ///
    /// Nothing that this machine gave out is used any more: no block, no leaf, no pointer of the direct map.
    pub unsafe fn demolish(mut self) {
        // Without a mirrored leaf, dropping unmaps everything.
        self.mirror = Mirror::default();
        self.alloc = Allocator::new(&[], PhysAddr::new(0));
    }

    /// The origin of new blocks: boot, or run time after [`Machine::finish_boot`].
    #[must_use]
    pub const fn phase(&self) -> Origin {
        self.alloc.phase()
    }

    /// The memory, in whole frames, with the node of each range, lowest first.
    #[must_use]
    pub fn memory(&self) -> &[(PhysRange, NodeId)] {
        self.layout.managed()
    }

    /// True if every byte of `range` is memory, of a node or unmanaged; holes are not.
    #[must_use]
    pub fn exists(&self, range: PhysRange) -> bool {
        self.layout.exists(range)
    }

    /// The virtual addresses that are reserved for a virtual memmap.
    #[must_use]
    pub const fn window(&self) -> VirtRange {
        self.window.range()
    }

    /// The first address of the window, with provenance over all of it; dangling if there is no window.
    #[must_use]
    pub fn window_ptr(&self) -> NonNull<u8> {
        self.window.start()
    }

    /// The allocated blocks. The root table belongs to the machine and is not counted.
    #[must_use]
    pub fn balance(&self) -> Balance {
        self.alloc.balance().clone()
    }

    /// The number of blocks that were ever allocated.
    #[must_use]
    pub const fn allocations(&self) -> u64 {
        self.alloc.given()
    }

    /// A fingerprint of all free and all allocated memory.
    ///
    /// # Cost
    ///
    /// Proportional to the number of free ranges and of allocated blocks.
    #[must_use]
    pub fn state_digest(&self) -> StateDigest {
        self.alloc.digest()
    }

    /// Every allocated block, lowest first.
    pub fn outstanding(&self) -> impl Iterator<Item = (PhysRange, Origin)> {
        self.alloc.outstanding()
    }

    /// Gives freed memory back to the host now. Otherwise that happens when it is allocated again, or when there is
    /// much of it.
    pub fn trim(&mut self) {
        let Self { alloc, ram, .. } = self;
        // SAFETY: the allocator clears only memory that is free.
        alloc.trim(|range| unsafe { ram.clear(range) });
    }

    /// Bytes of physical memory for which the host has provided memory, because it was accessed.
    #[must_use]
    pub fn backed_bytes(&self) -> u64 {
        self.ram.backed_bytes()
    }

    /// Every leaf that is mapped in the window, lowest first.
    pub fn mirrored(&self) -> impl Iterator<Item = Leaf> {
        self.mirror.leaves()
    }

    /// The mapping that the page tables have for `at`, read by a walker that shares no code with the one under test.
    /// Addresses that no process of the host has are never mapped.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] if the tables that lead to `at` are not well formed.
    pub fn translate(&self, at: VirtAddr) -> Result<Option<Leaf>, Mismatch> {
        self.walker().leaf_at(at)
    }

    /// Compares the page tables with the host's mappings, over the whole window.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] with the first breach of the processor's rules since the machine was made, with the first
    /// difference, or with an error in the tables themselves.
    pub fn mirror_matches_tables(&self) -> Result<(), Mismatch> {
        self.breach.map_or(Ok(()), Err)?;
        self.mirror.compare(self.walker(), self.window.range())
    }

    /// The processor.
    #[must_use]
    pub const fn processor(&self) -> Processor {
        self.processor
    }

    /// Remembers a breach, if it is the first.
    pub(crate) fn note(&mut self, breach: Option<Mismatch>) {
        self.breach = self.breach.or(breach);
    }

    /// The walker over the live page tables.
    pub(crate) const fn walker(&self) -> Walker<'_> {
        Walker { ram: &self.ram, processor: self.processor, root: self.root, depth: self.depth }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !self.alloc.balance().is_zero() || !self.mirror.is_empty() {
            self.ram.keep_mapped();
            self.window.keep_mapped();
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("memory", &self.memory())
            .field("window", &self.window())
            .field("phase", &self.phase())
            .field("balance", self.alloc.balance())
            .finish_non_exhaustive()
    }
}
