//! Allocators whose calls somebody watches.

use sparsemem_core::PfnRange;
use sparsemem_hotplug::{AllocatorHooks, FramesRefused};

use super::people::Call;

/// The moment of a watched call: before or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// An allocator, and who watches its calls: he may call back, and panic.
pub struct Watched<H, W>(pub H, pub W);

impl<H: AllocatorHooks, W: FnMut(Call, When, PfnRange)> Watched<H, W> {
    fn call<T>(&mut self, call: Call, frames: PfnRange, make: impl FnOnce(&mut H, PfnRange) -> T) -> T {
        (self.1)(call, When::Before, frames);
        let answer = make(&mut self.0, frames);
        (self.1)(call, When::After, frames);
        answer
    }
}

impl<H: AllocatorHooks, W: FnMut(Call, When, PfnRange)> AllocatorHooks for Watched<H, W> {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.call(Call::Give, frames, H::give)
    }

    fn release(&mut self, frames: PfnRange) {
        self.call(Call::Release, frames, H::release);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.call(Call::Isolate, frames, H::isolate)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.call(Call::Evacuate, frames, H::evacuate)
    }

    fn take(&mut self, frames: PfnRange) {
        self.call(Call::Take, frames, H::take);
    }
}
