//! The page allocator: a bit per frame in `bitmap-allocator`, behind the hooks of hotplug.
//!
//! # Invariants
//!
//! 1. A frame is in at most one of the two bitmaps: free to take, or held back because it is isolated. In neither, it is
//!    in use, or not this allocator's at all.
//! 2. The direct map reaches every frame, before it comes here.

use bitmap_allocator::{BitAlloc, BitAlloc16M};
use sparsemem::{Geometry, PageCount, Pfn, PfnRange, PhysAddr, presets::X86_64};
use sparsemem_hotplug::{AllocatorHooks, FramesRefused, Reason};
use spin::Mutex;

use crate::cpu::direct_map;

/// The frames of this machine.
pub(crate) static FRAMES: Mutex<Frames> =
    Mutex::new(Frames { free: BitAlloc16M::DEFAULT, held: BitAlloc16M::DEFAULT });

/// Frames, up to 64 GiB.
pub(crate) struct Frames {
    free: BitAlloc16M,
    held: BitAlloc16M,
}

/// A frame's number as an index; frames beyond the bitmaps have none.
fn index(frame: Pfn) -> Option<usize> {
    usize::try_from(frame.get()).ok().filter(|index| *index <= BitAlloc16M::CAP)
}

/// The indices of frames, as far as the bitmaps have them.
fn indices(frames: PfnRange) -> core::ops::Range<usize> {
    index(frames.start()).unwrap_or(BitAlloc16M::CAP)..index(frames.end()).unwrap_or(BitAlloc16M::CAP)
}

/// The frame of an index.
const fn frame(index: usize) -> Pfn {
    Pfn::new(index as u64)
}

impl Frames {
    /// Gets frames of boot, free from now on; the direct map reaches them.
    pub(crate) fn boot(&mut self, frames: PfnRange) {
        self.free.insert(indices(frames));
    }

    /// Takes some frames in a row, the first of which is a multiple of `align`.
    pub(crate) fn take(&mut self, count: usize, align: usize) -> Option<PhysAddr> {
        let align_log2 = usize::try_from(align.next_power_of_two().trailing_zeros()).ok()?;
        let first = match count {
            1 if align_log2 == 0 => self.free.alloc(),
            _ => self.free.alloc_contiguous(None, count, align_log2),
        };
        frame(first?).phys::<X86_64>()
    }

    /// Takes a frame out of a range.
    pub(crate) fn take_from(&mut self, within: PfnRange) -> Option<Pfn> {
        let found = self.free.next(indices(within).start).filter(|index| within.contains(frame(*index)))?;
        self.free.remove(found..found + 1);
        Some(frame(found))
    }

    /// Puts frames back; refuses those that are not in use here.
    pub(crate) fn put(&mut self, start: PhysAddr, count: usize) -> bool {
        let Ok(first) = usize::try_from(start.get() >> X86_64::PAGE_SHIFT) else { return false };
        let Some(end) = first.checked_add(count).filter(|end| *end <= BitAlloc16M::CAP) else { return false };
        if (first..end).any(|index| self.free.test(index) || self.held.test(index)) {
            return false;
        }
        self.free.insert(first..end);
        true
    }
}

/// A zeroed frame, for a page table of the direct map.
pub(crate) fn take_zeroed() -> Option<PhysAddr> {
    let at = FRAMES.lock().take(1, 1)?;
    // SAFETY: the frame is nobody else's, and the direct map reaches it (invariant 2).
    unsafe { direct_map::to_virt(at)?.write_bytes(0, 1 << X86_64::PAGE_SHIFT) };
    Some(at)
}

impl AllocatorHooks for Frames {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        if index(frames.end()).is_none() {
            return Err(FramesRefused {
                frames,
                reason: Reason::Policy("the page allocator ends at 64 GiB"),
            });
        }
        self.held.insert(indices(frames));
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        for index in indices(frames).filter(|index| self.held.test(*index)).collect::<alloc::vec::Vec<_>>() {
            self.held.remove(index..index + 1);
            self.free.insert(index..index + 1);
        }
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        for index in indices(frames) {
            if self.free.test(index) {
                self.free.remove(index..index + 1);
                self.held.insert(index..index + 1);
            }
        }
        Ok(())
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let Some(used) = indices(frames).find(|index| !self.held.test(*index)) else { return Ok(()) };
        let frames = PfnRange::from_start_count(frame(used), PageCount::new(1)).unwrap_or(frames);
        Err(FramesRefused { frames, reason: Reason::InUse })
    }

    fn take(&mut self, frames: PfnRange) {
        self.held.remove(indices(frames));
    }
}
