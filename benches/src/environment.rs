//! The memory that measured models live in: plain memory of the host, whose page size is chosen.
//!
//! It is simpler than the simulated machine on purpose: giving a block costs a few instructions, so that a model's own
//! cost shows, and nothing depends on system calls.
//!
//! # Invariants
//!
//! 1. A block is cut from the front of what was never given, or is a returned block of the same layout, zeroed again.
//! 2. Physical address `n` is reached at the start of the mapping plus `n`; zero is never given.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};
use sparsemem_core::{
    AddressSpace, Block, ForeignBlock, MetadataMemory, NodeId, Origin, OutOfMemory, PagingDepth, PhysAddr,
    PhysMap, Rejected, VirtRange,
};

/// The size of the host's pages that back some memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// 4 KiB.
    Base,
    /// 2 MiB, as the direct map and the virtual memmap of a kernel have.
    Huge,
}

/// Bytes of a page.
const PAGE: usize = 4 << 10;
/// Bytes of a large page.
const LARGE: usize = 2 << 20;
/// Blocks from this size on are memmaps and lie apart from the small ones. Units: bytes.
const LARGE_BLOCK: usize = 64 << 10;

/// Reserved memory of this process.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: it owns its memory, which is reached from any thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Zeroed memory that costs nothing until it is touched, at an address of the host's choice.
    ///
    /// # Panics
    ///
    /// If the host has no such addresses.
    #[must_use]
    pub fn new(len_bytes: usize, pages: Pages) -> Self {
        let len = (len_bytes + LARGE).next_multiple_of(LARGE);
        Self::map(std::ptr::null_mut(), len, pages, MapFlags::empty())
    }

    /// The same at a place of our choice, where nothing may be mapped.
    ///
    /// # Panics
    ///
    /// If something is mapped there.
    #[must_use]
    pub fn at(start: u64, len_bytes: usize, pages: Pages) -> Self {
        let start = std::ptr::with_exposed_provenance_mut(usize::try_from(start).expect("a 64-bit host"));
        Self::map(start, len_bytes.next_multiple_of(LARGE), pages, MapFlags::FIXED_NOREPLACE)
    }

    fn map(at: *mut std::ffi::c_void, len_bytes: usize, pages: Pages, more: MapFlags) -> Self {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | more;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping, which replaces no other: it is at a free place, or `FIXED_NOREPLACE` is set.
        let start = unsafe { rustix::mm::mmap_anonymous(at, len_bytes, access, flags) };
        let start = NonNull::new(start.expect("the host has the addresses").cast());
        let mapping = Self { start: start.expect("no mapping at null"), len_bytes };
        mapping.advise(mapping.start, len_bytes, pages);
        mapping
    }

    /// Says which pages are to back a part of it.
    fn advise(&self, from: NonNull<u8>, len_bytes: usize, pages: Pages) {
        let advice = match pages {
            Pages::Base => Advice::LinuxNoHugepage,
            Pages::Huge => Advice::LinuxHugepage,
        };
        // SAFETY: advice about a mapping of our own changes no contents. A host without large pages refuses it.
        let _ = unsafe { rustix::mm::madvise(from.as_ptr().cast(), len_bytes, advice) };
    }

    /// The first address on a 2 MiB border.
    #[must_use]
    pub fn aligned(&self) -> NonNull<u8> {
        let skipped = self.start.addr().get().next_multiple_of(LARGE) - self.start.addr().get();
        // SAFETY: a mapping that is not at a chosen, aligned place has a large page more than was asked for.
        unsafe { self.start.add(skipped) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: owners of pointers into it own the mapping as well, so nobody uses it any more.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len_bytes) };
    }
}

/// The free rest of one half of the memory.
#[derive(Clone, Copy, Debug)]
struct Rest {
    next: usize,
    end: usize,
}

/// Memory, direct map and page tables for one model.
#[derive(Debug)]
pub struct Environment {
    mapping: Mapping,
    small: Rest,
    large: Rest,
    returned: BTreeMap<(usize, usize), Vec<usize>>,
    origin: Origin,
    root: usize,
}

