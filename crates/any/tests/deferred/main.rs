//! Boots that mark sections only, and bring-up of chosen ones later: by one processor and by several, with every failure.

mod shared;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{
    BootError, BootModel as _, BringUpError, BroughtUp, CompleteModel, DeferredModel, Geometry, InstallError,
    LookupError, MarkError, MemoryModel, MemoryRange, NoMemmap, NodeId, Page, RetireError, SectionFlags,
    SectionNr, SectionShape, SectionStamp as _, SectionState,
};
use sparsemem_fixture::{
    AnyModel, Backend, Fixture, NODE, any_model, on_every_backend, sections, subsections,
};
use sparsemem_machine::{Demand, HostRcu, Machine, Verdict, Which};

use self::shared::Shared;

/// Whatever a test needs of a model.
trait Model: CompleteModel<Machine> + DeferredModel<Machine> + MemoryModel<Page = Page> {}
impl<M: CompleteModel<Machine> + DeferredModel<Machine> + MemoryModel<Page = Page>> Model for M {}

on_every_backend!(
    sparse [Tiny, X86_64]
    marked_sections_are_present_and_have_nothing_else,
    a_section_that_is_brought_up_is_as_after_a_boot,
    whoever_changes_a_marked_section_is_refused,
    a_bring_up_that_fails_leaves_everything_as_it_was,
    a_teardown_takes_marked_sections,
    memory_of_neighbours_that_left_is_zero_again,
);
on_every_backend!(sparse [X86_64] the_memory_is_of_the_section_s_own_node, a_terabyte_costs_no_memmap);
on_every_backend!(sparse [Tiny, X86_64] several_processors_bring_each_section_up_once);
on_every_backend!(what_cannot_wait_says_so);

/// The sections of the tests: a run, a part, and one after a gap.
fn memory<G: Geometry>() -> [MemoryRange; 3] {
    let range = |frames, node| MemoryRange { frames, node };
    [
        range(sections::<G>(0, 2), NODE),
        range(subsections::<G>(2, 0, 1), NODE),
        range(sections::<G>(4, 1), NODE),
    ]
}

const MARKED: [u64; 4] = [0, 1, 2, 4];

fn mark<M: Model>(fixture: &mut Fixture<M>) {
    let Fixture { model, machine } = fixture;
    let complain = &mut |event| panic!("{event:?}");
    let memory = memory::<M::Geometry>().into_iter();
    let summary = model.write().unwrap().boot_deferred(machine, memory, complain).unwrap();
    assert_eq!((summary.sections, summary.runs, summary.lost), (4, 2, 0));
    machine.finish_boot();
}

fn bring_up<M: Model>(fixture: &mut Fixture<M>, nr: u64) -> Result<BroughtUp, BringUpError> {
    let Fixture { model, machine } = fixture;
    model.write().unwrap().jointly().bring_up(machine, SectionNr::new(nr))
}

/// The states of the sections of the tests, and of their neighbours.
fn states<M: MemoryModel>(model: &M) -> Vec<SectionState> {
    (0..6).map(|nr| model.section(SectionNr::new(nr))).collect()
}

/// Every valid frame of a section has a descriptor of zeros. Returns their number.
fn assert_zero<M: MemoryModel<Page = Page>>(model: &M, nr: u64) -> u64 {
    let reader = model.read();
    let mut found = 0;
    for pfn in model.valid_ranges(sections::<M::Geometry>(nr, 1)).frames() {
        let page = reader.page(pfn).unwrap();
        let (private, section) = (page.private.load(Ordering::Relaxed), page.section().get());
        assert_eq!((private, section), (0, 0), "{pfn}");
        found += 1;
    }
    found
}

fn marked_sections_are_present_and_have_nothing_else<M: Model>(mut fixture: Fixture<M>) {
    let bare = fixture.model.footprint();
    mark(&mut fixture);
    let Fixture { model, machine } = &fixture;
    let present: Vec<u64> = model.present_sections().map(SectionNr::get).collect();
    assert_eq!(present, MARKED);
    for nr in MARKED {
        let state = model.section(SectionNr::new(nr));
        let (section, pfn) = (SectionNr::new(nr), sections::<M::Geometry>(nr, 1).start());
        assert!(state.is_deferred(), "{state:?}");
        assert_eq!(state.flags, SectionFlags::PRESENT | SectionFlags::ONLINE);
        assert_eq!(state.early_node, Some(NODE));
        assert_eq!((model.lookup(pfn), model.is_valid(pfn)), (None, false));
        assert_eq!(model.read().explain(pfn).err(), Some(LookupError::NoMemmap { pfn, section }));
    }
    assert_eq!(model.next_valid(sections::<M::Geometry>(0, 8)), None);
    let now = model.footprint();
    assert_eq!((now.memmap_bytes, now.page_table_bytes), (0, 0));
    let taken = now.total_bytes() - bare.total_bytes();
    assert_eq!(machine.balance().total().bytes, taken, "what was allocated is counted");
}

