//! Metadata that the environment does not take back while something is undone is counted, whatever else goes wrong.

mod common;

use common::flaky::Flaky;
use common::greedy::Greedy;
use common::{NODE, Rcu, bytes, sections, subsections};
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::Tiny;
use sparsemem_core::{BootModel, MemoryRange, Page, PfnRange, SectionShape};
use sparsemem_hotplug::{AddDeviceError, AddError, AddMemoryError, BlockSize, Hotplug, Limits, Ram, Storage};
use sparsemem_machine::{Machine, MachineConfig, Which, place};

type Model = Flaky<ClassicSparse<Tiny, Page, Rcu, { Tiny::NR_SECTIONS_LEN }>>;

/// Boots with a section and a half, and lends hotplug with a provider that takes nothing back.
fn with_greedy(test: impl FnOnce(&mut Hotplug<'_, Model>, &mut Greedy)) {
    let half = u64::from(Tiny::SUBSECTIONS_PER_SECTION) / 2;
    let early = subsections::<Tiny>(1, 0, half);
    let config = MachineConfig::new().memory(bytes::<Tiny>(sections::<Tiny>(0, 512)), NODE);
    let mut env = Greedy(Machine::new(&config).unwrap());
    let model = Box::leak(place::<ClassicSparse<Tiny, Page, Rcu, { Tiny::NR_SECTIONS_LEN }>>());
    let memory = MemoryRange { frames: early, node: NODE };
    model.boot(&mut env.0, [memory].into_iter(), &mut |event| panic!("{event:?}")).unwrap();
    env.0.finish_boot();
    let (mut blocks, mut resources) = ([None; 8], [None; 8]);
    let storage = Storage { blocks: &mut blocks, notifiers: &mut [], resources: &mut resources };
    let model = Flaky::new(model);
    let mut hotplug = Hotplug::new(&model, Limits::new(BlockSize::SECTION), storage);
    hotplug.adopt_boot(bytes::<Tiny>(early), NODE).unwrap();
    test(&mut hotplug, &mut env);
}

#[test]
fn a_mark_that_fails_tells_of_lost_blocks() {
    let half = u64::from(Tiny::SUBSECTIONS_PER_SECTION) / 2;
    // From the hole of section 1 over section 2; a section that is new takes a usage and a memmap.
    let device: PfnRange = subsections::<Tiny>(1, half, half + u64::from(Tiny::SUBSECTIONS_PER_SECTION));
    with_greedy(|hotplug, env| {
        hotplug.model().busy_after(2, 1);
        let error = hotplug.add_device(env, device, NODE, "device").unwrap_err();
        let AddDeviceError::Taint { undo: None, lost, first, .. } = error else { panic!("{error:?}") };
        assert_eq!((lost, first.is_some()), (2, true));
        assert!(
            error
                .to_string()
                .ends_with("2 metadata blocks were not taken back and are lost: check the provider")
        );
    });
    // The undoing stops behind section 1, of which nothing is lost: its metadata stays.
    with_greedy(|hotplug, env| {
        hotplug.model().busy_after(2, 3);
        let error = hotplug.add_device(env, device, NODE, "device").unwrap_err();
        let AddDeviceError::Taint { undo: Some(_), lost, first, .. } = error else { panic!("{error:?}") };
        assert_eq!((lost, first), (0, None));
        assert!(!error.to_string().contains("lost"), "{error}");
        hotplug.model().heal();
        assert_eq!(hotplug.finish(env).unwrap().refused, 2);
    });
}

#[test]
fn an_undoing_that_stops_tells_of_blocks_lost_before() {
    with_greedy(|hotplug, env| {
        // Two sections are installed, the third one finds no memory; one of the two goes again, the other one does not.
        env.0.faults().fail_nth(Which::All, 4);
        hotplug.model().busy_after(4, 1);
        let ram = sections::<Tiny>(3, 3);
        let error = hotplug.add_memory(env, ram, NODE, Ram::default()).unwrap_err();
        let AddMemoryError::Add(AddError::Stuck { lost, first, left, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!((lost, first.is_some(), left), (2, true, sections::<Tiny>(4, 1)));
        assert!(
            error
                .to_string()
                .ends_with("2 metadata blocks were not taken back and are lost: check the provider")
        );
        hotplug.model().heal();
        assert_eq!(hotplug.finish(env).unwrap().refused, 2);
    });
}
