//! The answers of lookups, and their reasons when they find nothing.

use std::ptr::NonNull;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootEvent, LookupError, MemoryModel, Page, Pfn, PfnRange, SectionNr, SectionShape, SubsectionBits,
};
use sparsemem_machine::place;

use crate::tables::{HALF, Model, NODE, ROOT, SECTION, boot, boot_telling, frames, on_both_tables, present};
use sparsemem_fixture::Env;

const MAX: u64 = X86_64::MAX_PFN;
/// Frames of a subsection.
const SUB: u64 = X86_64::PAGES_PER_SUBSECTION;

/// A model with an early section that is whole, one that is half a hole, and two hot-added pieces.
fn up<M: Model>(env: &mut Env, model: &M) {
    boot(model, env, &[frames(0, SECTION + HALF)]);
    let mut writer = model.write().unwrap();
    writer.install(env, first_piece(), NODE).unwrap();
    writer.install(env, second_piece(), NODE).unwrap();
}

/// Two subsections at the start of section 2.
fn first_piece() -> PfnRange {
    frames(2 * SECTION, 2 * SECTION + 2 * SUB)
}

/// The last subsection of a section of another root.
fn second_piece() -> PfnRange {
    frames((ROOT + 4) * SECTION - SUB, (ROOT + 4) * SECTION)
}

/// The answer of all ways to ask about a frame, which have to agree.
fn found<M: Model>(model: &M, pfn: u64) -> Result<NonNull<Page>, LookupError> {
    let pfn = Pfn::new(pfn);
    let found = model.explain(pfn, &());
    assert_eq!(model.lookup(pfn), found.ok(), "{pfn}");
    assert_eq!(model.is_valid(pfn), found.is_ok(), "{pfn}");
    found
}

fn a_frame_is_found_where_memory_was_added<M: Model>(env: &mut Env, model: &mut M) {
    up(env, model);
    // An early section is valid as a whole, its hole too.
    for (run, memmap_of) in [(frames(0, SECTION), 0), (frames(SECTION, 2 * SECTION), SECTION)] {
        let first = found(model, memmap_of).unwrap();
        for pfn in [run.start().get(), run.start().get() + 1, run.start().get() + HALF, run.end().get() - 1] {
            let distance = usize::try_from(pfn - memmap_of).unwrap() * size_of::<Page>();
            assert_eq!(found(model, pfn).unwrap().addr().get(), first.addr().get() + distance);
        }
    }
    let starts = [0, SECTION, 2 * SECTION, second_piece().start().get()];
    let mut places = starts.map(|pfn| found(model, pfn).unwrap());
    places.sort();
    assert!(places.windows(2).all(|two| two[0] != two[1]), "each section has descriptors of its own");
    for run in [first_piece(), second_piece()] {
        let (start, end) = (run.start().get(), run.end().get());
        assert!(found(model, start).is_ok() && found(model, end - 1).is_ok());
        assert!(found(model, start - 1).is_ok() == (start == 2 * SECTION) && found(model, end).is_err());
    }
}

fn a_frame_that_is_not_found_has_a_reason<M: Model>(env: &mut Env, model: &mut M) {
    up(env, model);
    for (pfn, section) in [(2 * SECTION + 2 * SUB, 2), (3 * SECTION - 1, 2), ((ROOT + 3) * SECTION, ROOT + 3)]
    {
        let (pfn, section) = (Pfn::new(pfn), SectionNr::new(section));
        let subsection = pfn.subsection::<X86_64>();
        assert_eq!(found(model, pfn.get()), Err(LookupError::AbsentSubsection { pfn, section, subsection }));
    }
    // Beside a known section, in a root without any, and the last of all.
    for section in [3, 5 * ROOT, X86_64::NR_SECTIONS - 1] {
        let (pfn, section) = (Pfn::new(section * SECTION + 7), SectionNr::new(section));
        assert_eq!(found(model, pfn.get()), Err(LookupError::AbsentSection { pfn, section }));
    }
    for pfn in [MAX, MAX + 1, u64::MAX] {
        let reason = LookupError::BeyondMaximum { pfn: Pfn::new(pfn), last: Pfn::new(MAX - 1) };
        assert_eq!(found(model, pfn), Err(reason));
    }
}

