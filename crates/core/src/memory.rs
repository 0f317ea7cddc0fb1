//! The source of metadata: blocks of memory that record their origin, and the environments that give and take them.
//!
//! # Invariants
//!
//! 1. A [`Block`] is owned: it cannot be copied, so it cannot be given back twice.
//! 2. A block is given back to an environment of its [`Origin`]; an environment refuses a block that is not its own.
//! 3. Environments are arguments of slow operations, never part of a model.

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use crate::{NodeId, PhysAddr, PhysRange};

/// The kind of memory that a block was allocated from.
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

    /// A number below four, so that two bits can hold an origin.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// The environment has no memory for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for {size} bytes of metadata, aligned to {align} bytes, near node {node}")]
pub struct OutOfMemory {
    /// Requested size, in bytes.
    pub size: usize,
    /// Requested alignment, in bytes.
    pub align: usize,
    /// Requested node.
    pub node: NodeId,
}

impl OutOfMemory {
    /// The error for a request.
    #[must_use]
    pub const fn new(layout: Layout, node: NodeId) -> Self {
        Self { size: layout.size(), align: layout.align(), node }
    }
}

/// A block was given back to an environment that did not allocate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the block of {size} bytes at {address:#x}, from {origin:?} memory, does not belong to this environment"
)]
pub struct ForeignBlock {
    /// Virtual address of the block.
    pub address: usize,
    /// Size of the block, in bytes.
    pub size: usize,
    /// The origin that the block records.
    pub origin: Origin,
}

impl ForeignBlock {
    /// The error for a block of these parts.
    #[must_use]
    pub fn new(start: NonNull<u8>, layout: Layout, origin: Origin) -> Self {
        Self { address: start.addr().get(), size: layout.size(), origin }
    }
}

/// A refusal that returns the refused value to the caller.
#[derive(Debug)]
#[must_use = "the refused value is still owned, and the caller has to keep it or give it to its owner"]
pub struct Rejected<E, T> {
    /// The reason of the refusal.
    pub error: E,
    /// The refused value.
    pub returned: T,
}

/// An owned piece of zeroed metadata memory.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a block that is dropped is lost to its environment"]
pub struct Block {
    start: NonNull<u8>,
    phys: PhysAddr,
    layout: Layout,
    origin: Origin,
}

impl Block {
    /// Makes a block from its parts: for environments, and for code that stored the parts of a block.
    ///
    /// # Safety
    ///
    /// `start` must point to `layout.size()` bytes aligned as `layout` says, exclusively owned by the caller, backed
    /// by physical memory at `phys`, and given by an environment from memory of kind `origin`; no other `Block` for
    /// them may exist.
    pub const unsafe fn from_parts(
        start: NonNull<u8>,
        phys: PhysAddr,
        layout: Layout,
        origin: Origin,
    ) -> Self {
        Self { start, phys, layout, origin }
    }

    /// Pointer to the block; valid for [`Block::layout`] bytes.
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

    /// The kind of memory that the block was allocated from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The error with which an environment refuses the block.
    #[must_use]
    pub fn foreign(&self) -> ForeignBlock {
        ForeignBlock::new(self.start, self.layout, self.origin)
    }
}

/// The kernel's map between physical and virtual addresses ("direct map").
///
/// # Safety
///
/// For memory that the environment gave out, [`PhysMap::phys_to_virt`] returns a pointer that may access all of the
/// block it lies in, and [`PhysMap::virt_to_phys`] is its inverse. Both are harmless for any other argument, and
/// neither unwinds.
pub unsafe trait PhysMap {
    /// Pointer to the byte at physical address `at`.
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8>;

    /// The physical address of a pointer into the direct map, or `None` if it does not point there.
    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr>;
}

/// A source of metadata memory: boot allocator, run-time allocator, altmap, or a router between them. The crate
/// `sparsemem-environments` has some ready-made.
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// use sparsemem_core::*;
///
/// /// The heap of a host, whose physical addresses are the virtual ones.
/// #[derive(Default)]
/// struct Host {
///     given: Vec<(NonNull<u8>, Layout)>,
/// }
///
/// // SAFETY: both are the same address.
/// unsafe impl PhysMap for Host {
///     fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
///         let at = core::ptr::with_exposed_provenance_mut(at.get() as usize);
///         NonNull::new(at).unwrap_or(NonNull::dangling())
///     }
///
///     fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
///         Some(PhysAddr::new(at.as_ptr().expose_provenance() as u64))
///     }
/// }
///
/// // SAFETY: (1) the heap gives each byte once, zeroed and aligned; (2) the list has what was given; (3) nothing unwinds.
/// unsafe impl MetadataMemory for Host {
///     fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
///         // SAFETY: no model asks for an empty block.
///         let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
///         let start = start.ok_or(OutOfMemory::new(layout, node))?;
///         self.given.push((start, layout));
///         let phys = PhysAddr::new(start.as_ptr().expose_provenance() as u64);
///         // SAFETY: the block is new, and nobody else has it.
///         Ok(unsafe { Block::from_parts(start, phys, layout, Origin::Runtime) })
///     }
///
///     fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
///         let known = self.given.iter().position(|given| *given == (block.start(), block.layout()));
///         let Some(known) = known else { return Err(Rejected { error: block.foreign(), returned: block }) };
///         self.given.swap_remove(known);
///         // SAFETY: it is from the heap, with this layout, and its owner gave it up.
///         unsafe { std::alloc::dealloc(block.start().as_ptr(), block.layout()) };
///         Ok(())
///     }
/// }
///
/// let (mut host, mut other) = (Host::default(), Host::default());
/// let block = host.alloc_zeroed(Layout::new::<[u64; 512]>(), NodeId::new(0))?;
/// let refused = other.free(block).unwrap_err();
/// assert!(refused.error.to_string().ends_with("does not belong to this environment"));
/// assert!(host.free(refused.returned).is_ok());
/// # Ok::<(), sparsemem_core::OutOfMemory>(())
/// ```
///
/// # Safety
///
/// 1. A block from [`MetadataMemory::alloc_zeroed`] or [`MetadataMemory::alloc_memmap`] has exactly the layout that was
///    asked for, is fresh, zeroed, aligned at its virtual and its physical address, exclusively owned by the caller,
///    reachable through the same environment's [`PhysMap`], and stays so until it is given back.
/// 2. [`MetadataMemory::free`] refuses every block that its environment did not give: `free` is safe to call, and a
///    model may be given different environments over time.
/// 3. No method unwinds.
pub unsafe trait MetadataMemory: PhysMap {
    /// Gives a zeroed block, on `node` if it can and elsewhere if it must.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if there is no memory for the block; nothing has changed then.
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory>;

