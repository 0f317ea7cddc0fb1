//! The memory of a device as RAM: which blocks, and what is refused.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{MemoryModel, PfnRange};
use sparsemem_fixture::{Fixture, NODE, on_every_backend, sections, storage, subsections};
use sparsemem_hotplug::{BlockSize, DeviceRamError, Hotplug, Limits, Ram};

on_every_backend!([X86_64] whole_blocks_become_ram, impossible_devices_are_named);

fn system<M: Model<Geometry = X86_64>>(fixture: Fixture<M>) -> System<M> {
    System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<X86_64>(0, 1)])
}

/// The ragged ends are no RAM, and a range without a whole block is left out.
fn whole_blocks_become_ram<M: Model<Geometry = X86_64>>(fixture: Fixture<M>) {
    let mut system = system(fixture);
    let before = system.snapshot();
    let device = [subsections::<X86_64>(2, 1, 64 * 2), subsections::<X86_64>(5, 60, 10)];
    system.apply(Op::AddDeviceRam(device)).unwrap();
    let all = PfnRange::new(device[0].start(), device[1].end()).unwrap();
    assert_eq!(system.model.next_valid(all), Some(sections::<X86_64>(3, 1)));
    assert_eq!(system.hotplug.blocks().iter().count(), 2);
    let ram = system.hotplug.resource_of(sections::<X86_64>(3, 1).start()).unwrap();
    assert_eq!(ram.name, "System RAM (kmem)");
    system.apply(Op::RemoveDeviceRam(device)).unwrap();
    assert_eq!(system.snapshot(), before);
}

fn impossible_devices_are_named<M: Model<Geometry = X86_64>>(fixture: Fixture<M>) {
    let mut system = system(fixture);
    let slivers = [subsections::<X86_64>(2, 1, 126), subsections::<X86_64>(5, 0, 63)];
    system.refuses(Op::AddDeviceRam(slivers), "no whole memory block of 32768");
    let twice = [sections::<X86_64>(2, 2), sections::<X86_64>(3, 2)];
    system.refuses(Op::AddDeviceRam(twice), "share memory");
    system
        .refuses(Op::RemoveDeviceRam([sections::<X86_64>(2, 1), sections::<X86_64>(4, 1)]), "does not exist");
    // The second range cannot be added, so the first is taken back.
    let onto_boot = [sections::<X86_64>(2, 1), sections::<X86_64>(0, 1)];
    system.refuses(Op::AddDeviceRam(onto_boot), "conflicts");
    // Only one of the two goes.
    system.apply(Op::AddMemory(sections::<X86_64>(2, 1))).unwrap();
    system
        .refuses(Op::RemoveDeviceRam([sections::<X86_64>(2, 1), sections::<X86_64>(4, 1)]), "does not exist");
}

/// Two pieces of one resource leave three, and there is room for two: nothing goes.
#[test]
fn slots_for_all_ranges_are_there_before_the_first_goes() {
    let Fixture { model, mut machine } = sparsemem_fixture::Pc::<sparsemem_machine::HostRcu<()>>::usual(
        sparsemem_fixture::Backend::ClassicSparse,
    );
    let ram = Ram::default();
    for (slots, goes) in [(2, false), (3, true)] {
        let mut hotplug = Hotplug::new(&model, Limits::new(BlockSize::SECTION), storage(8, 1, slots));
        hotplug.add_device_ram(&mut machine, &[sections::<X86_64>(1, 5)], NODE, ram).unwrap();
        let device = [sections::<X86_64>(2, 1), sections::<X86_64>(4, 1)];
        let removed = hotplug.remove_device_ram(&mut machine, &device);
        assert_eq!(removed.is_ok(), goes, "{removed:?}");
        assert!(goes || matches!(removed, Err(DeviceRamError::Remove(_))));
        assert_eq!(hotplug.blocks().iter().count(), if goes { 3 } else { 5 });
        let rest = if goes { vec![1, 3, 5] } else { vec![1, 2, 3, 4, 5] };
        for nr in rest {
            let _ = hotplug.remove_memory(&mut machine, sections::<X86_64>(nr, 1)).unwrap();
        }
    }
}