/// Whoever is told of an event of boot may look: sections are there, and have no descriptors yet.
fn a_marked_section_has_a_node_and_no_descriptors<M: Model>(env: &mut Env, model: &mut M) {
    let mut told = 0;
    let up = boot_telling(model, env, &[frames(0, HALF), frames(MAX, MAX + SUB)], &mut |event| {
        let beyond = BootEvent::BeyondMaximum { frames: frames(MAX, MAX + SUB), last: Pfn::new(MAX - 1) };
        assert_eq!(event, beyond);
        told += 1;
        let (pfn, section) = (Pfn::new(5), SectionNr::new(0));
        assert_eq!(found(model, 5), Err(LookupError::NoMemmap { pfn, section }));
        assert_eq!(model.lookup_online_with(pfn, &()), None);
        assert_eq!(model.next_valid(frames(0, MAX)), None);
        assert_eq!(present(model), [0]);
        let state = model.section(section);
        assert_eq!((state.early_node, state.subsections), (Some(NODE), SubsectionBits::EMPTY));
    });
    assert_eq!((told, up.sections, up.beyond_maximum.get()), (1, 1, SUB));
    assert_eq!(model.section(SectionNr::new(0)).early_node, None);
    assert!(found(model, 5).is_ok());
}

fn online_lookups_find_what_is_online<M: Model>(env: &mut Env, model: &mut M) {
    up(env, model);
    let online = |pfn: u64| {
        let found = model.lookup_online_with(Pfn::new(pfn), &());
        assert!(found.is_none() || found == model.lookup(Pfn::new(pfn)), "{pfn:#x}");
        found.is_some()
    };
    // The hole of an early section is valid, and is no RAM.
    assert!(online(0) && online(SECTION) && online(SECTION + HALF - 1) && !online(SECTION + HALF));
    assert!(!online(2 * SECTION) && !online(3 * SECTION) && !online(5 * ROOT * SECTION) && !online(MAX));
    let second = frames(2 * SECTION + SUB, 2 * SECTION + 2 * SUB);
    model.write().unwrap().set_online(second).unwrap();
    assert!(!online(2 * SECTION) && online(2 * SECTION + SUB) && !online(2 * SECTION + 2 * SUB));
    model.write().unwrap().set_offline(second).unwrap();
    assert!(!online(2 * SECTION + SUB) && model.is_valid(Pfn::new(2 * SECTION + SUB)));
}

fn walks_tell_every_run_once<M: Model>(env: &mut Env, model: &mut M) {
    up(env, model);
    assert_eq!(present(model), [0, 1, 2, ROOT + 3]);
    for (from, next) in [(0, 0), (1, 1), (3, ROOT + 3), (ROOT + 3, ROOT + 3)] {
        assert_eq!(model.next_present(SectionNr::new(from)), Some(SectionNr::new(next)));
    }
    assert_eq!(model.next_present(SectionNr::new(ROOT + 4)), None);
    let early = [frames(0, SECTION), frames(SECTION, 2 * SECTION)];
    let all = [early[0], early[1], first_piece(), second_piece()];
    assert!(model.valid_ranges(frames(0, MAX)).eq(all));
    // The ends of what is asked for cut runs off.
    let within = frames(SECTION + 5, 2 * SECTION + 3);
    let cut = [frames(SECTION + 5, 2 * SECTION), frames(2 * SECTION, 2 * SECTION + 3)];
    assert!(model.valid_ranges(within).eq(cut));
    for nothing in [frames(2 * SECTION + 2 * SUB, second_piece().start().get()), frames(7, 7)] {
        assert_eq!(model.next_valid(nothing), None);
    }
    assert_eq!(model.next_valid(frames(3 * SECTION, MAX)), Some(second_piece()));
}

#[test]
fn models_have_the_names_of_linux() {
    let (flat, rooted) = (place::<crate::tables::Flat>(), place::<crate::tables::Rooted>());
    assert_eq!((flat.name(), rooted.name()), ("classic-sparse", "sparse-extreme"));
    assert!(format!("{flat:?}").starts_with("classic-sparse"), "not the whole table: {flat:?}");
}

fn a_model_has_one_writer_at_a_time<M: Model>(_: &mut Env, model: &mut M) {
    let writer = model.write().unwrap();
    assert!(model.write().is_none());
    drop(writer);
    assert!(model.write().is_some());
}

on_both_tables!(
    a_model_has_one_writer_at_a_time,
    a_frame_is_found_where_memory_was_added,
    a_frame_that_is_not_found_has_a_reason,
    a_marked_section_has_a_node_and_no_descriptors,
    online_lookups_find_what_is_online,
    walks_tell_every_run_once,
);
