//! Devices, and memory that hosts its own memmap, through hotplug and an altmap, with everything that can fail failing.
//!
//! The complete state is compared: words and bits, tables and allocators of the machine, blocks, resources, and the
//! frames of the altmap.

mod common;

use std::sync::atomic::Ordering;

use sparsemem_altmap::{Altmap, AltmapSpec, FramePool, WithAltmap};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootModel, ByteLen, InstallModel, MarkModel, MemoryModel, MemoryRange, Origin, Page, PageCount, Pfn,
    PfnRange, PhysRange, RetireError, RetireModel, Retired, SectionNr, SectionState,
};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits, MemoryBlock, Ram, RemoveError, Resource, Storage};
use sparsemem_machine::{Machine, StateDigest, Which};

use common::{Bench, NODE, frames};

type Env<'a, 'w> = WithAltmap<'a, 'w, X86_64, Machine>;

/// First section of the memory of devices, at 4 GiB.
const DEVICE: u64 = 32;

/// What the tests need of a model.
trait Model:
    BootModel<Machine>
    + MarkModel
    + MemoryModel<Geometry = X86_64, Page = Page>
    + InstallModel<Machine>
    + RetireModel<Machine>
    + for<'a, 'w> InstallModel<Env<'a, 'w>>
    + for<'a, 'w> RetireModel<Env<'a, 'w>>
{
}

impl<M> Model for M where
    M: BootModel<Machine>
        + MarkModel
        + MemoryModel<Geometry = X86_64, Page = Page>
        + InstallModel<Machine>
        + RetireModel<Machine>
        + for<'a, 'w> InstallModel<Env<'a, 'w>>
        + for<'a, 'w> RetireModel<Env<'a, 'w>>
{
}

on_every_model!(
    a_device_comes_whole_or_not_at_all,
    a_device_whose_altmap_runs_out_leaves_nothing,
    memory_that_hosts_itself_comes_whole_or_not_at_all,
    a_device_that_goes_without_its_altmap_loses_its_blocks,
    a_device_that_holds_the_memmap_of_another_stays_until_that_is_gone,
    devices_that_share_an_altmap_can_go_together,
);

/// An operation with an environment that has an altmap.
#[derive(Clone, Copy, Debug)]
enum Op {
    AddDevice(PfnRange),
    RemoveDevice(PfnRange),
    AddMemory(PfnRange, PageCount),
    RemoveMemory(PfnRange),
}

/// A booted model with hotplug, and an altmap for what is added.
struct Stage<'m, 'w, M: MemoryModel> {
    model: &'m M,
    machine: Machine,
    hotplug: Hotplug<'m, M>,
    altmap: Altmap<'w, X86_64>,
}

/// Everything that can be seen.
#[derive(Debug, PartialEq)]
struct State {
    machine: StateDigest,
    sections: Vec<SectionState>,
    blocks: Vec<MemoryBlock>,
    resources: Vec<Resource>,
    altmap: String,
}

/// Boots with two sections of RAM, and runs a test.
fn stage<M: Model>(bench: Bench<M>, spec: AltmapSpec, test: impl FnOnce(&mut Stage<'_, '_, M>)) {
    let Bench { model, mut machine } = bench;
    let ram = frames(0, 0, 128);
    let memory = MemoryRange { frames: ram, node: NODE };
    let mut writer = model.write().unwrap();
    writer.boot(&mut machine, core::iter::once(memory), &mut |event| panic!("{event:?}")).unwrap();
    drop(writer);
    machine.finish_boot();
    let (mut blocks, mut resources) = ([None; 16], [None; 16]);
    let storage = Storage { blocks: &mut blocks, notifiers: &mut [], resources: &mut resources };
    let limits = Limits::new(BlockSize::new(ByteLen::new(128 << 20)).unwrap());
    let mut hotplug = Hotplug::new(&*model, limits, storage);
    let bytes = PhysRange::new(ram.start().phys::<X86_64>().unwrap(), ram.end().phys::<X86_64>().unwrap());
    hotplug.adopt_boot(bytes.unwrap(), NODE).unwrap();
    let mut words = vec![0; usize::try_from(FramePool::words_needed(spec.free())).unwrap()];
    // SAFETY: the altmap lies in memory of devices, which nothing else uses.
    let altmap = unsafe { Altmap::claim(spec, &mut words) }.unwrap();
    test(&mut Stage { model: &*model, machine, hotplug, altmap });
}