impl Environment {
    /// Memory for metadata: `small_bytes` for usages, roots and page tables, which lie on large pages as a kernel's direct
    /// map does, and `large_bytes` for memmaps, which lie on `memmaps`.
    #[must_use]
    pub fn new(small_bytes: usize, large_bytes: usize, memmaps: Pages) -> Self {
        let small = small_bytes.next_multiple_of(LARGE) + LARGE;
        let end = small + large_bytes.next_multiple_of(LARGE);
        let mapping = Mapping::new(end, memmaps);
        mapping.advise(mapping.aligned(), small, Pages::Huge);
        let root = PAGE;
        let small = Rest { next: root + PAGE, end: small };
        let large = Rest { next: small.end, end };
        Self { mapping, small, large, returned: BTreeMap::new(), origin: Origin::Boot, root }
    }

    /// From now on blocks are of the run-time allocator.
    pub fn finish_boot(&mut self) {
        self.origin = Origin::Runtime;
    }

    /// Begins anew, as if nothing had ever been given out: what was used of the small half is set to zero again.
    ///
    /// # Safety
    ///
    /// Nothing of the memory is used any more, and descriptors in it were not written.
    pub unsafe fn rewind(&mut self) {
        let used = self.small.next - self.root;
        // SAFETY: the caller promises that nobody uses it.
        unsafe { self.at(self.root).write_bytes(0, used) };
        self.small.next = self.root + PAGE;
        self.large.next = self.small.end;
        self.returned.clear();
        self.origin = Origin::Boot;
    }

    /// The pointer that reaches a physical address of this memory.
    fn at(&self, phys: usize) -> NonNull<u8> {
        // SAFETY: only addresses below the end of the large half are asked for, and the mapping reaches that far.
        unsafe { self.mapping.aligned().add(phys.min(self.large.end)) }
    }

    /// Takes fresh memory.
    fn cut(&mut self, layout: Layout) -> Option<usize> {
        let rest = if layout.size() >= LARGE_BLOCK { &mut self.large } else { &mut self.small };
        let start = rest.next.next_multiple_of(layout.align());
        let next = start.checked_add(layout.size()).filter(|next| *next <= rest.end)?;
        rest.next = next;
        Some(start)
    }

    /// Takes a block that came back, and zeroes it.
    fn reuse(&mut self, layout: Layout) -> Option<usize> {
        let start = self.returned.get_mut(&(layout.size(), layout.align()))?.pop()?;
        // SAFETY: the block came back and was not given since, so it is exclusively ours.
        unsafe { self.at(start).write_bytes(0, layout.size()) };
        Some(start)
    }
}

// SAFETY: one mapping, which stays for as long as the value lives; what is out of it is clamped to its end.
unsafe impl PhysMap for Environment {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        self.at(usize::try_from(at.get()).unwrap_or(usize::MAX))
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        let offset = at.addr().get().checked_sub(self.mapping.aligned().addr().get())?;
        (offset < self.large.end).then(|| PhysAddr::new(offset as u64))
    }
}

// SAFETY: invariant 1; fresh memory of the host is zero. A block whose address lies in the mapping was given by this
// value, for nobody else can own memory of it.
unsafe impl MetadataMemory for Environment {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let start = self.reuse(layout).or_else(|| self.cut(layout)).ok_or(OutOfMemory::new(layout, node))?;
        // SAFETY: the memory is fresh or came back, is aligned, and is given to nobody else.
        Ok(unsafe { Block::from_parts(self.at(start), PhysAddr::new(start as u64), layout, self.origin) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        match self.virt_to_phys(block.start()) {
            Some(phys) if phys == block.phys() => {
                let layout = block.layout();
                let start = usize::try_from(phys.get()).unwrap_or(usize::MAX);
                self.returned.entry((layout.size(), layout.align())).or_default().push(start);
                Ok(())
            }
            _ => Err(Rejected { error: block.foreign(), returned: block }),
        }
    }
}

// SAFETY: the root is a zeroed page of its own that no block overlaps. No processor uses these tables: the virtual array
// of a measured model is mapped as a whole from the start, so there is nothing to enter and nothing to forget.
unsafe impl AddressSpace for Environment {
    fn root(&self) -> PhysAddr {
        PhysAddr::new(self.root as u64)
    }

    fn depth(&self) -> PagingDepth {
        PagingDepth::Four
    }

    fn flush(&mut self, _range: VirtRange) {}
}