fn a_section_that_is_brought_up_is_as_after_a_boot<G, const S: usize, const R: usize>(
    mut fixture: Fixture<AnyModel<G, Page, HostRcu<()>, S, R>>,
) where
    G: Geometry,
{
    let mut booted = Fixture::<AnyModel<G, Page, HostRcu<()>, S, R>>::usual(fixture.model.backend());
    sparsemem_fixture::boot(&booted.model, &mut booted.machine, &memory::<G>());
    mark(&mut fixture);
    // The last one first.
    for nr in MARKED.into_iter().rev() {
        assert!(matches!(bring_up(&mut fixture, nr), Ok(BroughtUp::Now { lost }) if lost.is_empty()));
        assert_eq!(fixture.model.section(SectionNr::new(nr)), booted.model.section(SectionNr::new(nr)));
        assert_eq!(assert_zero(&fixture.model, nr), assert_zero(&booted.model, nr));
        assert_eq!(bring_up(&mut fixture, nr), Ok(BroughtUp::Before));
    }
    assert_eq!(states(&fixture.model), states(&booted.model));
    let frames = sections::<G>(0, 8);
    assert!(fixture.model.valid_ranges(frames).eq(booted.model.valid_ranges(frames)));
    let absent = SectionNr::new(3);
    assert_eq!(bring_up(&mut fixture, 3), Err(BringUpError::Absent { section: absent }));
    let Fixture { model, machine } = &mut fixture;
    // Like memory of boot it can go.
    let part = subsections::<G>(4, 0, 1);
    let mut writer = model.write().unwrap();
    writer.set_offline(part).unwrap();
    assert!(writer.retire(machine, part).unwrap().lost.is_empty());
    drop(writer);
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    model.tear_down(machine).unwrap();
    assert!(machine.balance().is_zero(), "{:?}", machine.balance());
}

fn whoever_changes_a_marked_section_is_refused<M: Model>(mut fixture: Fixture<M>) {
    mark(&mut fixture);
    assert!(bring_up(&mut fixture, 1).is_ok());
    let Fixture { model, machine } = &mut fixture;
    let (before, balance) = (states(model), machine.balance());
    let mut writer = model.write().unwrap();
    for (nr, first) in [(0, 0), (2, 0), (2, 1)] {
        let (frames, section) = (subsections::<M::Geometry>(nr, first, 1), SectionNr::new(nr));
        let refusal = NoMemmap { frames, section };
        assert_eq!(writer.install(machine, frames, NODE), Err(InstallError::NoMemmap(refusal)));
        if first == 0 {
            assert_eq!(writer.retire(machine, frames), Err(RetireError::NoMemmap(refusal)));
        }
        assert_eq!(writer.set_online(frames), Err(MarkError::NoMemmap(refusal)));
        assert_eq!(writer.set_offline(frames), Err(MarkError::NoMemmap(refusal)));
        assert_eq!(writer.taint(frames), Err(MarkError::NoMemmap(refusal)));
        assert_eq!(RetireError::check(writer.model(), frames), Err(RetireError::NoMemmap(refusal)));
        let mark = sparsemem_core::Mark::Offline;
        assert_eq!(MarkError::check(writer.model(), frames, mark), Err(MarkError::NoMemmap(refusal)));
        assert!(refusal.to_string().ends_with("bring the section up first"));
    }
    // From a section that is up into one that is not.
    let across = subsections::<M::Geometry>(1, 0, u64::from(M::Geometry::SUBSECTIONS_PER_SECTION) + 1);
    assert!(matches!(writer.set_offline(across), Err(MarkError::NoMemmap(_))));
    let again = writer.boot_deferred(machine, memory::<M::Geometry>().into_iter(), &mut |_| {});
    assert_eq!(again, Err(BootError::AlreadyUp { present: SectionNr::new(0) }));
    drop(writer);
    assert_eq!((states(model), machine.balance()), (before, balance));
}

