//! Doubles that may panic: the allocator, which uses its memory, and the bytes between driver and device.

use std::cell::Cell;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{PfnRange, PhysAddr, SectionShape};
use sparsemem_fixture::{TestAllocator, each_subsection};
use sparsemem_hotplug::{AllocatorHooks, FramesRefused};
use sparsemem_machine::VirtioMemDevice;
use sparsemem_virtio_mem::{Answer, Config, Device, Fault, Features, KeepsOff, Request};

/// The double that panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panics {
    Device,
    Allocator,
}

/// A call: panics if it is the one.
fn tick(bomb: &Cell<Option<u32>>) {
    match bomb.get() {
        Some(0) => {
            bomb.set(None);
            // As a panic, without its message.
            std::panic::resume_unwind(Box::new("as it was told to"));
        }
        left => bomb.set(left.map(|left| left - 1)),
    }
}

/// The device behind its bytes.
pub struct Wire {
    device: VirtioMemDevice,
    pub features: Features,
    pub bomb: Cell<Option<u32>>,
}

impl Wire {
    pub fn new(device: &VirtioMemDevice) -> Self {
        Self { device: device.clone(), features: Features::all(), bomb: Cell::new(None) }
    }
}

impl Device for Wire {
    fn config(&mut self) -> Result<Config, Fault> {
        Ok(Config::decode(&self.device.config(), self.features)?)
    }

    fn request(&mut self, request: Request) -> Result<Answer, Fault> {
        tick(&self.bomb);
        Ok(Answer::decode(request, &self.device.answer(&request.encode()))?)
    }
}

/// An allocator that writes a word to each subsection while it may use it.
pub struct Pages {
    pub inner: TestAllocator,
    device: VirtioMemDevice,
    pub bomb: Cell<Option<u32>>,
    /// Touches the frames already when it is given them, which it must not.
    pub touches_early: bool,
}

const GRANULE: u64 = X86_64::PAGES_PER_SUBSECTION;

impl Pages {
    pub fn new(boot: PfnRange, device: &VirtioMemDevice) -> Self {
        let mut inner = TestAllocator::new(GRANULE);
        inner.boot(boot);
        Self { inner, device: device.clone(), bomb: Cell::new(None), touches_early: false }
    }

    /// The addresses of subsections that are the device's.
    fn addresses(&self, frames: PfnRange) -> impl Iterator<Item = PhysAddr> {
        let region = self.device.region();
        each_subsection::<X86_64>(frames)
            .filter_map(|part| part.start().phys::<X86_64>())
            .filter(move |at| region.contains(*at))
    }

    /// Uses frames that are the device's.
    fn store(&self, frames: PfnRange) {
        for at in self.addresses(frames) {
            self.device.store(at, !at.get()).unwrap();
        }
    }

    /// Checks that nobody else has used them.
    fn load(&self, frames: PfnRange) {
        for at in self.addresses(frames) {
            assert_eq!(self.device.load(at).unwrap(), !at.get(), "what was stored at {at}");
        }
    }
}

impl AllocatorHooks for Pages {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        tick(&self.bomb);
        if self.touches_early {
            self.store(frames);
        }
        self.inner.give(frames)
    }

    fn release(&mut self, frames: PfnRange) {
        self.inner.release(frames);
        self.store(frames);
        tick(&self.bomb);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        tick(&self.bomb);
        self.load(frames);
        self.inner.isolate(frames)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        tick(&self.bomb);
        self.load(frames);
        self.inner.evacuate(frames)
    }

    fn take(&mut self, frames: PfnRange) {
        self.inner.take(frames);
        tick(&self.bomb);
    }
}

impl KeepsOff for Pages {}
