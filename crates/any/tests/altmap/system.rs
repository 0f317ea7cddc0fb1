//! A booted model with hotplug, and an altmap for the devices that it gets.

use sparsemem_altmap::{Altmap, AltmapSpec};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    ByteLen, GracePeriod, MemoryModel, MemoryRange, PageCount, PfnRange, Retired, SectionNr, SectionState,
};
use sparsemem_fixture::{
    Fixture, NODE, Pc, PcModel, Refusals, boot, bytes, sections, storage, with_altmap, words_of,
};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits, MemoryBlock, Ram, Resource};
use sparsemem_machine::{Machine, StateDigest};

/// First section of the memory of devices, at 4 GiB.
pub(super) const DEVICE: u64 = 32;

/// An operation with an environment that has an altmap.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    AddDevice(PfnRange),
    RemoveDevice(PfnRange),
    AddMemory(PfnRange, PageCount),
    RemoveMemory(PfnRange),
}

/// A booted model with hotplug, and an altmap for what is added.
pub(super) struct System<'m, 'w, R: GracePeriod> {
    pub(super) model: &'m PcModel<R>,
    pub(super) machine: Machine,
    pub(super) hotplug: Hotplug<'m, PcModel<R>>,
    pub(super) altmap: Altmap<'w, X86_64>,
}

/// Everything that can be seen.
#[derive(Debug, PartialEq)]
pub(super) struct State {
    pub(super) machine: StateDigest,
    pub(super) sections: Vec<SectionState>,
    pub(super) blocks: Vec<MemoryBlock>,
    pub(super) resources: Vec<Resource>,
    pub(super) altmap: String,
}

/// Boots with two sections of RAM, and runs a test.
pub(super) fn with_system<R: GracePeriod>(
    fixture: Pc<R>,
    spec: AltmapSpec,
    test: impl FnOnce(&mut System<'_, '_, R>),
) {
    let Fixture { model, mut machine } = fixture;
    let ram = sections::<X86_64>(0, 2);
    boot(&model, &mut machine, &[MemoryRange { frames: ram, node: NODE }]);
    let limits = Limits::new(BlockSize::new(ByteLen::new(128 << 20)).unwrap());
    let mut hotplug = Hotplug::new(&model, limits, storage(16, 0, 16));
    hotplug.adopt_boot(bytes::<X86_64>(ram), NODE).unwrap();
    let mut words = words_of(spec);
    // SAFETY: the altmap lies in memory of devices, which nothing else uses.
    let altmap = unsafe { Altmap::claim(spec, &mut words) }.unwrap();
    test(&mut System { model: &model, machine, hotplug, altmap });
}

impl<R: GracePeriod> System<'_, '_, R> {
    pub(super) fn state(&self) -> State {
        let sections = [0, 1, 2, DEVICE, DEVICE + 1, DEVICE + 2, DEVICE + 3].map(SectionNr::new);
        State {
            machine: self.machine.state_digest(),
            sections: sections.iter().map(|nr| self.model.section(*nr)).collect(),
            blocks: self.hotplug.blocks().iter().copied().collect(),
            resources: self.hotplug.resources().iter().copied().collect(),
            altmap: format!("{:?}", self.altmap),
        }
    }

    pub(super) fn apply(&mut self, op: Op) -> Result<(), String> {
        let Self { machine, hotplug, altmap, .. } = self;
        let env = &mut with_altmap(machine, altmap);
        let retired = match op {
            Op::AddDevice(frames) => {
                return hotplug.add_device(env, frames, NODE, "device").map_err(|error| error.to_string());
            }
            Op::AddMemory(frames, memmap) => {
                let ram = Ram::default().hosting(memmap);
                return hotplug.add_memory(env, frames, NODE, ram).map_err(|error| error.to_string());
            }
            Op::RemoveDevice(frames) => hotplug.remove_device(env, frames),
            Op::RemoveMemory(frames) => hotplug.remove_memory(env, frames),
        };
        let no_loss = |retired: Retired| assert!(retired.lost.is_empty(), "{retired:?}");
        retired.map(no_loss).map_err(|error| error.to_string())
    }

    /// Refuses the first, second, .. request of the machine during an operation, alone and with all that follow.
    /// Answers with how many there were.
    pub(super) fn sweep(&mut self, op: Op, back: Op) -> u64 {
        let (before, mut refusals) = (self.state(), Refusals::default());
        while refusals.arm(&mut self.machine) {
            let result = self.apply(op);
            let refused = refusals.heal(&mut self.machine);
            match result {
                // Nothing failed, or base pages did where a large one was refused.
                Ok(()) => self.apply(back).unwrap(),
                Err(error) => assert!(refused, "{op:?} failed by itself: {error}"),
            }
            assert_eq!(self.state(), before, "{op:?} with {refusals:?}");
        }
        refusals.count()
    }
}

/// An altmap at the beginning of the memory of devices.
pub(super) fn spec(reserve: u64, free: u64) -> AltmapSpec {
    let base = SectionNr::new(DEVICE).first_pfn::<X86_64>().unwrap();
    AltmapSpec::new(base, PageCount::new(reserve), PageCount::new(free)).unwrap()
}
