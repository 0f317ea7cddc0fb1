//! Where metadata comes from: blocks of memory that know their origin, and the providers that give and take them.
//!
//! # Invariants
//!
//! 1. A [`Block`] is owned: it cannot be copied, so it cannot be given back twice.
//! 2. A block goes back to the provider that its [`Origin`] names; a provider refuses a block that is not its own.
//! 3. Providers are arguments of slow operations, never part of a model.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::{NodeId, PhysAddr};

/// Which kind of provider a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Origin {
    /// The allocator that works before any other (Linux: memblock).
    Boot = 0,
    /// The kernel's page allocator.
    Runtime = 1,
    /// Device memory set aside for the device's own memmap.
    Altmap = 2,
}

impl Origin {
    /// The origin with this number, as [`Origin::code`] gave it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Boot),
            1 => Some(Self::Runtime),
            2 => Some(Self::Altmap),
            _ => None,
        }
    }

    /// A number below four, for the places that have two bits to remember an origin.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// No memory for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {size} bytes (aligned to {align}) for metadata near node {node}")]
pub struct OutOfMemory {
    /// Bytes that were asked for.
    pub size: usize,
    /// Alignment that was asked for.
    pub align: usize,
    /// Node that was asked for.
    pub node: NodeId,
}

impl OutOfMemory {
    /// The error for a request.
    #[must_use]
    pub const fn new(layout: Layout, node: NodeId) -> Self {
        Self { size: layout.size(), align: layout.align(), node }
    }
}

/// A block was offered to a provider that did not give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size} bytes reached at {address:#x}, from {origin:?} memory, are not this provider's")]
pub struct ForeignBlock {
    /// Where the block is reached, as a number.
    pub address: usize,
    /// Bytes of the block.
    pub size: usize,
    /// Where the block says it came from.
    pub origin: Origin,
}

impl ForeignBlock {
    /// The error for a block of these parts.
    #[must_use]
    pub fn new(start: NonNull<u8>, layout: Layout, origin: Origin) -> Self {
        Self { address: start.addr().get(), size: layout.size(), origin }
    }
}

/// A refusal that gives back what was offered.
#[derive(Debug)]
#[must_use = "the refused value is still owned and has to go somewhere"]
pub struct Rejected<E, T> {
    /// Why it was refused.
    pub error: E,
    /// What was offered.
    pub returned: T,
}

/// An owned piece of zeroed metadata memory.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a block that is dropped is lost to its provider"]
pub struct Block {
    start: NonNull<u8>,
    phys: PhysAddr,
    layout: Layout,
    origin: Origin,
}

impl Block {
    /// Makes a block from its parts: for providers, and for taking a block back from where it was written down.
    ///
    /// # Safety
    ///
    /// `start` must point to `layout.size()` bytes aligned as `layout` says, exclusively owned by the caller, backed
    /// by physical memory at `phys`, and given by a provider of kind `origin`; no other `Block` for them may exist.
    pub const unsafe fn from_parts(
        start: NonNull<u8>,
        phys: PhysAddr,
        layout: Layout,
        origin: Origin,
    ) -> Self {
        Self { start, phys, layout, origin }
    }

    /// Where the block can be reached; valid for [`Block::layout`] bytes.
    #[must_use]
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The block's first physical address.
    #[must_use]
    pub const fn phys(&self) -> PhysAddr {
        self.phys
    }

    /// Size and alignment.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Which kind of provider it goes back to.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The error that a provider refuses the block with.
    #[must_use]
    pub fn foreign(&self) -> ForeignBlock {
        ForeignBlock::new(self.start, self.layout, self.origin)
    }
}

/// The kernel's map between physical and virtual addresses ("direct map").
///
/// # Safety
///
/// For memory that the provider gave out, [`PhysMap::phys_to_virt`] returns a pointer that may access all of the
/// block it lies in, and [`PhysMap::virt_to_phys`] is its inverse. Both are harmless for any other argument, and neither
/// unwinds.
pub unsafe trait PhysMap {
    /// Where the byte at `at` can be reached.
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8>;

    /// The physical address behind a pointer of the direct map, or `None` if it is not of the direct map.
    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr>;
}

/// A source of metadata memory: boot allocator, run-time allocator, altmap, or a router between them.
///
/// # Safety
///
/// 1. A block from [`MetadataMemory::alloc_zeroed`] or [`MetadataMemory::alloc_memmap`] has exactly the layout that was
///    asked for, is fresh, zeroed, aligned at its virtual and its physical address, exclusively owned by the caller,
///    reachable through the same provider's [`PhysMap`], and stays so until it is given back.
/// 2. [`MetadataMemory::free`] refuses every block that it did not give: `free` is safe to call, and a model may be
///    given different environments over time.
/// 3. No method unwinds.
pub unsafe trait MetadataMemory: PhysMap {
    /// Gives a zeroed block, on `node` if it can and elsewhere if it must.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if no block can be had; nothing has changed then.
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory>;

    /// Gives a zeroed block for descriptors. The same as [`MetadataMemory::alloc_zeroed`], unless the provider sets
    /// memory aside for them: an altmap gives its device's own memory here, and nothing else.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if no block can be had; nothing has changed then.
    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.alloc_zeroed(layout, node)
    }

    /// Takes a block back.
    ///
    /// # Errors
    ///
    /// [`ForeignBlock`] with the block, if this provider did not give it.
    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>>;
}

/// A type whose fresh value is all zero bytes, so that a large one can be placed in zeroed memory without ever being
/// built on a stack.
///
/// # Safety
///
/// All-zero bytes must be a valid value of the type, equal to what its `new` makes.
pub unsafe trait ZeroIsNew {}
