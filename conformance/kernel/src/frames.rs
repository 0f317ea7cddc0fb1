//! The page allocator: one bit per frame in `bitmap-allocator`, used through the hooks of hotplug; and the nodes of
//! memory.
//!
//! # Invariants
//!
//! 1. A frame is in at most one of `free` (available), `held` (isolated) and `given` (metadata). A frame in none of
//!    them has another user, or does not belong to this allocator.
//! 2. The direct map reaches every frame before the allocator gets it.
//! 3. A frame is in `firsts` if a block of metadata begins there. So both ends of a block are known, and neither a
//!    part of a block nor two neighbours are mistaken for a block.
//! 4. The ranges of nodes do not overlap: the node of memory is set when the memory is added, and removed with it.

use core::ops::Range;

use arrayvec::ArrayVec;
use bitmap_allocator::{BitAlloc, BitAlloc16M};
use sparsemem::{Geometry, NodeId, PageCount, Pfn, PfnRange, PhysAddr, SectionShape};
use sparsemem_hotplug::{AllocatorHooks, FramesRefused, Reason};
use spin::Mutex;

use crate::arch::Sizes;
use crate::direct_map;

/// The largest number of ranges of memory at boot.
pub(crate) const BOOT_RANGES: usize = 64;
/// The largest number of ranges with a node: those of boot, and a DIMM in each of QEMU's slots.
const NODE_RANGES: usize = BOOT_RANGES + 256;

/// The frames of this machine.
pub(crate) static FRAMES: Mutex<Frames> = Mutex::new(Frames {
    free: BitAlloc16M::DEFAULT,
    held: BitAlloc16M::DEFAULT,
    given: BitAlloc16M::DEFAULT,
    firsts: BitAlloc16M::DEFAULT,
    nodes: ArrayVec::new_const(),
    leaves_from: BitAlloc16M::CAP,
});

/// Frames below [`END`].
pub(crate) struct Frames {
    free: BitAlloc16M,
    held: BitAlloc16M,
    given: BitAlloc16M,
    firsts: BitAlloc16M,
    nodes: ArrayVec<(PfnRange, NodeId), NODE_RANGES>,
    /// The index from which on memory must be able to leave.
    leaves_from: usize,
}

/// There is no room for the node of another range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{frames} of node {node} is one range too many: this kernel keeps the nodes of {NODE_RANGES}")]
pub(crate) struct TooManyRanges {
    /// The range.
    frames: PfnRange,
    /// Its node.
    node: NodeId,
}

/// The first frame past those for which the bitmaps have a bit.
const END: Pfn = frame(BitAlloc16M::CAP);
/// The limit in words.
pub(crate) const ENDS: &str = "the page allocator ends at 64 GiB";
const _: () = assert!(BitAlloc16M::CAP as u64 * Sizes::PAGE_SIZE == 64 << 30);

/// A frame's number as an index; `None` for frames beyond the bitmaps.
fn index(frame: Pfn) -> Option<usize> {
    usize::try_from(frame.get()).ok().filter(|index| *index <= BitAlloc16M::CAP)
}

/// The indices of those frames that the bitmaps have.
fn indices(frames: PfnRange) -> Range<usize> {
    index(frames.start()).unwrap_or(BitAlloc16M::CAP)..index(frames.end()).unwrap_or(BitAlloc16M::CAP)
}

/// The frame of an index.
const fn frame(index: usize) -> Pfn {
    Pfn::new(index as u64)
}

impl Frames {
    /// Adds frames of boot, which the direct map reaches, as free. Returns those beyond the bitmaps, which the
    /// allocator cannot use.
    pub(crate) fn boot(&mut self, frames: PfnRange) -> PfnRange {
        let (within, beyond) = frames.split_at(END);
        if !within.is_empty() {
            self.free.insert(indices(within));
        }
        beyond
    }

    /// Sets the node of memory.
    ///
    /// # Errors
    ///
    /// [`TooManyRanges`].
    pub(crate) fn set_node(&mut self, frames: PfnRange, node: NodeId) -> Result<(), TooManyRanges> {
        self.nodes.try_push((frames, node)).map_err(|_| TooManyRanges { frames, node })
    }

    /// Removes the node of memory that was removed.
    pub(crate) fn forget_node(&mut self, frames: PfnRange) {
        self.nodes.retain(|(known, _)| *known != frames);
    }

    /// Takes several successive frames permanently; the first is a multiple of `align`.
    pub(crate) fn take(&mut self, count: usize, align: usize) -> Option<PhysAddr> {
        let first = self.find(0..self.leaves_from, count, align)?;
        self.free.remove(first..first + count);
        frame(first).phys::<Sizes>()
    }

    /// From this frame on, memory must be able to leave: from now on, nothing of the kernel's own is put there, except
    /// metadata of its node.
    pub(crate) fn leaves_from(&mut self, frame: Pfn) {
        self.leaves_from = index(frame).unwrap_or(BitAlloc16M::CAP);
    }

