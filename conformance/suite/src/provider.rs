//! Checks of an environment's promises, as far as they can be observed. Each failure names the clause that was broken.
//!
//! # Invariants
//!
//! 1. Every block that was given is given back, unless the environment refuses it, or has taken a part of it already.

#![allow(unsafe_code, reason = "reads and writes blocks, and offers a block that was not given")]

use alloc::format;
use alloc::vec::Vec;
use core::alloc::Layout;

use sparsemem_core::{Block, ByteLen, MetadataMemory, NodeId, VirtAddr};

use crate::Failure;
use crate::failure::{Place, expect, expect_eq};

/// Sizes and alignments that models ask for, and odd ones.
const LAYOUTS: [(usize, usize); 7] =
    [(1, 1), (24, 8), (64, 64), (200, 8), (4096, 4096), (3 * 4096, 4096), (8192, 8192)];

/// Clauses of the safety section of [`MetadataMemory`].
mod clause {
    pub(super) const LAYOUT: &str = "MetadataMemory, clause 1: has exactly the layout that was asked for";
    pub(super) const ZERO: &str = "MetadataMemory, clause 1: zeroed";
    pub(super) const ALIGNED: &str = "MetadataMemory, clause 1: aligned at both addresses";
    pub(super) const OWNED: &str = "MetadataMemory, clause 1: exclusively owned";
    pub(super) const MAPPED: &str = "MetadataMemory, clause 1 and PhysMap: both addresses lead to each other";
    pub(super) const REFUSED: &str = "MetadataMemory, clause 2: refuses what it did not give";
    pub(super) const TAKEN: &str = "MetadataMemory::free: takes back what it gave";
}

/// Holds an environment to what it promises about blocks.
///
/// A kernel's author calls it in a test, or at boot in a debug build: before a model uses the environment, and while
/// nothing else allocates.
///
/// # Errors
///
/// [`Failure`], with the address of a block and the clause that was broken. An environment that has too little memory
/// for three blocks of each size is not held to more than it has.
pub fn check_provider<E: MetadataMemory>(env: &mut E, node: NodeId) -> Result<(), Failure> {
    // Twice: the second time, blocks come back that were written to.
    for _ in 0..2 {
        let mut blocks = Vec::new();
        let checked = take_all(env, node, &mut blocks);
        let given_back: Vec<_> = blocks.into_iter().map(|block| give_back(env, block)).collect();
        checked?;
        given_back.into_iter().collect::<Result<(), _>>()?;
    }
    refuses_a_part(env, node)
}

/// Allocates blocks of all layouts by both methods, and checks and fills each.
fn take_all<E: MetadataMemory>(env: &mut E, node: NodeId, blocks: &mut Vec<Block>) -> Result<(), Failure> {
    for (size, align) in LAYOUTS.into_iter().chain(LAYOUTS) {
        let Ok(layout) = Layout::from_size_align(size, align) else { continue };
        for allocate in [E::alloc_zeroed, E::alloc_memmap] {
            let Ok(block) = allocate(env, layout, node) else { continue };
            let checked = is_apart(&block, blocks).and_then(|()| is_as_promised(env, &block, layout));
            fill(&block);
            blocks.push(block);
            checked?;
        }
    }
    Ok(())
}

/// The place of a block in a failure.
fn place(block: &Block) -> Place {
    Place::Address(VirtAddr::new(block.start().addr().get() as u64))
}

fn is_as_promised<E: MetadataMemory>(env: &E, block: &Block, layout: Layout) -> Result<(), Failure> {
    let (at, align) = (place(block), layout.align());
    expect_eq(at, clause::LAYOUT, &layout, &block.layout())?;
    let aligned = block.start().addr().get() % align == 0 && block.phys().is_aligned(align as u64);
    expect(aligned, at, clause::ALIGNED, &format!("a multiple of {align}"), block.phys())?;
    expect_eq(at, clause::MAPPED, &block.start(), &env.phys_to_virt(block.phys()))?;
    expect_eq(at, clause::MAPPED, &Some(block.phys()), &env.virt_to_phys(block.start()))?;
    // SAFETY: the block is owned, and nothing writes to it meanwhile.
    let bytes = unsafe { core::slice::from_raw_parts(block.start().as_ptr(), layout.size()) };
    let dirty = bytes.iter().position(|byte| *byte != 0);
    expect(dirty.is_none(), at, clause::ZERO, "zero bytes", dirty.map(|at| format!("byte {at} is not")))
}

/// Fails if a block overlaps one that is out, at either address.
fn is_apart(block: &Block, others: &[Block]) -> Result<(), Failure> {
    let ends = |start: u64, block: &Block| (start, start + block.layout().size() as u64);
    let overlap = |(start, end): (u64, u64), (first, last): (u64, u64)| start < last && first < end;
    let virt = |block: &Block| ends(block.start().addr().get() as u64, block);
    let phys = |block: &Block| ends(block.phys().get(), block);
    let hit = others.iter().find(|it| overlap(virt(block), virt(it)) || overlap(phys(block), phys(it)));
    expect(hit.is_none(), place(block), clause::OWNED, "a block of its own", hit)
}

/// Writes to every byte of a block.
fn fill(block: &Block) {
    // SAFETY: the block is owned, and valid for its layout.
    unsafe { block.start().write_bytes(0xa5, block.layout().size()) };
}

fn give_back<E: MetadataMemory>(env: &mut E, block: Block) -> Result<(), Failure> {
    let at = place(&block);
    let refused = env.free(block).err().map(|rejected| rejected.error);
    expect(refused.is_none(), at, clause::TAKEN, "success", refused)
}

/// Offers the second page of a block of three as if it were a block, and then the whole block.
fn refuses_a_part<E: MetadataMemory>(env: &mut E, node: NodeId) -> Result<(), Failure> {
    const PAGE: usize = 4096;
    let layouts = (Layout::from_size_align(3 * PAGE, PAGE), Layout::from_size_align(PAGE, PAGE));
    let (Ok(whole), Ok(part)) = layouts else { return Ok(()) };
    let (start, phys, origin, at) = {
        let Ok(block) = env.alloc_zeroed(whole, node) else { return Ok(()) };
        (block.start(), block.phys(), block.origin(), place(&block))
    };
    // The block exists as its parts only.
    let inner_phys = phys.saturating_add(ByteLen::new(PAGE as u64));
    // SAFETY: the second page lies in the block.
    let inner_start = unsafe { start.add(PAGE) };
    // SAFETY: the bytes are owned and backed as it says. That no environment gave it is what `free` has to find out.
    let inner = unsafe { Block::from_parts(inner_start, inner_phys, part, origin) };
    let taken = env.free(inner).is_ok();
    expect(!taken, at, clause::REFUSED, "a refusal of the second page of three", "the page was taken")?;
    // SAFETY: the parts are those of the block that was given, and its page was refused.
    give_back(env, unsafe { Block::from_parts(start, phys, whole, origin) })
}
