//! Stories of the kernel's own memory: the places and mappings of metadata, the blocks that its environment takes
//! back, the frames of its page allocator, and the end of its stack.

use alloc::vec;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::hint::black_box;
use core::ptr::NonNull;

use sparsemem::{
    Block, MemoryModel, MetadataMemory, NodeId, Origin, Pfn, PfnRange, PhysAddr, PhysMap, Rejected,
    SectionNr, SectionShape,
};
use sparsemem_hotplug::Ram;
use sparsemem_suite::WorldWithEnvironment;

use super::Ended;
use super::checks::{StoryError, holds, same, some};
use super::host::NewDimm;
use super::system::{System, all_frames, frame_of_descriptor, put_frames};
use crate::arch::Sizes;
use crate::frames::{FRAMES, Pages};
use crate::glue::MODEL;
use crate::{direct_map, model, paging, say};

/// The node without memory when the machine is started.
const BARE: NodeId = NodeId::new(2);

/// The largest number of blocks of one frame that are allocated until two are adjacent.
const MOST: usize = 256;

/// At boot every memmap lies on its node. A node without memory gets the memmap of its first DIMM from other nodes,
/// and that of its second from the first DIMM.
pub(super) fn near_its_node(system: &mut System<'_>) -> Result<Ended, StoryError> {
    if !model::IS_SPARSE {
        return Ok(Ended::NotApplicable("the model's one array has the descriptors of all nodes"));
    }
    nodes_at_boot(system, &[0, 1])?;
    let [first, second] = ["first", "second"].map(|id| NewDimm::new(id, Sizes::SECTION_SIZE).on(BARE));
    let first = system.plug_online(&first)?;
    let nodes = memmap_nodes(system, first.frames);
    same("the node that the first memmap of a bare node lies on", &vec![NodeId::new(0)], &nodes)?;
    let second = system.plug_online(&second)?;
    same("the node that the second lies on", &vec![BARE], &memmap_nodes(system, second.frames))?;
    system.give_up(&second)?;
    system.give_up(&first)?;
    Ok(Ended::Passed)
}

/// Memory for which the SRAT names no node belongs to node 0, and its memmap lies there.
pub(super) fn of_no_node(system: &mut System<'_>) -> Result<Ended, StoryError> {
    nodes_at_boot(system, &[1, 0, 1])?;
    Ok(Ended::Passed)
}

/// Fails unless the sections of boot belong to these nodes, one after the other, and their memmaps lie there; an array for
/// all of them lies on the first one.
fn nodes_at_boot(system: &System<'_>, nodes: &[u32]) -> Result<(), StoryError> {
    let sections: Vec<SectionNr> = MODEL.present_sections().collect();
    same("sections of boot", &nodes.len(), &sections.len())?;
    for (nr, node) in sections.iter().zip(nodes) {
        let (frames, node) = (nr.frames::<Sizes>().unwrap_or_default(), NodeId::new(*node));
        same("the node of a section", &Some(node), &system.node_of(*nr))?;
        let near = if model::IS_SPARSE { node } else { NodeId::new(nodes[0]) };
        same("the node that its memmap lies on", &vec![near], &memmap_nodes(system, frames))?;
    }
    Ok(())
}

