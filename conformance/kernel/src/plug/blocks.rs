//! Blocks that the provider of metadata did not give.

use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem::{
    Block, MemoryModel, MetadataMemory, NodeId, Origin, Pfn, PfnRange, PhysAddr, PhysMap, Rejected,
    SectionShape,
};
use sparsemem_suite::Complete;

use super::trouble::{holds, same};
use super::{Kernel, Site, Told, Trouble};
use crate::say;

/// Blocks of one frame that are asked for until two lie side by side.
const MOST: usize = 256;

/// The provider takes back exactly what it gave: no part of a block, no two blocks as one, no frame that was taken for
/// something else.
pub(super) fn foreign<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let page = usize::try_from(M::Geometry::PAGE_SIZE)?;
    let [one, two] = [1, 2].map(|pages| Layout::from_size_align(pages * page, page));
    let (one, two) = (one?, two?);
    parts_of_one(site.kernel.env_mut(), two, one)?;
    two_as_one(site.kernel.env_mut(), one, two)?;
    let all = PfnRange::new(Pfn::new(0), Pfn::new(M::Geometry::MAX_PFN)).unwrap_or_default();
    let frame = site.kernel.take_frame(all).ok_or_else(|| Trouble::new(format_args!("no frame is free")))?;
    let phys = frame.phys::<M::Geometry>().unwrap_or_default();
    let taken = Apart { start: site.kernel.env().phys_to_virt(phys), phys };
    // SAFETY: the page allocator gave the frame to this function alone, and the direct map reaches it.
    refused(site.kernel.env_mut(), "a frame that is no metadata", unsafe { taken.block(0, one) })?;
    site.kernel.put_frame(frame);
    Ok(Told::Well)
}

/// Neither half of a block goes back, and then all of it does.
fn parts_of_one(env: &mut impl MetadataMemory, whole: Layout, half: Layout) -> Result<(), Trouble> {
    let block = Apart::from(env.alloc_zeroed(whole, NodeId::new(0))?);
    for offset in [0, half.size()] {
        // SAFETY: the block was taken apart, and one piece of it at a time is made a block again.
        refused(env, "half a block", unsafe { block.block(offset, half) })?;
    }
    // SAFETY: as above, and this is how it was given.
    give_back(env, unsafe { block.block(0, whole) })
}

/// Two blocks that lie side by side do not go back as one, and then each does.
fn two_as_one(env: &mut impl MetadataMemory, one: Layout, two: Layout) -> Result<(), Trouble> {
    let mut blocks: Vec<Apart> = Vec::new();
    let is_beside =
        |blocks: &[Apart]| matches!(blocks, [.., a, b] if a.phys.get() + one.size() as u64 == b.phys.get());
    while !is_beside(&blocks) && blocks.len() < MOST {
        blocks.push(Apart::from(env.alloc_zeroed(one, NodeId::new(0))?));
    }
    holds("two blocks lie side by side", is_beside(&blocks))?;
    if let Some(first) = blocks.iter().rev().nth(1) {
        // SAFETY: both were taken apart, and nothing else is made of them while this block is there.
        refused(env, "two blocks as one", unsafe { first.block(0, two) })?;
    }
    // SAFETY: as above, and this is how they were given.
    blocks.iter().try_for_each(|block| give_back(env, unsafe { block.block(0, one) }))
}

/// Memory that was a block, and is the holder's alone.
struct Apart {
    start: NonNull<u8>,
    phys: PhysAddr,
}

impl From<Block> for Apart {
    fn from(block: Block) -> Self {
        Self { start: block.start(), phys: block.phys() }
    }
}

impl Apart {
    /// Makes a block of some of the memory, or of what lies around it.
    ///
    /// # Safety
    ///
    /// All of the block is the caller's alone, and there is no other block for any of it.
    unsafe fn block(&self, offset: usize, layout: Layout) -> Block {
        // SAFETY: offsets are within the memory that the caller owns.
        let start = unsafe { self.start.add(offset) };
        let phys = PhysAddr::new(self.phys.get() + offset as u64);
        // SAFETY: the caller's promise; it all came from the page allocator.
        unsafe { Block::from_parts(start, phys, layout, Origin::Runtime) }
    }
}

/// Fails unless a block is refused, by its name, and comes back as it was.
fn refused(env: &mut impl MetadataMemory, what: &str, block: Block) -> Result<(), Trouble> {
    let (start, phys, layout, expected) = (block.start(), block.phys(), block.layout(), block.foreign());
    let Err(Rejected { error, returned }) = env.free(block) else {
        return Err(Trouble::new(format_args!("{what} has to be refused, and is not")));
    };
    say!("  refused: {what}: {error}");
    same("the block that is refused", &expected, &error)?;
    same("what comes back", &(start, phys, layout), &(returned.start(), returned.phys(), returned.layout()))
}

/// Gives a block back.
fn give_back(env: &mut impl MetadataMemory, block: Block) -> Result<(), Trouble> {
    env.free(block).map_err(|rejected| rejected.error.into())
}