fn a_bring_up_that_fails_leaves_everything_as_it_was<M: Model>(mut fixture: Fixture<M>) {
    mark(&mut fixture);
    for nr in MARKED {
        let (before, footprint) = (states(&fixture.model), fixture.model.footprint());
        let balance = fixture.machine.balance();
        let mut failures = 0;
        for skip in 0.. {
            fixture.machine.faults().fail_after(Which::All, skip);
            let up = bring_up(&mut fixture, nr);
            fixture.machine.faults().heal();
            let Err(BringUpError::NoMetadata { section, lost, .. }) = up else {
                assert!(matches!(up, Ok(BroughtUp::Now { lost }) if lost.is_empty()), "{up:?}");
                break;
            };
            failures += 1;
            assert_eq!((section.get(), lost.is_empty()), (nr, true));
            assert_eq!((states(&fixture.model), fixture.model.footprint()), (before.clone(), footprint));
            assert_eq!(fixture.machine.balance(), balance, "after {skip} requests");
            assert_eq!(fixture.machine.mirror_matches_tables(), Ok(()));
        }
        // A neighbour of a tiny geometry finds its descriptors in a page that is there.
        assert!(failures > 0 || nr > 0);
        assert_zero(&fixture.model, nr);
        // One request alone fails: what was asked for first may be asked for again.
        assert_eq!(bring_up(&mut fixture, nr), Ok(BroughtUp::Before));
    }
    let Fixture { model, machine } = &mut fixture;
    model.tear_down(machine).unwrap();
    assert!(machine.balance().is_zero(), "{:?}", machine.balance());
}

fn a_teardown_takes_marked_sections<M: Model>(mut fixture: Fixture<M>) {
    for _ in 0..2 {
        let bare = fixture.model.footprint();
        mark(&mut fixture);
        bring_up(&mut fixture, 4).unwrap();
        let Fixture { model, machine } = &mut fixture;
        model.tear_down(machine).unwrap();
        assert!(machine.balance().is_zero(), "{:?}", machine.balance());
        assert_eq!(states(model), [SectionState::ABSENT; 6]);
        assert_eq!(model.footprint(), bare);
    }
}

/// Descriptors of tiny sections lie in one page, which stays while a neighbour needs it.
fn memory_of_neighbours_that_left_is_zero_again<M: Model>(mut fixture: Fixture<M>) {
    mark(&mut fixture);
    bring_up(&mut fixture, 1).unwrap();
    let frames = sections::<M::Geometry>(3, 1);
    {
        let Fixture { model, machine } = &mut fixture;
        model.write().unwrap().install(machine, frames, NODE).unwrap();
        let reader = model.read();
        for pfn in model.valid_ranges(sections::<M::Geometry>(1, 4)).frames() {
            reader.page(pfn).unwrap().private.store(u64::MAX, Ordering::Relaxed);
        }
        drop(reader);
        assert!(model.write().unwrap().retire(machine, frames).unwrap().lost.is_empty());
    }
    for nr in [0, 2, 4] {
        bring_up(&mut fixture, nr).unwrap();
        assert_zero(&fixture.model, nr);
    }
}

fn the_memory_is_of_the_section_s_own_node<M: Model>(mut fixture: Fixture<M>) {
    let far = NodeId::new(3);
    let Fixture { model, machine } = &mut fixture;
    let ranges =
        [(0, NODE), (1, far)].map(|(nr, node)| MemoryRange { frames: sections::<X86_64>(nr, 1), node });
    let mut writer = model.write().unwrap();
    writer.boot_deferred(machine, ranges.into_iter(), &mut |event| panic!("{event:?}")).unwrap();
    for (nr, node) in [(1, far), (0, NODE)] {
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&asked);
        machine.faults().fail_if(move |request| {
            if let Demand::Block { node, .. } = request.demand {
                seen.lock().unwrap().insert(node.get());
            }
            Verdict::Grant
        });
        writer.jointly().bring_up(machine, SectionNr::new(nr)).unwrap();
        machine.faults().heal();
        assert_eq!(*asked.lock().unwrap(), BTreeSet::from([node.get()]));
    }
}