impl<M: Model> Stage<'_, '_, M> {
    fn state(&self) -> State {
        let sections = [0, 1, 2, DEVICE, DEVICE + 1, DEVICE + 2, DEVICE + 3].map(SectionNr::new);
        State {
            machine: self.machine.state_digest(),
            sections: sections.iter().map(|nr| self.model.section(*nr)).collect(),
            blocks: self.hotplug.blocks().iter().copied().collect(),
            resources: self.hotplug.resources().iter().copied().collect(),
            altmap: format!("{:?}", self.altmap),
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), String> {
        let Self { machine, hotplug, altmap, .. } = self;
        // SAFETY: the direct map of the machine is one mapping of all its memory.
        let env = &mut unsafe { WithAltmap::new(machine, altmap) };
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
    fn sweep(&mut self, op: Op, back: Op) -> u64 {
        let before = self.state();
        let mut points = 0;
        for persistent in [false, true] {
            for k in 0.. {
                let refusals = self.machine.faults().refused();
                if persistent {
                    self.machine.faults().fail_after(Which::All, k);
                } else {
                    self.machine.faults().fail_nth(Which::All, k);
                }
                let result = self.apply(op);
                let met = self.machine.faults().refused() > refusals;
                self.machine.faults().heal();
                match result {
                    // Nothing failed, or base pages did where a large one was refused.
                    Ok(()) => self.apply(back).unwrap(),
                    Err(error) => assert!(met, "{op:?} failed by itself: {error}"),
                }
                assert_eq!(self.state(), before, "{op:?} with request {k} refused");
                if !met {
                    break;
                }
                points += 1;
            }
        }
        points
    }
}

fn spec(reserve: u64, free: u64) -> AltmapSpec {
    let base = SectionNr::new(DEVICE).first_pfn::<X86_64>().unwrap();
    AltmapSpec::new(base, PageCount::new(reserve), PageCount::new(free)).unwrap()
}

/// Two and a half sections with their memmap in themselves. The first ends within a 2 MiB leaf: padding.
fn a_device_comes_whole_or_not_at_all<M: Model>(bench: Bench<M>) {
    let device = frames(DEVICE, 0, 160);
    stage(bench, spec(2, 4094), |stage| {
        let (add, remove) = (Op::AddDevice(device), Op::RemoveDevice(device));
        let before = stage.state();
        let added = stage.sweep(add, remove);
        assert!(added >= 6, "three usages, alone and with all that follow: {added}");
        let ram = stage.machine.balance();
        stage.apply(add).unwrap();
        assert!(stage.altmap.in_use().get() >= 1024 + 256, "{:?}", stage.altmap);
        let grown = stage.machine.balance().of(Origin::Runtime).bytes - ram.of(Origin::Runtime).bytes;
        assert!(grown < 64 << 10, "{grown} bytes of RAM: no memmap");
        assert!(stage.model.is_valid(Pfn::new(device.end().get() - 1)));
        // Removal needs no memory: nothing can fail.
        stage.machine.faults().fail_after(Which::All, 0);
        stage.apply(remove).unwrap();
        stage.machine.faults().heal();
        assert_eq!(stage.state(), before);
        println!("{}: {added} points of failure", stage.model.name());
    });
}

/// The altmap itself runs out, in every section of the device.
fn a_device_whose_altmap_runs_out_leaves_nothing<M: Model>(bench: Bench<M>) {
    let device = frames(DEVICE, 0, 192);
    stage(bench, spec(0, 3 * 512), |stage| {
        let before = stage.state();
        stage.apply(Op::AddDevice(device)).unwrap();
        stage.apply(Op::RemoveDevice(device)).unwrap();
        assert_eq!(stage.state(), before);
        for free in [0, 1, 7, 511, 512, 513, 1023, 1024, 1535] {
            let mut words = vec![0; 64];
            // SAFETY: nothing of the stage's own altmap is in use meanwhile.
            let mut small = unsafe { Altmap::claim(spec(0, free), &mut words) }.unwrap();
            let untouched = format!("{small:?}");
            // SAFETY: the direct map of the machine is one mapping of all its memory.
            let env = &mut unsafe { WithAltmap::new(&mut stage.machine, &mut small) };
            stage.hotplug.add_device(env, device, NODE, "device").unwrap_err();
            assert_eq!(format!("{small:?}"), untouched, "with {free} frames");
            assert_eq!(stage.state(), before, "with {free} frames");
        }
    });
}

fn memory_that_hosts_itself_comes_whole_or_not_at_all<M: Model>(bench: Bench<M>) {
    let module = frames(DEVICE, 0, 64);
    let spec = AltmapSpec::self_hosted::<X86_64, Page>(module).unwrap();
    stage(bench, spec, |stage| {
        let before = stage.state();
        let (add, remove) = (Op::AddMemory(module, spec.offset()), Op::RemoveMemory(module));
        assert!(stage.sweep(add, remove) >= 2);
        stage.apply(add).unwrap();
        assert_eq!((stage.altmap.in_use(), stage.altmap.skipped().get()), (spec.free(), 0));
        stage.machine.faults().fail_after(Which::All, 0);
        stage.apply(remove).unwrap();
        stage.machine.faults().heal();
        assert_eq!(stage.state(), before);
    });
}

/// Removal through the machine alone: what was the device's does not become RAM, and somebody hears of it.
fn a_device_that_goes_without_its_altmap_loses_its_blocks<M: Model>(bench: Bench<M>) {
    let device = frames(DEVICE, 0, 128);
    stage(bench, spec(0, 1024), |stage| {
        let before = stage.state();
        stage.apply(Op::AddDevice(device)).unwrap();
        let Stage { machine, hotplug, .. } = stage;
        let lost = hotplug.remove_device(machine, device).unwrap().lost;
        assert_eq!((lost.count(), lost.first().unwrap().origin), (2, Origin::Altmap));
        let after = stage.state();
        assert_eq!((after.machine, &after.sections), (before.machine, &before.sections));
        assert_eq!((stage.altmap.in_use().get(), &after.resources), (1024, &before.resources));
    });
}

/// The two halves of a section: two devices.
fn halves() -> [PfnRange; 2] {
    [frames(DEVICE, 0, 32), frames(DEVICE, 32, 32)]
}

/// Whether a section has one memmap, so that the first device in it brings the descriptors of the others too. Those of a
/// virtual array come in pages.
fn has_one_memmap(model: &impl MemoryModel) -> bool {
    model.name() != "vmemmap"
}

/// Two devices adjoin in one section, and the first has an altmap.
fn a_device_that_holds_the_memmap_of_another_stays_until_that_is_gone<M: Model>(bench: Bench<M>) {
    let [first, second] = halves();
    stage(bench, spec(0, 512), |stage| {
        let mut words = vec![0; 64];
        // SAFETY: nothing of the stage's own altmap is in use meanwhile.
        let mut altmap = unsafe { Altmap::claim(spec(0, 512), &mut words) }.unwrap();
        let before = stage.state();
        // SAFETY: the direct map of the machine is one mapping of all its memory.
        let env = &mut unsafe { WithAltmap::new(&mut stage.machine, &mut altmap) };
        stage.hotplug.add_device(env, first, NODE, "first").unwrap();
        stage.hotplug.add_device(&mut stage.machine, second, NODE, "second").unwrap();
        mark(stage.model, second);
        let both = (stage.state(), format!("{altmap:?}"));
        // SAFETY: as above.
        let env = &mut unsafe { WithAltmap::new(&mut stage.machine, &mut altmap) };
        let removed = stage.hotplug.remove_device(env, first);
        if has_one_memmap(stage.model) {
            let why = RetireError::HoldsMemmap { frames: first, needed_by: second };
            assert_eq!(removed, Err(RemoveError::Retire { frames: first, why }));
            assert_eq!((stage.state(), format!("{altmap:?}")), both);
            // Nor does it go without its altmap.
            let removed = stage.hotplug.remove_device(&mut stage.machine, first);
            assert_eq!(removed, Err(RemoveError::Retire { frames: first, why }));
            is_marked(stage.model, second);
            let retired = stage.hotplug.remove_device(&mut stage.machine, second).unwrap();
            assert!(retired.lost.is_empty(), "{retired:?}");
            // SAFETY: as above.
            let env = &mut unsafe { WithAltmap::new(&mut stage.machine, &mut altmap) };
            let retired = stage.hotplug.remove_device(env, first).unwrap();
            assert!(retired.lost.is_empty(), "{retired:?}");
        } else {
            assert!(removed.unwrap().lost.is_empty());
            is_marked(stage.model, second);
            assert!(stage.hotplug.remove_device(&mut stage.machine, second).unwrap().lost.is_empty());
        }
        assert_eq!(stage.state(), before);
        let free = altmap.release().map_err(|refused| refused.error).unwrap();
        assert_eq!(free, spec(0, 512));
    });
}

/// The same two, without hotplug in between: both in one call.
fn devices_that_share_an_altmap_can_go_together<M: Model>(bench: Bench<M>) {
    let [first, second] = halves();
    stage(bench, spec(0, 512), |stage| {
        let before = stage.state();
        let Stage { model, machine, altmap, .. } = stage;
        let mut writer = model.write().unwrap();
        // SAFETY: the direct map of the machine is one mapping of all its memory.
        writer.install(&mut unsafe { WithAltmap::new(machine, altmap) }, first, NODE).unwrap();
        writer.install(machine, second, NODE).unwrap();
        // SAFETY: as above.
        let env = &mut unsafe { WithAltmap::new(machine, altmap) };
        let alone = writer.retire(env, first);
        if has_one_memmap(*model) {
            let needed_by = second;
            assert_eq!(alone, Err(RetireError::HoldsMemmap { frames: first, needed_by }));
            let retired = writer.retire(env, frames(DEVICE, 0, 64)).unwrap();
            assert_eq!((retired.sections, retired.gone, retired.lost.count()), (1, 1, 0));
        } else {
            assert_eq!(alone.unwrap().lost.count(), 0);
            assert_eq!(writer.retire(env, second).unwrap().lost.count(), 0);
        }
        drop(writer);
        assert_eq!(stage.state(), before);
    });
}

/// Writes to the descriptors of the first and the last frame.
fn mark(model: &impl MemoryModel<Page = Page>, frames: PfnRange) {
    let reader = model.read();
    for pfn in [frames.start(), Pfn::new(frames.end().get() - 1)] {
        reader.page(pfn).unwrap().private.store(!pfn.get(), Ordering::Relaxed);
    }
}

/// What was written is still there.
fn is_marked(model: &impl MemoryModel<Page = Page>, frames: PfnRange) {
    let reader = model.read();
    for pfn in [frames.start(), Pfn::new(frames.end().get() - 1)] {
        assert_eq!(reader.page(pfn).unwrap().private.load(Ordering::Relaxed), !pfn.get(), "frame {pfn}");
    }
}