/// The nodes of the memory that holds the first and the last descriptors of the valid parts of `frames`.
fn memmap_nodes(system: &System<'_>, frames: PfnRange) -> Vec<NodeId> {
    let ends = MODEL.valid_ranges(frames).flat_map(|run| [run.start(), Pfn::new(run.end().get() - 1)]);
    let places = ends.filter_map(frame_of_descriptor);
    let mut nodes: Vec<NodeId> =
        places.filter_map(|place| system.node_of(place.section::<Sizes>())).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Page tables, processor and QEMU agree on the mappings of the memmap: at boot, while a DIMM is present, and after
/// its removal.
pub(super) fn three_views(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let Some(array) = model::array() else {
        return Ok(Ended::NotApplicable("the model has no mappings of its own"));
    };
    let at_boot = system.mapped_by_all_views(array)?;
    let dimm = system.plug_online(&NewDimm::new("a", 2 * Sizes::SECTION_SIZE))?;
    holds("a DIMM has mappings", system.mapped_by_all_views(array)? > at_boot)?;
    system.give_up(&dimm)?;
    same("mappings after the DIMM was removed", &at_boot, &system.mapped_by_all_views(array)?)?;
    Ok(Ended::Passed)
}

/// RAM that the kernel did not use at boot is added, used, and removed again; every view agrees on the mappings of its
/// bytes and of its descriptors.
pub(super) fn withheld(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let Some((range, node)) = system.withheld else {
        return Ok(Ended::NotApplicable("the command line withholds no memory"));
    };
    let frames = range.whole_frames::<Sizes>();
    say!("  withheld: {range}, node {node}");
    holds("it has no descriptors", MODEL.next_valid(frames).is_none())?;
    let mapped =
        |system: &System<'_>| model::array().map_or(Ok(0), |array| system.mapped_by_all_views(array));
    let at_boot = mapped(system)?;
    system.reach(range)?;
    FRAMES.lock().set_node(frames, node)?;
    system.hotplug.add_memory(system.world.env_mut(), frames, node, Ram::default())?;
    system.hotplug.online(&mut Pages, frames)?;
    holds("an array has more mappings", model::array().is_none() || mapped(system)? > at_boot)?;
    put_frames(system.use_frames(frames, 64)?);
    system.hotplug.offline(&mut Pages, frames)?;
    system.remove(frames)?;
    same("valid frames of it", &None, &MODEL.next_valid(frames))?;
    same("mappings after it was removed", &at_boot, &mapped(system)?)?;
    paging::unmap(range);
    FRAMES.lock().forget_node(frames);
    let place = some("a place in the direct map", direct_map::place(range))?;
    same("bytes of it in the direct map", &0, &system.mapped_by_all_views(place)?)?;
    Ok(Ended::Passed)
}

/// The environment takes back exactly the blocks that it gave out: no part of a block, no two blocks as one, and no
/// frame that was taken for another purpose.
pub(super) fn foreign_blocks(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let page = usize::try_from(Sizes::PAGE_SIZE)?;
    let (one, two) = (Layout::from_size_align(page, page)?, Layout::from_size_align(2 * page, page)?);
    let env = system.world.env_mut();
    parts_of_one(env, two, one)?;
    two_as_one(env, one, two)?;
    let frame = some("a free frame", FRAMES.lock().take_from(all_frames()))?;
    let phys = frame.phys::<Sizes>().unwrap_or_default();
    let taken = OwnMemory { start: env.phys_to_virt(phys), phys };
    // SAFETY: the page allocator gave the frame to this function alone, and the direct map reaches it.
    refused(env, "a frame that is not metadata", unsafe { taken.block(0, one) })?;
    FRAMES.lock().put(frame);
    Ok(Ended::Passed)
}

/// The environment refuses both halves of a block, and then takes the whole block back.
fn parts_of_one(env: &mut impl MetadataMemory, whole: Layout, half: Layout) -> Result<(), StoryError> {
    let block = OwnMemory::from(env.alloc_zeroed(whole, NodeId::new(0))?);
    for offset in [0, half.size()] {
        // SAFETY: the block was taken apart, and one piece of it at a time is made a block again.
        refused(env, "half a block", unsafe { block.block(offset, half) })?;
    }
    // SAFETY: as above, and this is how it was given.
    give_back(env, unsafe { block.block(0, whole) })
}

/// The environment refuses two adjacent blocks as one, and then takes each back.
fn two_as_one(env: &mut impl MetadataMemory, one: Layout, two: Layout) -> Result<(), StoryError> {
    let mut blocks: Vec<OwnMemory> = Vec::new();
    let is_beside = |blocks: &[OwnMemory]| matches!(blocks, [.., a, b] if a.phys.get() + one.size() as u64 == b.phys.get());
    while !is_beside(&blocks) && blocks.len() < MOST {
        blocks.push(OwnMemory::from(env.alloc_zeroed(one, NodeId::new(0))?));
    }
    holds("two blocks lie side by side", is_beside(&blocks))?;
    if let Some(first) = blocks.iter().rev().nth(1) {
        // SAFETY: both were taken apart, and nothing else is made of them while this block is there.
        refused(env, "two blocks as one", unsafe { first.block(0, two) })?;
    }
    // SAFETY: as above, and this is how they were given.
    blocks.iter().try_for_each(|block| give_back(env, unsafe { block.block(0, one) }))
}

/// Memory that was a block and belongs to the holder alone.
struct OwnMemory {
    start: NonNull<u8>,
    phys: PhysAddr,
}

impl From<Block> for OwnMemory {
    fn from(block: Block) -> Self {
        Self { start: block.start(), phys: block.phys() }
    }
}

impl OwnMemory {
    /// Makes a block of some of the memory, or of the memory around it.
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

/// Fails unless a block is refused and returned unchanged.
fn refused(env: &mut impl MetadataMemory, what: &str, block: Block) -> Result<(), StoryError> {
    let (start, phys, layout, expected) = (block.start(), block.phys(), block.layout(), block.foreign());
    let Err(Rejected { error, returned }) = env.free(block) else {
        return Err(StoryError::new(format_args!("{what} must be refused, and is not")));
    };
    say!("  refused: {what}: {error}");
    same("the block that is refused", &expected, &error)?;
    same(
        "the block that is returned",
        &(start, phys, layout),
        &(returned.start(), returned.phys(), returned.layout()),
    )
}

/// Gives a block back.
fn give_back(env: &mut impl MetadataMemory, block: Block) -> Result<(), StoryError> {
    env.free(block).map_err(|rejected| rejected.error.into())
}

/// Memory past the last frame of the page allocator has descriptors, and the page allocator does not hand it out. The
/// kernel has printed that when it came up, which the host checks.
pub(super) fn beyond_the_allocator(_: &mut System<'_>) -> Result<Ended, StoryError> {
    let last = MODEL.present_sections().last().and_then(SectionNr::frames::<Sizes>);
    let last = some("a present section", last)?;
    let first_valid = MODEL.next_valid(last).unwrap_or_default();
    holds("it has descriptors", MODEL.read().page(first_valid.start()).is_some())?;
    holds("the page allocator does not hand out any of it", FRAMES.lock().take_from(last).is_none())?;
    let below = PfnRange::new(Pfn::new(0), last.start()).unwrap_or_default();
    let given = some("a free frame below", FRAMES.lock().take_from(below))?;
    FRAMES.lock().put(given);
    Ok(Ended::Passed)
}

/// A full stack ends the run with a message, before anything below it is overwritten.
pub(super) fn full_stack(_: &mut System<'_>) -> Result<Ended, StoryError> {
    let depth = deeper(0);
    Err(StoryError::new(format_args!("the stack has room for {depth} calls, without a panic")))
}

/// Calls itself more often than any stack allows.
fn deeper(calls: u64) -> u64 {
    let on_the_stack = black_box([calls; 32]);
    let below = if calls < 1 << 20 { deeper(calls + 1) } else { 0 };
    below.max(on_the_stack[0])
}