/// One allocation for each section, of some hundred bytes, and one for each root.
fn a_terabyte_costs_no_memmap<M: Model>(fixture: Fixture<M>) {
    const SECTIONS: u64 = 8192;
    const CHOSEN: u64 = 300;
    let Fixture { model, mut machine } = fixture;
    let bare = model.footprint();
    let all = MemoryRange { frames: sections::<X86_64>(0, SECTIONS), node: NODE };
    let mut writer = model.write().unwrap();
    let summary = writer.boot_deferred(&mut machine, core::iter::once(all), &mut |event| panic!("{event:?}"));
    assert_eq!(summary.unwrap().sections, SECTIONS);
    assert!(machine.allocations() <= SECTIONS + SECTIONS / 256, "{}", machine.allocations());
    let taken = model.footprint().total_bytes() - bare.total_bytes();
    assert!(taken < SECTIONS * 256, "{taken} bytes");
    // And one section costs one memmap.
    writer.jointly().bring_up(&mut machine, SectionNr::new(CHOSEN)).unwrap();
    assert_eq!(model.footprint().memmap_bytes, X86_64::PAGES_PER_SECTION * size_of::<Page>() as u64);
    assert!(model.is_valid(sections::<X86_64>(CHOSEN, 1).start()));
    assert!(!model.is_valid(sections::<X86_64>(CHOSEN + 1, 1).start()));
}

/// All processors try all sections at the same time, some from the first and some from the last one, while a reader looks.
fn several_processors_bring_each_section_up_once<G, const S: usize, const R: usize>(
    fixture: Fixture<AnyModel<G, Page, HostRcu<()>, S, R>>,
) where
    G: Geometry,
{
    const SECTIONS: u64 = 7;
    let Fixture { mut model, mut machine } = fixture;
    let frames = sections::<G>(0, SECTIONS);
    let all = MemoryRange { frames, node: NODE };
    let complain = &mut |event| panic!("{event:?}");
    model.write().unwrap().boot_deferred(&mut machine, core::iter::once(all), complain).unwrap();
    let (machine, own, done) = (Mutex::new(machine), AtomicU64::new(0), AtomicBool::new(false));
    let mut writer = model.write().unwrap();
    let joint = writer.jointly();
    thread::scope(|threads| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (machine, own) = (&machine, &own);
                threads.spawn(move || {
                    for step in 0..SECTIONS {
                        let nr = if worker % 2 == 0 { step } else { SECTIONS - 1 - step };
                        match joint.bring_up(&mut Shared(machine), SectionNr::new(nr)).unwrap() {
                            BroughtUp::Now { lost } => {
                                assert!(lost.is_empty());
                                own.fetch_add(1, Ordering::Relaxed);
                            }
                            BroughtUp::Before | BroughtUp::Elsewhere => {}
                        }
                    }
                })
            })
            .collect();
        threads.spawn(|| {
            while !done.load(Ordering::Acquire) {
                (0..SECTIONS).map(|nr| assert_zero(joint.model(), nr)).for_each(drop);
                assert!(joint.model().write().is_none(), "nobody removes memory meanwhile");
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        done.store(true, Ordering::Release);
    });
    drop(writer);
    assert_eq!(own.into_inner(), SECTIONS);
    let mut machine = machine.into_inner().unwrap();
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    assert_eq!(model.valid_ranges(frames).frames().count() as u64, frames.count().get());
    model.tear_down(&mut machine).unwrap();
    assert!(machine.balance().is_zero(), "{:?}", machine.balance());
}

/// Models of one array have all descriptors or none.
fn what_cannot_wait_says_so(backend: Backend) {
    let Fixture { model, mut machine } = Fixture::<any_model!(Tiny, Page, HostRcu<()>)>::usual(backend);
    let mut writer = model.write().unwrap();
    let memory = memory::<Tiny>().into_iter();
    let booted = writer.boot_deferred(&mut machine, memory, &mut |_| {});
    match booted {
        Ok(summary) => assert!(backend.is_sparse() && summary.sections == 4),
        Err(error) => {
            assert_eq!(
                (backend.is_sparse(), error),
                (false, BootError::CannotDefer { model: backend.name() })
            );
            assert!(machine.balance().is_zero());
            let absent = writer.jointly().bring_up(&mut machine, SectionNr::new(0));
            assert_eq!(absent, Err(BringUpError::Absent { section: SectionNr::new(0) }));
            writer.boot(&mut machine, self::memory::<Tiny>().into_iter(), &mut |_| {}).unwrap();
            assert_eq!(writer.jointly().bring_up(&mut machine, SectionNr::new(0)), Ok(BroughtUp::Before));
        }
    }
}
