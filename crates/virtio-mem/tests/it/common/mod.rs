//! A machine with a model, a device and its driver, and a copy of the complete state to compare with.

#![allow(dead_code, unreachable_pub, reason = "shared by tests, each of which uses what it needs")]

pub mod doubles;

use std::sync::atomic::{AtomicBool, Ordering};

use doubles::{Pages, Panics, Wire};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    ByteLen, CompleteModel, FramesError, MarkError, MemoryModel, MemoryRange, NodeId, PfnRange, PhysRange,
    RetireError, SectionNr, SectionState,
};
use sparsemem_fixture::{
    Difference, Differing, Fixture, FrameState, NODE, Recorder, boot, bytes, sections, storage,
};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits, MemoryBlock, Resource};
use sparsemem_machine::{Machine, StateDigest, VirtioMemDevice};
use sparsemem_virtio_mem::{Device, Error, Kernel, Resized, VirtioMem};

pub const MIB: u64 = 1 << 20;
/// The first section of the device's region, which is four sections long.
pub const FIRST: u64 = 4;
/// The node of the device's memory.
pub const FAR: NodeId = NodeId::new(2);

/// The operations that all models have.
pub trait Model: CompleteModel<Machine, Geometry = X86_64> + 'static {}

impl<M: CompleteModel<Machine, Geometry = X86_64> + 'static> Model for M {}

/// A model that may refuse marks, or what it said that it would retire, although it has no reason.
#[derive(Default)]
pub struct Marks {
    refuse: AtomicBool,
    keep: AtomicBool,
}

impl Marks {
    /// Makes it refuse marks from now on, or no more.
    pub fn refuse_marks(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::Relaxed);
    }

    /// Makes it retire nothing from now on, or again what it is asked for.
    pub fn keep_frames(&self, keep: bool) {
        self.keep.store(keep, Ordering::Relaxed);
    }
}

impl Difference for Marks {
    fn check_mark(&self, frames: PfnRange) -> Result<(), MarkError> {
        let refused = self.refuse.load(Ordering::Relaxed);
        if refused { Err(MarkError::Frames(FramesError::Empty { frames })) } else { Ok(()) }
    }

    fn check_retirement(&self, frames: PfnRange) -> Result<(), RetireError> {
        let kept = self.keep.load(Ordering::Relaxed);
        if kept { Err(RetireError::Frames(FramesError::Empty { frames })) } else { Ok(()) }
    }
}

/// Everything that can be seen from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub digest: StateDigest,
    pub sections: Vec<SectionState>,
    pub resources: Vec<Resource>,
    pub blocks: Vec<MemoryBlock>,
    pub frames: Vec<(u64, FrameState)>,
    pub plugged: Vec<u64>,
    pub pending: bool,
}

/// A model with all that belongs to it.
pub struct System<M: Model> {
    pub model: &'static Differing<'static, M, Marks>,
    pub machine: Machine,
    pub hotplug: Hotplug<'static, Differing<'static, M, Marks>>,
    pub pages: Pages,
    pub device: VirtioMemDevice,
    pub wire: Wire,
    pub driver: VirtioMem<X86_64>,
    pub notifiers: [&'static Recorder; 2],
}

/// The region of the usual device.
pub fn region() -> PhysRange {
    bytes::<X86_64>(sections::<X86_64>(FIRST, 4))
}

impl<M: Model> System<M> {
    /// Two sections of RAM, and a device with blocks of 2 MiB that requests nothing.
    pub fn usual(fixture: Fixture<M>) -> Self {
        Self::new(fixture, ByteLen::new(2 * MIB), BlockSize::SECTION)
    }

