//! Devices, and memory that hosts its own memmap, through hotplug and an altmap, with everything that can fail failing.
//!
//! The complete state is compared: words and bits, tables and allocators of the machine, blocks, resources, and the
//! frames of the altmap.

mod neighbours;
mod stage;

use sparsemem_altmap::{Altmap, AltmapSpec};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{GracePeriod, MemoryModel, Origin, Page, Pfn};
use sparsemem_fixture::{NODE, Pc, frames, on_every_backend, with_altmap, words_of};
use sparsemem_machine::Which;

use stage::{DEVICE, Op, Stage, spec, stage};

on_every_backend!(
    [X86_64] a_device_comes_whole_or_not_at_all,
    a_device_whose_altmap_runs_out_leaves_nothing,
    memory_that_hosts_itself_comes_whole_or_not_at_all,
    a_device_that_goes_without_its_altmap_loses_its_blocks,
);

/// Two and a half sections with their memmap in themselves. The first ends within a 2 MiB leaf: padding.
fn a_device_comes_whole_or_not_at_all<R: GracePeriod>(fixture: Pc<R>) {
    let device = frames(DEVICE, 0, 160);
    stage(fixture, spec(2, 4094), |stage| {
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
fn a_device_whose_altmap_runs_out_leaves_nothing<R: GracePeriod>(fixture: Pc<R>) {
    let device = frames(DEVICE, 0, 192);
    stage(fixture, spec(0, 3 * 512), |stage| {
        let before = stage.state();
        stage.apply(Op::AddDevice(device)).unwrap();
        stage.apply(Op::RemoveDevice(device)).unwrap();
        assert_eq!(stage.state(), before);
        for free in [0, 1, 7, 511, 512, 513, 1023, 1024, 1535] {
            let mut words = words_of(spec(0, free));
            // SAFETY: nothing of the stage's own altmap is in use meanwhile.
            let mut small = unsafe { Altmap::<X86_64>::claim(spec(0, free), &mut words) }.unwrap();
            let untouched = format!("{small:?}");
            let env = &mut with_altmap(&mut stage.machine, &mut small);
            stage.hotplug.add_device(env, device, NODE, "device").unwrap_err();
            assert_eq!(format!("{small:?}"), untouched, "with {free} frames");
            assert_eq!(stage.state(), before, "with {free} frames");
        }
    });
}

fn memory_that_hosts_itself_comes_whole_or_not_at_all<R: GracePeriod>(fixture: Pc<R>) {
    let module = frames(DEVICE, 0, 64);
    let spec = AltmapSpec::self_hosted::<X86_64, Page>(module).unwrap();
    stage(fixture, spec, |stage| {
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
fn a_device_that_goes_without_its_altmap_loses_its_blocks<R: GracePeriod>(fixture: Pc<R>) {
    let device = frames(DEVICE, 0, 128);
    stage(fixture, spec(0, 1024), |stage| {
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
