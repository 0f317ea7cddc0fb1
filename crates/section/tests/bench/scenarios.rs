//! What readers and a writer do to each other. Each scenario is a test of every model.

use std::cell::Cell;

use sparsemem_core::presets::Minute;
use sparsemem_core::{
    MemoryModel, MemoryRange, NodeId, Pfn, Reclaim, SectionFlags, SectionNr, SectionState, SubsectionBits,
};

use super::race::{
    ROOT, SECTION, SUBSECTION, explore, frames, install, is_caught, look, nothing, race, race_of, retire,
};
use super::{DomainOf, Subject, ledger};

/// Every scenario for a model: a module of tests. `$subject` is generic over the domain of readers.
#[macro_export]
macro_rules! scenarios {
    ($module:ident, $subject:ident) => {
        mod $module {
            use super::*;
            use $crate::bench::domain::{Impatient, Patient};

            $crate::scenarios!(
                @ $subject<Patient>:
                a_lookup_against_an_installation_sees_all_or_nothing,
                a_lookup_against_an_installation_in_an_old_root_sees_all_or_nothing,
                a_lookup_against_a_removal_finds_live_memory,
                two_readers_against_a_removal_find_live_memory,
                a_lookup_against_a_new_root_sees_its_entries,
                a_lookup_against_the_release_of_a_root_touches_no_freed_entry,
                a_lookup_against_a_leaving_subsection_finds_live_memory,
                a_lookup_against_an_arriving_subsection_finds_live_memory,
                a_neighbour_stays_while_a_section_leaves,
                a_section_that_leaves_and_comes_back_is_live_when_found,
                two_sections_of_a_root_leave_at_once,
                two_sections_with_their_roots_leave_at_once,
                parts_of_two_sections_leave_at_once,
                the_state_of_a_section_against_an_installation_is_all_or_nothing,
                the_state_of_a_section_that_leaves_and_comes_back_is_one_of_its_states,
                a_walk_against_a_removal_ends,
                what_a_lookup_finds_a_walk_finds,
                an_online_lookup_against_offline_and_removal_finds_live_memory,
                a_lookup_against_boot_sees_all_or_nothing,
                the_order_of_cve_2023_52489_is_caught,
                a_memmap_that_goes_before_its_word_is_caught
            );
            $crate::scenarios!(@ $subject<Impatient>: a_domain_that_does_not_wait_is_caught);
        }
    };
    (@ $subject:ty: $($name:ident),*) => {
        $(#[test] fn $name() { $crate::bench::scenarios::$name::<$subject>(); })*
    };
}

/// A section is seen as a whole: once its word says that there is a memmap, all that was installed with it is found.
fn whole_or_not_at_all<S: Subject>(model: &S::Model) {
    let flags = model.section(SectionNr::new(0)).flags;
    let seen = look::<S>(model, &[0, SUBSECTION]);
    assert!(!seen[0] || seen[1], "a section was seen in part");
    assert!(!flags.contains(SectionFlags::HAS_MEM_MAP) || seen[0], "a word was seen before what it leads to");
}

/// Looks at a whole section.
fn look_at_section<S: Subject>(model: &S::Model) {
    look::<S>(model, &[0, SUBSECTION]);
}

pub(crate) fn a_lookup_against_an_installation_sees_all_or_nothing<S: Subject>() {
    explore(|| race::<S>(nothing::<S>(), whole_or_not_at_all::<S>, install::<S>(0, SECTION)));
}

pub(crate) fn a_lookup_against_an_installation_in_an_old_root_sees_all_or_nothing<S: Subject>() {
    explore(|| race::<S>(install::<S>(SECTION, SECTION), whole_or_not_at_all::<S>, install::<S>(0, SECTION)));
}

pub(crate) fn a_lookup_against_a_removal_finds_live_memory<S: Subject>() {
    explore(|| race::<S>(install::<S>(0, SECTION), look_at_section::<S>, retire::<S>(0, SECTION)));
}

pub(crate) fn two_readers_against_a_removal_find_live_memory<S: Subject>() {
    explore(|| {
        let read = |model: &S::Model| drop(look::<S>(model, &[0]));
        race_of::<S>(2, install::<S>(0, SECTION), read, retire::<S>(0, SECTION));
    });
}

pub(crate) fn a_lookup_against_a_new_root_sees_its_entries<S: Subject>() {
    explore(|| {
        let read = |model: &S::Model| {
            let seen = look::<S>(model, &[ROOT, 0]);
            assert!(seen[1], "section 0 was there all along");
        };
        race::<S>(install::<S>(0, SECTION), read, install::<S>(ROOT, SECTION));
    });
}

pub(crate) fn a_lookup_against_the_release_of_a_root_touches_no_freed_entry<S: Subject>() {
    explore(|| {
        // Another section of the root is looked up: its entry goes with the root.
        let read = |model: &S::Model| assert_eq!(look::<S>(model, &[ROOT + SECTION]), [false]);
        race::<S>(install::<S>(ROOT, SECTION), read, retire::<S>(ROOT, SECTION));
    });
}

pub(crate) fn a_lookup_against_a_leaving_subsection_finds_live_memory<S: Subject>() {
    explore(|| {
        let read = |model: &S::Model| {
            let seen = look::<S>(model, &[0, SUBSECTION]);
            assert!(seen[1], "the other subsection stays");
        };
        race::<S>(install::<S>(0, SECTION), read, retire::<S>(0, SUBSECTION));
    });
}

pub(crate) fn a_lookup_against_an_arriving_subsection_finds_live_memory<S: Subject>() {
    explore(|| {
        let read = |model: &S::Model| {
            let seen = look::<S>(model, &[0, SUBSECTION]);
            assert!(seen[1], "the other subsection is there");
        };
        race::<S>(install::<S>(SUBSECTION, SUBSECTION), read, install::<S>(0, SUBSECTION));
    });
}

pub(crate) fn a_neighbour_stays_while_a_section_leaves<S: Subject>() {
    explore(|| {
        let ready = |model: &S::Model, env: &mut S::Env| {
            install::<S>(0, SECTION)(model, env);
            install::<S>(SECTION, SECTION)(model, env);
        };
        let read = |model: &S::Model| {
            let seen = look::<S>(model, &[0, SECTION]);
            assert!(seen[1], "the neighbour stays");
        };
        race::<S>(ready, read, retire::<S>(0, SECTION));
    });
}

pub(crate) fn a_section_that_leaves_and_comes_back_is_live_when_found<S: Subject>() {
    explore(|| {
        race::<S>(install::<S>(0, SECTION), look_at_section::<S>, |model, env| {
            retire::<S>(0, SECTION)(model, env);
            install::<S>(0, SECTION)(model, env);
        });
    });
}

/// Removes two sections by one call, while two readers look at both.
fn two_leave_at_once<S: Subject>(first: u64) {
    explore(move || {
        let ready = move |model: &S::Model, env: &mut S::Env| {
            install::<S>(first, SECTION)(model, env);
            install::<S>(first + SECTION, SECTION)(model, env);
        };
        let read = move |model: &S::Model| drop(look::<S>(model, &[first, first + SECTION]));
        race_of::<S>(2, ready, read, move |model, env| {
            let both = frames(first, 2 * SECTION);
            let retired = model.write().unwrap().retire(env, both).unwrap();
            assert_eq!((retired.sections, retired.gone, retired.lost.count()), (2, 2, 0));
            assert_eq!(model.next_valid(both), None);
        });
    });
}

pub(crate) fn two_sections_of_a_root_leave_at_once<S: Subject>() {
    two_leave_at_once::<S>(0);
}

pub(crate) fn two_sections_with_their_roots_leave_at_once<S: Subject>() {
    two_leave_at_once::<S>(ROOT - SECTION);
}

pub(crate) fn parts_of_two_sections_leave_at_once<S: Subject>() {
    explore(|| {
        let ready = |model: &S::Model, env: &mut S::Env| {
            install::<S>(0, SECTION)(model, env);
            install::<S>(SECTION, SECTION)(model, env);
        };
        let read = |model: &S::Model| {
            let seen = look::<S>(model, &[0, SUBSECTION, SECTION, SECTION + SUBSECTION]);
            assert!(seen[0] && seen[3], "the outer subsections stay");
        };
        race::<S>(ready, read, |model, env| {
            let retired = model.write().unwrap().retire(env, frames(SUBSECTION, SECTION)).unwrap();
            assert_eq!((retired.sections, retired.gone, retired.lost.count()), (2, 0, 0));
        });
    });
}

/// The state of section 0: absent, or with all that `install` installs. A section of which readers still had the word
/// when it left may have no usage any more.
fn absent_or_whole(state: SectionState) -> bool {
    let whole = SubsectionBits::full::<Minute>();
    let installed = SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP;
    let is_there = |subsections| SectionState { flags: installed, subsections, ..SectionState::ABSENT };
    [SectionState::ABSENT, is_there(whole), is_there(SubsectionBits::EMPTY)].contains(&state)
}

pub(crate) fn the_state_of_a_section_against_an_installation_is_all_or_nothing<S: Subject>() {
    explore(|| {
        let read = |model: &S::Model| {
            let state = model.section(SectionNr::new(0));
            assert!(absent_or_whole(state), "{state:?}");
            assert_eq!(state.flags.is_empty(), state.subsections.is_empty(), "a word without its usage");
        };
        race::<S>(nothing::<S>(), read, install::<S>(0, SECTION));
    });
}

pub(crate) fn the_state_of_a_section_that_leaves_and_comes_back_is_one_of_its_states<S: Subject>() {
    explore(|| {
        let read = |model: &S::Model| {
            let state = model.section(SectionNr::new(0));
            assert!(absent_or_whole(state), "{state:?}");
        };
        race::<S>(install::<S>(0, SECTION), read, |model, env| {
            retire::<S>(0, SECTION)(model, env);
            install::<S>(0, SECTION)(model, env);
        });
    });
}

pub(crate) fn a_walk_against_a_removal_ends<S: Subject>() {
    explore(|| {
        let ready = |model: &S::Model, env: &mut S::Env| {
            install::<S>(0, SECTION)(model, env);
            install::<S>(ROOT, SECTION)(model, env);
        };
        let read = |model: &S::Model| {
            let sections: Vec<_> = model.present_sections().map(SectionNr::get).collect();
            assert!(sections == [0, ROOT / SECTION] || sections == [0], "{sections:?}");
        };
        race::<S>(ready, read, retire::<S>(ROOT, SECTION));
    });
}

pub(crate) fn what_a_lookup_finds_a_walk_finds<S: Subject>() {
    explore(|| {
        let read = |model: &S::Model| {
            // What is found stays, so the walks need not be under the same guard.
            if look::<S>(model, &[ROOT]) == [true] {
                assert_eq!(model.next_present(SectionNr::new(0)), Some(SectionNr::new(ROOT / SECTION)));
                assert!(model.next_valid(frames(0, 2 * ROOT)).is_some());
            }
        };
        race::<S>(nothing::<S>(), read, install::<S>(ROOT, SECTION));
    });
}

pub(crate) fn an_online_lookup_against_offline_and_removal_finds_live_memory<S: Subject>() {
    explore(|| {
        let read = |model: &S::Model| {
            let guard = DomainOf::<S>::enter();
            let found = model.lookup_online_with(Pfn::new(0), &guard);
            loom::thread::yield_now();
            if let Some(page) = found {
                ledger::assert_live(page.as_ptr().addr());
            }
        };
        let ready = |model: &S::Model, env: &mut S::Env| {
            install::<S>(0, SECTION)(model, env);
            model.write().unwrap().set_online(frames(0, SECTION)).unwrap();
        };
        race::<S>(ready, read, |model, env| {
            model.write().unwrap().set_offline(frames(0, SECTION)).unwrap();
            retire::<S>(0, SECTION)(model, env);
        });
    });
}

pub(crate) fn a_lookup_against_boot_sees_all_or_nothing<S: Subject>() {
    explore(|| {
        race::<S>(nothing::<S>(), whole_or_not_at_all::<S>, |model, env| {
            let range = MemoryRange { frames: frames(0, 1), node: NodeId::new(0) };
            let mut writer = model.write().unwrap();
            let up = writer.boot(env, core::iter::once(range), &mut |event| panic!("{event:?}")).unwrap();
            assert_eq!(up.sections, 1);
            assert!(model.section(SectionNr::new(0)).flags.contains(SectionFlags::EARLY));
        });
    });
}

/// What the ledger says of a reader who is cheated.
const GIVEN_BACK: &str = "was touched after it was given back";

/// What goes back too early.
#[derive(Clone, Copy)]
enum Early {
    Usage,
    Everything,
}

/// Removes a section after some of its memory was given back: free before unpublish.
fn too_early<S: Subject>(early: Early) -> bool {
    is_caught(GIVEN_BACK, move || {
        let usage = Cell::new(0);
        let ready = |model: &S::Model, env: &mut S::Env| {
            install::<S>(0, SECTION)(model, env);
            // There is one section, so one usage.
            usage.set(model.footprint().usage_bytes as usize);
        };
        race::<S>(ready, look_at_section::<S>, |model, env| {
            ledger::write_off_too_early(match early {
                Early::Usage => Some(usage.get()),
                Early::Everything => None,
            });
            loom::thread::yield_now();
            let _ = model.write().unwrap().retire(env, frames(0, SECTION)).unwrap();
        });
    })
}

/// The usage went before the word that leads to it.
pub(crate) fn the_order_of_cve_2023_52489_is_caught<S: Subject>() {
    assert!(too_early::<S>(Early::Usage));
}

/// Everything went before the word: Linux frees the memmap so to this day.
pub(crate) fn a_memmap_that_goes_before_its_word_is_caught<S: Subject>() {
    assert!(too_early::<S>(Early::Everything));
}

/// The removal of the third scenario, by a writer who does not wait for readers.
pub(crate) fn a_domain_that_does_not_wait_is_caught<S: Subject>() {
    assert!(is_caught(GIVEN_BACK, || {
        race::<S>(install::<S>(0, SECTION), look_at_section::<S>, retire::<S>(0, SECTION));
    }));
}