    /// The same with a device and with memory blocks of other sizes.
    pub fn new(fixture: Fixture<M>, block: ByteLen, memory_block: BlockSize<X86_64>) -> Self {
        let Fixture { model, mut machine } = fixture;
        let ram = sections::<X86_64>(0, 2);
        boot(&model, &mut machine, &[MemoryRange { frames: ram, node: NODE }]);
        let inner = Box::leak(Box::new(model));
        let model: &'static _ =
            Box::leak(Box::new(Differing { inner: &*inner, difference: Marks::default() }));
        let mut hotplug = Hotplug::new(model, Limits::new(memory_block), storage(16, 2, 64));
        hotplug.adopt_boot(bytes::<X86_64>(ram), NODE).unwrap();
        let notifiers = ["first", "second"].map(Recorder::leaked);
        for notifier in notifiers {
            hotplug.register_notifier(0, notifier).unwrap();
        }
        let device = VirtioMemDevice::new(region(), block, 2);
        let mut wire = Wire::new(&device);
        let config = wire.config().unwrap();
        let node = config.proximity_domain().map_or(NODE, |domain| NodeId::new(domain.into()));
        let driver = VirtioMem::new(&config, hotplug.limits(), node).unwrap();
        let pages = Pages::new(ram, &device);
        let mut system = Self { model, machine, hotplug, pages, device, wire, driver, notifiers };
        system.driver.start(&system.hotplug, &mut system.wire).unwrap();
        system
    }

    /// The host requests a size, and the driver does what it can.
    pub fn resize(&mut self, mib: u64) -> Result<Resized, Error> {
        self.device.request(ByteLen::new(mib * MIB));
        self.with(|driver, kernel| driver.resize(kernel))
    }

    /// Calls the driver with all that it needs.
    pub fn with<T>(
        &mut self,
        call: impl FnOnce(
            &mut VirtioMem<X86_64>,
            &mut Kernel<'_, 'static, Differing<'static, M, Marks>, Machine, Pages, Wire>,
        ) -> T,
    ) -> T {
        let Self { machine, hotplug, pages, wire, driver, .. } = self;
        call(driver, &mut Kernel { hotplug, env: machine, allocator: pages, device: wire })
    }

    pub fn plug(&mut self, frames: PfnRange) -> Result<(), Error> {
        self.with(|driver, kernel| driver.plug(kernel, frames))
    }

    pub fn unplug(&mut self, frames: PfnRange) -> Result<(), Error> {
        let unplugged = self.with(|driver, kernel| driver.unplug(kernel, frames));
        unplugged.map(|retired| assert!(retired.lost.is_empty(), "{retired:?}"))
    }

    /// Lets the device or the allocator panic at a call, counted from zero.
    pub fn panics(&self, who: Panics, nth: u32) {
        for (panics, bomb) in [(Panics::Device, &self.wire.bomb), (Panics::Allocator, &self.pages.bomb)] {
            bomb.set((who == panics).then_some(nth));
        }
    }

    /// Nobody panics any more. Returns whether somebody did.
    pub fn calm(&self) -> bool {
        let left = [&self.wire.bomb, &self.pages.bomb].map(|bomb| bomb.replace(None));
        left == [None; 2]
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            digest: self.machine.state_digest(),
            sections: (0..=FIRST + 4).map(|nr| self.model.section(SectionNr::new(nr))).collect(),
            resources: self.hotplug.resources().iter().copied().collect(),
            blocks: self.hotplug.blocks().iter().copied().collect(),
            frames: self.pages.inner.frames(),
            plugged: self.device.plugged_blocks().iter().map(|at| at.get()).collect(),
            pending: self.notifiers.iter().any(|notifier| notifier.is_pending()),
        }
    }

    /// The numbers of the memory blocks.
    pub fn blocks(&self) -> Vec<u64> {
        self.hotplug.blocks().iter().map(|block| block.nr.get()).collect()
    }

    /// Asserts that device, model, allocator and resources have the same memory, and that it is all online.
    pub fn agrees(&mut self, context: &str) {
        self.driver.verify(&self.hotplug, &mut self.wire).unwrap_or_else(|why| panic!("{context}: {why}"));
        let (model, pages) = (self.model, &self.pages);
        for unit in sparsemem_fixture::each_subsection::<X86_64>(sections::<X86_64>(FIRST, 4)) {
            let at = unit.start();
            let there = model.is_valid(at);
            assert_eq!(model.read().online_page(at).is_some(), there, "{context}: {at}");
            assert_eq!(pages.inner.has_usable(at.get()), there, "{context}: {at} in the allocator");
            assert_eq!(self.hotplug.resource_of(at).is_some(), there, "{context}: {at} in the resources");
            let loaded = self.device.load(at.phys::<X86_64>().unwrap());
            assert_eq!(loaded.is_ok(), there, "{context}: {at} in the device");
        }
        assert!(
            !self.notifiers.iter().any(|notifier| notifier.is_pending()),
            "{context}: somebody hears no end"
        );
        self.machine.mirror_matches_tables().unwrap();
    }
}