    /// The number of free frames of a range, and that of isolated ones.
    pub(crate) fn count(&self, within: PfnRange) -> (u64, u64) {
        let of = |bits: &BitAlloc16M| indices(within).filter(|index| bits.test(*index)).count() as u64;
        (of(&self.free), of(&self.held))
    }

    /// Allocates a block from `node`, or from any other node if it has none.
    pub(crate) fn take_block(&mut self, count: usize, align: usize, node: NodeId) -> Option<PhysAddr> {
        let of_node = self.nodes.iter().filter(|(_, of)| *of == node);
        let near = of_node.map(|(frames, _)| *frames).find_map(|near| self.find(indices(near), count, align));
        let first = near.or_else(|| self.find(0..self.leaves_from, count, align))?;
        self.free.remove(first..first + count);
        self.firsts.insert(first..first + 1);
        self.given.insert(first..first + count);
        frame(first).phys::<Sizes>()
    }

    /// True if memory is a whole block of [`Frames::take_block`].
    pub(crate) fn is_whole_block(&self, start: PhysAddr, count: usize) -> bool {
        self.block(start, count).is_some()
    }

    /// Frees a block; memory that is not a whole block of [`Frames::take_block`] stays as it is.
    pub(crate) fn put_block(&mut self, start: PhysAddr, count: usize) {
        if let Some(block) = self.block(start, count) {
            self.firsts.remove(block.start..block.start + 1);
            self.given.remove(block.clone());
            self.free.insert(block);
        }
    }

    /// The indices of a whole block of metadata.
    fn block(&self, start: PhysAddr, count: usize) -> Option<Range<usize>> {
        let first = index(start.pfn::<Sizes>())?;
        let block = first..first.checked_add(count)?;
        let is_ours = start.get().is_multiple_of(Sizes::PAGE_SIZE) && self.is_block(&block);
        is_ours.then_some(block)
    }

    /// True if a block of metadata has exactly this range.
    fn is_block(&self, block: &Range<usize>) -> bool {
        let goes_on =
            |index: usize| index < BitAlloc16M::CAP && self.given.test(index) && !self.firsts.test(index);
        !block.is_empty()
            && block.end <= BitAlloc16M::CAP
            && self.firsts.test(block.start)
            && (block.start + 1..block.end).all(goes_on)
            && !goes_on(block.end)
    }

    /// The first successive free frames in a range that begin at a multiple of `align`.
    fn find(&self, within: Range<usize>, count: usize, align: usize) -> Option<usize> {
        let mut first = within.start.checked_next_multiple_of(align)?;
        while first.checked_add(count)? <= within.end {
            let Some(used) = (first..first + count).find(|index| !self.free.test(*index)) else {
                return Some(first);
            };
            first = self.free.next(used + 1)?.checked_next_multiple_of(align)?;
        }
        None
    }

    /// Takes a frame from a range.
    pub(crate) fn take_from(&mut self, within: PfnRange) -> Option<Pfn> {
        let found = self.find(indices(within), 1, 1)?;
        self.free.remove(found..found + 1);
        Some(frame(found))
    }

    /// Frees a frame that [`Frames::take_from`] took.
    pub(crate) fn put(&mut self, frame: Pfn) {
        if let Some(index) = index(frame).filter(|index| *index < BitAlloc16M::CAP) {
            self.free.insert(index..index + 1);
        }
    }
}

/// A zeroed frame, for a page table of the direct map.
pub(crate) fn take_zeroed() -> Option<PhysAddr> {
    let at = FRAMES.lock().take(1, 1)?;
    // SAFETY: the frame was just taken, so no other code uses it, and the direct map reaches it (invariant 2).
    unsafe { direct_map::to_virt(at)?.write_bytes(0, 1 << Sizes::PAGE_SHIFT) };
    Some(at)
}

/// The page allocator as hotplug uses it.
#[derive(Debug)]
pub(crate) struct Pages;

impl AllocatorHooks for Pages {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        if index(frames.end()).is_none() {
            return Err(FramesRefused { frames, reason: Reason::Policy(ENDS) });
        }
        FRAMES.lock().held.insert(indices(frames));
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        let Frames { held, free, .. } = &mut *FRAMES.lock();
        pass_on(frames, held, free);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let Frames { held, free, .. } = &mut *FRAMES.lock();
        pass_on(frames, free, held);
        Ok(())
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let held = &FRAMES.lock().held;
        let Some(used) = indices(frames).find(|index| !held.test(*index)) else { return Ok(()) };
        let frames = PfnRange::from_start_count(frame(used), PageCount::new(1)).unwrap_or(frames);
        Err(FramesRefused { frames, reason: Reason::InUse })
    }

    fn take(&mut self, frames: PfnRange) {
        FRAMES.lock().held.remove(indices(frames));
    }
}

/// Moves those of the frames that `from` has to `to`.
fn pass_on(frames: PfnRange, from: &mut BitAlloc16M, to: &mut BitAlloc16M) {
    for index in indices(frames) {
        if from.test(index) {
            from.remove(index..index + 1);
            to.insert(index..index + 1);
        }
    }
}
