//! Memory whose altmap holds descriptors of other memory: it stays as long as they are needed, wherever they belong to,
//! and an addition that fails is undone all the same.

use std::sync::atomic::Ordering;

use sparsemem_altmap::{Altmap, AltmapSpec};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{GracePeriod, MemoryModel, Page, PageCount, Pfn, PfnRange, RetireError, SectionNr};
use sparsemem_fixture::{NODE, Pc, PcModel, frames, on_every_backend, with_altmap, words_of};
use sparsemem_hotplug::{AddDeviceError, RemoveError};
use sparsemem_machine::Which;

use crate::system::{DEVICE, System, spec, with_system};

on_every_backend!(
    sparse [X86_64]
    a_device_that_holds_the_memmap_of_another_stays_until_that_is_gone,
    an_addition_over_the_memmap_of_another_is_undone,
    a_device_stays_under_the_memmap_of_the_next_section,
);

/// The two halves of a section: two devices.
fn halves() -> [PfnRange; 2] {
    [frames(DEVICE, 0, 32), frames(DEVICE, 32, 32)]
}

/// True if a section has one memmap, so that the first device in it brings the descriptors of the others too. Those of
/// a virtual array come in pages.
fn has_one_memmap<R: GracePeriod>(model: &PcModel<R>) -> bool {
    !model.backend().has_array()
}

/// Two devices adjoin in one section, and the first has an altmap.
fn a_device_that_holds_the_memmap_of_another_stays_until_that_is_gone<R: GracePeriod>(fixture: Pc<R>) {
    let [first, second] = halves();
    with_system(fixture, spec(0, 512), |system| {
        let mut words = words_of(spec(0, 512));
        // SAFETY: nothing of the system's own altmap is in use meanwhile.
        let mut altmap = unsafe { Altmap::<X86_64>::claim(spec(0, 512), &mut words) }.unwrap();
        let before = system.state();
        let env = &mut with_altmap(&mut system.machine, &mut altmap);
        system.hotplug.add_device(env, first, NODE, "first").unwrap();
        system.hotplug.add_device(&mut system.machine, second, NODE, "second").unwrap();
        mark(system.model, second);
        let both = (system.state(), format!("{altmap:?}"));
        let env = &mut with_altmap(&mut system.machine, &mut altmap);
        let removed = system.hotplug.remove_device(env, first);
        if has_one_memmap(system.model) {
            let why = RetireError::HoldsMemmap { frames: first, needed_by: second };
            assert_eq!(removed, Err(RemoveError::Retire { frames: first, why }));
            assert_eq!(system.model.write().unwrap().check_retire(&system.machine, first), Err(why));
            assert_eq!((system.state(), format!("{altmap:?}")), both);
            // Nor does it go without its altmap.
            let removed = system.hotplug.remove_device(&mut system.machine, first);
            assert_eq!(removed, Err(RemoveError::Retire { frames: first, why }));
            is_marked(system.model, second);
            let retired = system.hotplug.remove_device(&mut system.machine, second).unwrap();
            assert!(retired.lost.is_empty(), "{retired:?}");
            let env = &mut with_altmap(&mut system.machine, &mut altmap);
            let retired = system.hotplug.remove_device(env, first).unwrap();
            assert!(retired.lost.is_empty(), "{retired:?}");
        } else {
            assert!(removed.unwrap().lost.is_empty());
            is_marked(system.model, second);
            assert!(system.hotplug.remove_device(&mut system.machine, second).unwrap().lost.is_empty());
        }
        assert_eq!(system.state(), before);
        let free = altmap.release().map_err(|refused| refused.error).unwrap();
        assert_eq!(free, spec(0, 512));
    });
}

/// Writes to the descriptors of the first and the last frame.
fn mark(model: &impl MemoryModel<Page = Page>, frames: PfnRange) {
    let reader = model.read();
    for pfn in [frames.start(), Pfn::new(frames.end().get() - 1)] {
        reader.page(pfn).unwrap().private.store(!pfn.get(), Ordering::Relaxed);
    }
}

/// Checks that what was written is still there.
fn is_marked(model: &impl MemoryModel<Page = Page>, frames: PfnRange) {
    let reader = model.read();
    for pfn in [frames.start(), Pfn::new(frames.end().get() - 1)] {
        assert_eq!(reader.page(pfn).unwrap().private.load(Ordering::Relaxed), !pfn.get(), "frame {pfn}");
    }
}

/// An altmap of 16 MiB at the beginning of a device.
fn at(device: PfnRange) -> AltmapSpec {
    AltmapSpec::new(device.start(), PageCount::new(0), PageCount::new(4096)).unwrap()
}

/// The second device's memory holds the memmap of the first, which came before it: that does not stop the undoing.
fn an_addition_over_the_memmap_of_another_is_undone<R: GracePeriod>(fixture: Pc<R>) {
    let (first, second) = (frames(DEVICE, 0, 32), frames(DEVICE, 32, 96));
    with_system(fixture, at(second), |system| {
        let System { model, machine, hotplug, altmap } = system;
        let env = &mut with_altmap(machine, altmap);
        hotplug.add_device(env, first, NODE, "first").unwrap();
        let sections = || [0, 1].map(|nr| model.section(SectionNr::new(DEVICE + nr)));
        let before = (sections(), hotplug.resources().iter().count());
        machine.faults().fail_after(Which::All, 0);
        let env = &mut with_altmap(machine, altmap);
        let added = hotplug.add_device(env, second, NODE, "second");
        assert!(matches!(added, Err(AddDeviceError::Install { .. })), "{}: {added:?}", model.name());
        assert_eq!((sections(), hotplug.resources().iter().count()), before, "{}", model.name());
    });
}

/// The altmap of the first device also served the second, which shares no section with it.
fn a_device_stays_under_the_memmap_of_the_next_section<R: GracePeriod>(fixture: Pc<R>) {
    let (first, second) = (frames(DEVICE, 0, 64), frames(DEVICE + 1, 0, 64));
    with_system(fixture, at(first), |system| {
        let System { model, machine, hotplug, altmap } = system;
        let env = &mut with_altmap(machine, altmap);
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
