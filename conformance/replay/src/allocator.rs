//! The page allocator of a replay: it keeps no frames, so the recorded operations alone decide what comes and goes.

use sparsemem_core::PfnRange;
use sparsemem_hotplug::{AllocatorHooks, FramesRefused};

/// An allocator that gets and gives any frames. The tests of the workspace have the same in a package that is not published,
/// which this one is.
pub(crate) struct Agreeable;

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
