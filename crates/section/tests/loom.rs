//! Every order of a reader and a writer, as the memory model allows it.
//!
//! Run with `RUSTFLAGS="--cfg sparsemem_loom" cargo test --release -p sparsemem-section --test loom`. The code under
//! test is the crate's own, on loom's atomics. Memory is never really freed: it is written off in a [`ledger`], and
//! whoever touches what is written off fails the test. Two broken variants show that the tests bite: a domain that does
//! not wait, and the order of CVE-2023-52489, which gave the usage back before it was out of sight.
#![cfg(sparsemem_loom)]

mod ledger;
mod parts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use sparsemem_core::{
    BootModel, InstallModel, MarkModel, MemoryModel, MemoryRange, NodeId, PageCount, Pfn, PfnRange, Reclaim,
    RetireModel, SectionFlags, SectionNr,
};

use ledger::Ledger;
use parts::{Impatient, Memory, Patient, Rooted, model};

/// Frames of a subsection, of a section and of a root of the geometry.
const SUBSECTION: u64 = 2;
const SECTION: u64 = 4;
const ROOT: u64 = 16;

fn frames(start: u64, count: u64) -> PfnRange {
    PfnRange::from_start_count(Pfn::new(start), PageCount::new(count)).unwrap()
}

/// Explores every execution with a bounded number of preemptions, and prints how many there were.
fn explore(test: impl Fn() + Send + Sync + 'static) {
    let preemptions = std::env::var("SPARSEMEM_LOOM_PREEMPTIONS").ok().and_then(|bound| bound.parse().ok());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions.unwrap_or(3));
    let executions = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&executions);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        test();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

/// Looks frames up under one guard; what is found has to be live for as long as the guard is held.
fn look<R: Reclaim + 'static>(model: &Rooted<R>, frames: &[u64]) -> Vec<bool> {
    let guard = R::enter();
    let found: Vec<_> = frames.iter().map(|pfn| model.lookup_with(Pfn::new(*pfn), &guard)).collect();
    // A point at which the writer may run.
    thread::yield_now();
    for page in found.iter().flatten() {
        ledger::assert_live(page.as_ptr().addr());
    }
    found.iter().map(Option::is_some).collect()
}

/// A model with what `ready` makes of it, read by one thread while `write` changes it.
fn race<R: Reclaim + 'static>(
    ready: impl Fn(&Rooted<R>, &mut Memory),
    read: impl Fn(&Rooted<R>) + Send + Sync + Copy + 'static,
    write: impl Fn(&Rooted<R>, &mut Memory),
) {
    let _ledger = Ledger::open();
    let (model, mut memory) = (Arc::new(model::<R>()), Memory);
    ready(&model, &mut memory);
    let shared = Arc::clone(&model);
    let reader = thread::spawn(move || read(&shared));
    write(&model, &mut memory);
    reader.join().unwrap();
}

fn install<R: Reclaim + 'static>(start: u64, count: u64) -> impl Fn(&Rooted<R>, &mut Memory) {
    move |model, memory| model.install(memory, frames(start, count), NodeId::new(0)).unwrap()
}

fn retire(start: u64, count: u64) -> impl Fn(&Rooted<Patient>, &mut Memory) {
    move |model, memory| {
        let retired = model.retire(memory, frames(start, count)).unwrap();
        assert_eq!(retired.refused, 0);
    }
}

/// A section is seen as a whole: once its word says that there is a memmap, all that was installed with it is found.
fn whole_or_not_at_all(model: &Rooted<Patient>) {
    let flags = model.section(SectionNr::new(0)).flags;
    let seen = look(model, &[0, SUBSECTION]);
    assert!(!seen[0] || seen[1], "a section was seen in part");
    assert!(!flags.contains(SectionFlags::HAS_MEM_MAP) || seen[0], "a word was seen before what it leads to");
}

#[test]
fn a_lookup_against_an_installation_sees_all_or_nothing() {
    explore(|| race(|_, _| {}, whole_or_not_at_all, install(0, SECTION)));
}