    /// Gives a zeroed block for descriptors. The same as [`MetadataMemory::alloc_zeroed`], unless the environment sets
    /// memory aside for them: an altmap gives its device's own memory here, and nothing else.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] if there is no memory for the block; nothing has changed then.
    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.alloc_zeroed(layout, node)
    }

    /// Takes a block back.
    ///
    /// # Errors
    ///
    /// [`ForeignBlock`] with the block, if this environment did not give it.
    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>>;

    /// True if the environment has the altmap in which `memory` lies, so that [`MetadataMemory::free`] would take back a
    /// block of [`Origin::Altmap`] there.
    ///
    /// Models ask before they retire frames whose descriptors lie in an altmap, and refuse
    /// ([`RetireError::OtherAltmap`](crate::RetireError::OtherAltmap)) what would lose them. The default is for
    /// environments that give no such block. An environment that wraps another passes the question on.
    fn has_altmap(&self, memory: PhysRange) -> bool {
        let _ = memory;
        false
    }
}

/// A type whose new value is all zero bytes, so that a large one can be placed in zeroed memory without ever being
/// built on a stack.
///
/// # Safety
///
/// All-zero bytes must be a valid value of the type, equal to the one that its `new` makes.
pub unsafe trait ZeroIsNew {}

/// Blocks that an environment refused to take back. Their memory is lost, and the caller should report that.
///
/// Every operation that gives metadata back ends with one of these, in its result or in its error, so that no loss is
/// silent. A block is refused by an environment that did not give it: the usual cause is that memory is removed with
/// another environment than it was added with. (Another altmap is noticed before:
/// [`RetireError::OtherAltmap`](crate::RetireError::OtherAltmap).)
///
/// ```
/// use sparsemem_core::LostBlocks;
///
/// let none = LostBlocks::default();
/// assert!(none.is_empty());
/// assert_eq!(none.to_string(), "", "nothing was lost, so the text is empty");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "refused blocks are lost memory that the caller should report"]
pub struct LostBlocks {
    count: u64,
    first: Option<ForeignBlock>,
}

impl LostBlocks {
    /// The number of refused blocks.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The first refused block.
    #[must_use]
    pub const fn first(&self) -> Option<ForeignBlock> {
        self.first
    }

    /// True if no block was refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Counts a block.
    pub fn note(&mut self, block: ForeignBlock) {
        self.count += 1;
        self.first.get_or_insert(block);
    }

    /// Makes a block of its parts again and gives it back to its environment; counts it if that refuses.
    ///
    /// For models, which keep the address of a block and know its layout.
    ///
    /// # Safety
    ///
    /// `start`, `layout` and `origin` are those of a block that was taken apart and that no other code uses any more.
    pub unsafe fn give_back<E: MetadataMemory>(
        &mut self,
        env: &mut E,
        start: NonNull<u8>,
        layout: Layout,
        origin: Origin,
    ) {
        let Some(phys) = env.virt_to_phys(start) else {
            return self.note(ForeignBlock::new(start, layout, origin));
        };
        // SAFETY: the caller's promise, and `phys` is the address that the environment's own map has for `start`.
        let block = unsafe { Block::from_parts(start, phys, layout, origin) };
        if let Err(rejected) = env.free(block) {
            self.note(rejected.error);
        }
    }

    /// Counts the blocks of another operation.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.or(other.first);
    }
}

/// Empty if no block was lost; otherwise the end of a sentence about the operation.
impl fmt::Display for LostBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.first else { return Ok(()) };
        let Self { count, .. } = self;
        write!(f, "; {count} metadata blocks were refused and are lost, the first because {first}; ")?;
        f.write_str("give memory back through the environment that allocated it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;
    use std::string::ToString;

    #[test]
    fn the_first_of_all_is_kept() {
        let block = |address| ForeignBlock { address, size: 64, origin: Origin::Runtime };
        let (mut all, mut later) = (LostBlocks::default(), LostBlocks::default());
        all.add(later);
        assert!(all.is_empty() && all.first().is_none());
        later.note(block(0x2000));
        later.note(block(0x3000));
        all.add(later);
        all.note(block(0x1000));
        assert_eq!((all.count(), all.first()), (3, Some(block(0x2000))));
        assert!(!all.is_empty());
        assert!(all.to_string().starts_with("; 3 metadata blocks"), "{all}");
    }
}
