//! A page allocator without pages that never refuses, because recordings are about sections only.

use sparsemem_core::PfnRange;
use sparsemem_hotplug::{AllocatorHooks, FramesRefused};

/// An allocator that never refuses.
pub(super) struct Agreeable;

impl AllocatorHooks for Agreeable {
    fn give(&mut self, _: PfnRange) -> Result<(), FramesRefused> {
        Ok(())
    }

    fn release(&mut self, _: PfnRange) {}

    fn isolate(&mut self, _: PfnRange) -> Result<(), FramesRefused> {
        Ok(())
    }

    fn evacuate(&mut self, _: PfnRange) -> Result<(), FramesRefused> {
        Ok(())
    }

    fn take(&mut self, _: PfnRange) {}
}