#[test]
fn a_lookup_against_an_installation_in_an_old_root_sees_all_or_nothing() {
    explore(|| race(install(SECTION, SECTION), whole_or_not_at_all, install(0, SECTION)));
}

#[test]
fn a_lookup_against_a_removal_finds_live_memory() {
    explore(|| {
        let read = |model: &Rooted<Patient>| drop(look(model, &[0, SUBSECTION]));
        race(install(0, SECTION), read, retire(0, SECTION));
    });
}

#[test]
fn a_lookup_against_a_new_root_sees_its_entries() {
    explore(|| {
        let read = |model: &Rooted<Patient>| {
            let seen = look(model, &[ROOT, 0]);
            assert!(seen[1], "section 0 was there all along");
        };
        race(install(0, SECTION), read, install(ROOT, SECTION));
    });
}

#[test]
fn a_lookup_against_the_release_of_a_root_touches_no_freed_entry() {
    explore(|| {
        // Another section of the root is looked up: its entry goes with the root.
        let read = |model: &Rooted<Patient>| assert_eq!(look(model, &[ROOT + SECTION]), [false]);
        race(install(ROOT, SECTION), read, retire(ROOT, SECTION));
    });
}

#[test]
fn a_lookup_against_a_leaving_subsection_finds_live_memory() {
    explore(|| {
        let read = |model: &Rooted<Patient>| {
            let seen = look(model, &[0, SUBSECTION]);
            assert!(seen[1], "the other subsection stays");
        };
        race(install(0, SECTION), read, retire(0, SUBSECTION));
    });
}

#[test]
fn a_walk_against_a_removal_ends() {
    explore(|| {
        let read = |model: &Rooted<Patient>| assert!(model.present_sections().count() <= 2);
        race(
            |model, memory| {
                install(0, SECTION)(model, memory);
                install(ROOT, SECTION)(model, memory);
            },
            read,
            retire(ROOT, SECTION),
        );
    });
}

#[test]
fn an_online_lookup_against_offline_and_removal_finds_live_memory() {
    explore(|| {
        let read = |model: &Rooted<Patient>| {
            let guard = Patient::enter();
            let found = model.lookup_online_with(Pfn::new(0), &guard);
            thread::yield_now();
            if let Some(page) = found {
                ledger::assert_live(page.as_ptr().addr());
            }
        };
        race(
            |model, memory| {
                install(0, SECTION)(model, memory);
                model.set_online(frames(0, SECTION)).unwrap();
            },
            read,
            |model, memory| {
                model.set_offline(frames(0, SECTION)).unwrap();
                retire(0, SECTION)(model, memory);
            },
        );
    });
}

#[test]
fn a_lookup_against_boot_sees_all_or_nothing() {
    explore(|| {
        race(
            |_, _| {},
            whole_or_not_at_all,
            |model, memory| {
                let range = MemoryRange { frames: frames(0, 1), node: NodeId::new(0) };
                let up =
                    model.boot(memory, core::iter::once(range), &mut |event| panic!("{event:?}")).unwrap();
                assert_eq!(up.sections, 1);
                assert!(model.section(SectionNr::new(0)).flags.contains(SectionFlags::EARLY));
            },
        );
    });
}

/// Whether exploring a broken variant fails, as it must.
fn is_caught(test: impl Fn() + Send + Sync + 'static) -> bool {
    catch_unwind(AssertUnwindSafe(|| explore(test))).is_err()
}

#[test]
fn a_domain_that_does_not_wait_is_caught() {
    assert!(is_caught(|| {
        let read = |model: &Rooted<Impatient>| drop(look(model, &[0, SUBSECTION]));
        race(install(0, SECTION), read, |model, memory| {
            let _ = model.retire(memory, frames(0, SECTION)).unwrap();
        });
    }));
}

#[test]
fn the_order_of_cve_2023_52489_is_caught() {
    assert!(is_caught(|| {
        let read = |model: &Rooted<Patient>| drop(look(model, &[0, SUBSECTION]));
        // Usage and memmap are given back while the word still leads to them. What would follow, taking the word away,
        // comes too late for the reader, and is left out so that only the reader can trip.
        race(install(0, SECTION), read, |_, _| ledger::write_off_all());
    }));
}
