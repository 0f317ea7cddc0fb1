//! Metadata that the environment does not take back while something is undone is counted, whatever else goes wrong.

use crate::common::refusing::{Refusing, refusing};
use sparsemem_core::presets::Tiny;
use sparsemem_core::{
    InstallError, LostBlocks, MemoryModel, MemoryRange, Origin, Page, PfnRange, SectionShape,
};
use sparsemem_fixture::{
    Backend, Env, Fixture, NODE, any_model, boot, bytes, sections, storage, subsections,
};
use sparsemem_hotplug::{
    AddDeviceError, AddMemoryError, BlockSize, Hotplug, Limits, MemoryKind, Ram, Request, add,
};
use sparsemem_machine::{HostRcu, Which};

type Model = any_model!(Tiny, Page, HostRcu<()>);

/// Boots with a section and a half, and lends hotplug with a provider that takes nothing back.
fn with_model(test: impl FnOnce(&mut Hotplug<'_, Refusing<Model>>, &mut Env)) {
    let half = u64::from(Tiny::SUBSECTIONS_PER_SECTION) / 2;
    let early = subsections::<Tiny>(1, 0, half);
    let Fixture { model, mut machine } = Fixture::<Model>::usual(Backend::ALL[0]);
    boot(&model, &mut machine, &[MemoryRange { frames: early, node: NODE }]);
    let (model, mut env): (&Model, _) = (Box::leak(Box::new(model)), Env::on(machine));
    let model = refusing(model);
    let mut hotplug = Hotplug::new(&model, Limits::new(BlockSize::SECTION), storage(8, 0, 8));
    hotplug.adopt_boot(bytes::<Tiny>(early), NODE).unwrap();
    env.takes_back = 0;
    test(&mut hotplug, &mut env);
}

/// An error counts so many blocks, names the first of them, and says both in words.
fn counts(error: &impl core::fmt::Display, lost: LostBlocks, count: u64) {
    let first = lost.first().expect("the first block is named");
    assert_eq!(lost.count(), count);
    let words = format!("; {count} metadata blocks were refused and are lost, the first because {first}; ");
    assert!(error.to_string().contains(&words), "{error}");
}

/// The third of three new sections finds no memory: a section takes a usage and a memmap, so the fifth request fails.
fn third_section_fails(env: &mut Env) {
    env.machine.faults().fail_nth(Which::All, 4);
}

#[test]
fn an_addition_that_fails_counts_what_its_undoing_loses() {
    with_model(|hotplug, env| {
        let request = Request::new(sections::<Tiny>(2, 3), NODE, MemoryKind::Ram, hotplug.limits()).unwrap();
        let mut writer = hotplug.model().write().unwrap();
        third_section_fails(env);
        let error = add(&mut writer, env, &request).unwrap_err();
        let InstallError::NoMetadata { section, lost, .. } = error else { panic!("{error}") };
        assert_eq!(section.get(), 4);
        counts(&error, lost, 4);
        add(&mut writer, env, &request).unwrap();
        let retired = writer.retire(env, request.frames()).unwrap();
        assert_eq!((retired.sections, retired.gone, retired.lost.count()), (3, 3, 6));
    });
}

/// The last of three sections is there already. With a provider that takes nothing back, undoing the two before it would
/// be a loss.
#[test]
fn what_is_there_already_is_found_before_anything_is_asked_for() {
    with_model(|hotplug, env| {
        let there = sections::<Tiny>(4, 1);
        let request = Request::new(sections::<Tiny>(2, 3), NODE, MemoryKind::Ram, hotplug.limits()).unwrap();
        let mut writer = hotplug.model().write().unwrap();
        writer.install(env, there, NODE).unwrap();
        let before = env.machine.balance();
        let error = add(&mut writer, env, &request).unwrap_err();
        let InstallError::Populated { frames, section, .. } = error else { panic!("{error}") };
        assert_eq!((frames, section.get()), (there, 4));
        assert_eq!(env.machine.balance().of(Origin::Runtime), before.of(Origin::Runtime));
    });
}

#[test]
fn ram_that_does_not_come_counts_what_was_lost() {
    with_model(|hotplug, env| {
        third_section_fails(env);
        let ram = sections::<Tiny>(3, 3);
        let error = hotplug.add_memory(env, ram, NODE, Ram::default()).unwrap_err();
        let AddMemoryError::Install { frames, why: InstallError::NoMetadata { lost, .. } } = error else {
            panic!("{error:?}")
        };
        assert_eq!(frames, ram);
        counts(&error, lost, 4);
    });
}

#[test]
fn a_device_that_does_not_come_counts_what_was_lost() {
    let half = u64::from(Tiny::SUBSECTIONS_PER_SECTION) / 2;
    with_model(|hotplug, env| {
        third_section_fails(env);
        // The hole of section 1 takes nothing.
        let device = subsections::<Tiny>(1, half, 7 * half);
        let error = hotplug.add_device(env, device, NODE, "device").unwrap_err();
        let AddDeviceError::Install { why: InstallError::NoMetadata { section, lost, .. }, .. } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(section.get(), 4);
        counts(&error, lost, 4);
    });
}

#[test]
fn a_device_goes_again_although_nothing_is_taken_back() {
    let half = u64::from(Tiny::SUBSECTIONS_PER_SECTION) / 2;
    with_model(|hotplug, env| {
        // From the hole of section 1 over section 2.
        let device: PfnRange = subsections::<Tiny>(1, half, 3 * half);
        hotplug.model().difference.refuse_mark_after(0);
        let error = hotplug.add_device(env, device, NODE, "device").unwrap_err();
        let AddDeviceError::Mark { frames, .. } = error else { panic!("{error:?}") };
        assert_eq!(frames, device);
        // The provider goes on counting the usage and the memmap of section 2.
        assert_eq!(env.machine.balance().of(Origin::Runtime).blocks, 2);
        assert!(!hotplug.model().is_valid(sections::<Tiny>(2, 1).start()));
        hotplug.add_device(env, device, NODE, "device").unwrap();
    });
}
