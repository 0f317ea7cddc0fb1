//! The page allocator as hotplug sees it: each of its hooks takes the lock for itself.

use sparsemem::PfnRange;
use sparsemem_hotplug::{AllocatorHooks, FramesRefused};

use super::frames::FRAMES;

/// The page allocator, as hotplug sees it.
#[derive(Debug)]
pub(crate) struct Pages;

impl AllocatorHooks for Pages {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        FRAMES.lock().give(frames)
    }

    fn release(&mut self, frames: PfnRange) {
        FRAMES.lock().release(frames);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        FRAMES.lock().isolate(frames)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        FRAMES.lock().evacuate(frames)
    }

    fn take(&mut self, frames: PfnRange) {
        AllocatorHooks::take(&mut *FRAMES.lock(), frames);
    }
}
