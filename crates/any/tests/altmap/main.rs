//! Devices, and memory that hosts its own memmap, through hotplug and an altmap, with everything that can fail failing.
//!
//! The complete state is compared: words and bits, tables and allocators of the machine, blocks, resources, and the
//! frames of the altmap.

mod neighbours;
mod system;

use sparsemem_altmap::{Altmap, AltmapSpec};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{GracePeriod, MemoryModel, Origin, Page, Pfn, RetireError};
use sparsemem_fixture::{NODE, Pc, frames, on_every_backend, with_altmap, words_of};
use sparsemem_hotplug::RemoveError;
use sparsemem_machine::Which;

use system::{DEVICE, Op, System, spec, with_system};

on_every_backend!(
    sparse [X86_64]
    a_device_comes_whole_or_not_at_all,
    a_device_whose_altmap_runs_out_leaves_nothing,
    memory_that_hosts_itself_comes_whole_or_not_at_all,
    a_device_does_not_go_without_its_altmap,
);

/// Two and a half sections with their memmap in themselves. The first ends within a 2 MiB leaf: padding.
fn a_device_comes_whole_or_not_at_all<R: GracePeriod>(fixture: Pc<R>) {
    let device = frames(DEVICE, 0, 160);
    with_system(fixture, spec(2, 4094), |system| {
        let (add, remove) = (Op::AddDevice(device), Op::RemoveDevice(device));
        let before = system.state();
        let added = system.sweep(add, remove);
        assert!(added >= 6, "three usages, alone and with all that follow: {added}");
        let ram = system.machine.balance();
        system.apply(add).unwrap();
        assert!(system.altmap.in_use().get() >= 1024 + 256, "{:?}", system.altmap);
        let grown = system.machine.balance().of(Origin::Runtime).bytes - ram.of(Origin::Runtime).bytes;
        assert!(grown < 64 << 10, "{grown} bytes of RAM: no memmap");
        assert!(system.model.is_valid(Pfn::new(device.end().get() - 1)));
        // Removal needs no memory: nothing can fail.
        system.machine.faults().fail_after(Which::All, 0);
        system.apply(remove).unwrap();
        system.machine.faults().heal();
        assert_eq!(system.state(), before);
        println!("{}: {added} points of failure", system.model.name());
    });
}

/// The altmap itself runs out, in every section of the device.
fn a_device_whose_altmap_runs_out_leaves_nothing<R: GracePeriod>(fixture: Pc<R>) {
    let device = frames(DEVICE, 0, 192);
    with_system(fixture, spec(0, 3 * 512), |system| {
        let before = system.state();
        system.apply(Op::AddDevice(device)).unwrap();
        system.apply(Op::RemoveDevice(device)).unwrap();
        assert_eq!(system.state(), before);
        for free in [0, 1, 7, 511, 512, 513, 1023, 1024, 1535] {
            let mut words = words_of(spec(0, free));
            // SAFETY: nothing of the system's own altmap is in use meanwhile.
            let mut small = unsafe { Altmap::<X86_64>::claim(spec(0, free), &mut words) }.unwrap();
            let untouched = format!("{small:?}");
            let env = &mut with_altmap(&mut system.machine, &mut small);
            system.hotplug.add_device(env, device, NODE, "device").unwrap_err();
            assert_eq!(format!("{small:?}"), untouched, "with {free} frames");
            assert_eq!(system.state(), before, "with {free} frames");
        }
    });
}

fn memory_that_hosts_itself_comes_whole_or_not_at_all<R: GracePeriod>(fixture: Pc<R>) {
    let module = frames(DEVICE, 0, 64);
    let spec = AltmapSpec::self_hosted::<X86_64, Page>(module).unwrap();
    with_system(fixture, spec, |system| {
        let before = system.state();
        let (add, remove) = (Op::AddMemory(module, spec.offset()), Op::RemoveMemory(module));
        assert!(system.sweep(add, remove) >= 2);
        system.apply(add).unwrap();
        assert_eq!((system.altmap.in_use(), system.altmap.skipped().get()), (spec.free(), 0));
        system.machine.faults().fail_after(Which::All, 0);
        system.apply(remove).unwrap();
        system.machine.faults().heal();
        assert_eq!(system.state(), before);
    });
}

/// Removal through the machine alone is refused, and the device stays as it is.
fn a_device_does_not_go_without_its_altmap<R: GracePeriod>(fixture: Pc<R>) {
    let device = frames(DEVICE, 0, 128);
    with_system(fixture, spec(0, 1024), |system| {
        system.apply(Op::AddDevice(device)).unwrap();
        let before = system.state();
        let System { machine, hotplug, .. } = system;
        let Err(RemoveError::Retire { frames, why: RetireError::OtherAltmap { memory, .. } }) =
            hotplug.remove_device(machine, device)
        else {
            panic!("it was removed without its altmap, or refused for another reason");
        };
        assert!(frames == device && device.contains(memory.start().pfn::<X86_64>()), "{memory}");
        assert_eq!(system.state(), before);
        system.apply(Op::RemoveDevice(device)).unwrap();
    });
}
