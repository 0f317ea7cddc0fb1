//! Memory whose altmap holds descriptors of other memory, on every model: it stays as long as they are needed, wherever
//! they belong to, and an addition that fails is undone all the same.

mod common;

use common::{Bench, NODE, frames};
use sparsemem_altmap::{Altmap, AltmapSpec, WithAltmap};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootModel, ByteLen, InstallModel, MarkModel, MemoryModel, MemoryRange, Page, PageCount, PfnRange,
    RetireError, RetireModel, SectionNr,
};
use sparsemem_hotplug::{AddDeviceError, BlockSize, Hotplug, Limits, RemoveError, Storage};
use sparsemem_machine::{Machine, Which};

type Env<'a, 'w> = WithAltmap<'a, 'w, X86_64, Machine>;

/// The first section of the devices.
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
    an_addition_over_the_memmap_of_another_is_undone,
    a_device_stays_under_the_memmap_of_the_next_section
);

/// A booted model with hotplug, and an altmap at the start of `of`.
fn on<M: Model>(
    bench: Bench<M>,
    of: PfnRange,
    test: impl FnOnce(&M, &mut Machine, &mut Hotplug<'_, M>, &mut Altmap<'_, X86_64>),
) {
    let Bench { model, mut machine } = bench;
    let memory = MemoryRange { frames: frames(0, 0, 128), node: NODE };
    let mut writer = model.write().unwrap();
    let events = &mut |event| panic!("{event:?}");
    writer.boot(&mut machine, core::iter::once(memory), events).unwrap();
    drop(writer);
    machine.finish_boot();
    let (mut blocks, mut resources) = ([None; 16], [None; 16]);
    let storage = Storage { blocks: &mut blocks, notifiers: &mut [], resources: &mut resources };
    let limits = Limits::new(BlockSize::new(ByteLen::new(128 << 20)).unwrap());
    let mut hotplug = Hotplug::new(&*model, limits, storage);
    let spec = AltmapSpec::new(of.start(), PageCount::new(0), PageCount::new(4096)).unwrap();
    let mut words = vec![0; 256];
    // SAFETY: the machine has this memory, and nothing else lies in it.
    let mut altmap = unsafe { Altmap::claim(spec, &mut words) }.unwrap();
    test(&model, &mut machine, &mut hotplug, &mut altmap);
}

/// The second device's memory holds the memmap of the first, which came before it: that does not stop the undoing.
fn an_addition_over_the_memmap_of_another_is_undone<M: Model>(bench: Bench<M>) {
    let (first, second) = (frames(DEVICE, 0, 32), frames(DEVICE, 32, 96));
    on(bench, second, |model, machine, hotplug, altmap| {
        // SAFETY: the direct map of the machine is one mapping of all its memory.
        let env = &mut unsafe { WithAltmap::new(machine, altmap) };
        hotplug.add_device(env, first, NODE, "first").unwrap();
        let sections = || [0, 1].map(|nr| model.section(SectionNr::new(DEVICE + nr)));
        let before = (sections(), hotplug.resources().iter().count());
        machine.faults().fail_after(Which::All, 0);
        // SAFETY: as above.
        let env = &mut unsafe { WithAltmap::new(machine, altmap) };
        let added = hotplug.add_device(env, second, NODE, "second");
        assert!(matches!(added, Err(AddDeviceError::Install { .. })), "{}: {added:?}", model.name());
        assert_eq!((sections(), hotplug.resources().iter().count()), before, "{}", model.name());
    });
}

/// The altmap of the first device also served the second, which shares no section with it.
fn a_device_stays_under_the_memmap_of_the_next_section<M: Model>(bench: Bench<M>) {
    let (first, second) = (frames(DEVICE, 0, 64), frames(DEVICE + 1, 0, 64));
    on(bench, first, |model, machine, hotplug, altmap| {
        // SAFETY: the direct map of the machine is one mapping of all its memory.
        let env = &mut unsafe { WithAltmap::new(machine, altmap) };
        hotplug.add_device(env, first, NODE, "first").unwrap();
        hotplug.add_device(env, second, NODE, "second").unwrap();
        let removed = hotplug.remove_device(env, first);
        let Err(RemoveError::Retire { why: RetireError::HoldsMemmap { needed_by, .. }, .. }) = removed else {
            panic!("{}: {removed:?}", model.name());
        };
        assert!(second.contains_range(needed_by), "{}: {needed_by}", model.name());
        assert!(model.is_valid(first.start()));
        assert!(hotplug.remove_device(env, second).unwrap().lost.is_empty());
        assert!(hotplug.remove_device(env, first).unwrap().lost.is_empty());
        assert_eq!(env.altmap().in_use(), PageCount::new(0), "{}", model.name());
    });
}
