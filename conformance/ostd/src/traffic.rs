//! Work for the page allocator.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use ostd::mm::{FrameAllocOptions, Segment};

use crate::Failure;

/// Blocks that are taken and given back in a random order.
const ROUNDS: usize = 4096;
/// Frames of the largest of them.
const LARGEST: usize = 64;
/// Frames of the blocks by which most of memory is taken.
const BULK: usize = 1024;
/// Room for handles of all memory: blocks, and then single frames.
const HANDLES: usize = 1 << 16;

/// Memory that is in use.
pub(crate) struct Held {
    _blocks: Vec<Segment<()>>,
    _heap: BTreeMap<u64, Vec<u8>>,
}

/// A generator of numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }
}

/// Takes blocks of many sizes, and memory of the heap, and gives half of them back.
///
/// # Errors
///
/// [`Failure::NoFrames`].
pub(crate) fn small_and_large() -> Result<Held, Failure> {
    let (mut random, mut blocks, mut heap) = (Random(1), Vec::new(), BTreeMap::new());
    for round in 0..ROUNDS {
        let frames = 1 + random.below(LARGEST);
        let block = FrameAllocOptions::new().zeroed(false).alloc_segment(frames);
        blocks.push(block.map_err(|_| Failure::NoFrames { frames })?);
        heap.insert(round as u64 % 128, Vec::with_capacity(random.below(1 << 16)));
        if round % 2 == 1 {
            drop(blocks.swap_remove(random.below(blocks.len())));
        }
    }
    Ok(Held { _blocks: blocks, _heap: heap })
}

/// Takes every frame that the allocator has, and gives all of them back.
///
/// # Errors
///
/// [`Failure::NoFrames`], if there are more frames than there is room for handles.
pub(crate) fn every_free_frame() -> Result<(), Failure> {
    let mut all: Vec<Segment<()>> = Vec::with_capacity(HANDLES);
    for frames in [BULK, 32, 1] {
        while let Ok(block) = FrameAllocOptions::new().zeroed(false).alloc_segment(frames) {
            if all.len() == HANDLES {
                return Err(Failure::NoFrames { frames });
            }
            all.push(block);
        }
    }
    Ok(())
}
