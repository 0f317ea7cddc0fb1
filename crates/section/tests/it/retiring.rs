//! Memory goes: in any pieces, across sections, with at most one wait for readers.

use std::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{InstallError, Pfn, RetireError, SectionNr, SubsectionBits};
use sparsemem_machine::place;

use crate::tables::{
    HALF, MEMMAP, Model, NODE, SECTION, boot, frames, nr_waits, on_both_tables, present, retired, sections,
};
use sparsemem_fixture::Env;

fn a_range_goes_with_what_it_fills<M: Model>(env: &mut Env, model: &mut M) {
    let mut writer = model.write().unwrap();
    for nr in 10..15 {
        writer.install(env, sections(nr, 1), NODE).unwrap();
    }
    let _ = nr_waits();
    let middle = frames(10 * SECTION + HALF, 14 * SECTION + HALF);
    assert_eq!(writer.retire(env, middle), retired(5, 3));
    assert_eq!(nr_waits(), 1, "once for all of the sections");
    assert_eq!((present(model), model.footprint().memmap_bytes), (vec![10, 14], 2 * MEMMAP));
    let left = [frames(10 * SECTION, 10 * SECTION + HALF), frames(14 * SECTION + HALF, 15 * SECTION)];
    assert!(model.valid_ranges(sections(0, 20)).eq(left));
    // Half of a half, and then all the rest.
    let quarter = frames(10 * SECTION, 10 * SECTION + HALF / 2);
    assert_eq!(writer.retire(env, quarter), retired(1, 0));
    assert_eq!(nr_waits(), 1);
    assert!(!model.is_valid(quarter.start()) && model.is_valid(quarter.end()));
    let rest = frames(10 * SECTION + HALF / 2, 10 * SECTION + HALF);
    assert_eq!(writer.retire(env, rest), retired(1, 1));
    assert_eq!(writer.retire(env, left[1]), retired(1, 1));
    assert_eq!((nr_waits(), present(model)), (2, vec![]));
    assert!(env.is_whole(), "{:?}", env.machine.balance());
    assert_eq!(model.footprint(), place::<M>().footprint());
}

/// An early section is valid as a whole until all of it goes, so the descriptors of a part may still be used.
fn a_part_of_an_early_section_keeps_its_descriptors<M: Model>(env: &mut Env, model: &mut M) {
    boot(model, env, &[sections(0, 2)]);
    let (upper, pfn) = (frames(SECTION + HALF, 2 * SECTION), Pfn::new(SECTION + HALF + 9));
    let mut writer = model.write().unwrap();
    writer.set_offline(sections(1, 1)).unwrap();
    let place_before = model.lookup(pfn);
    model.read().page(pfn).unwrap().private.store(77, Ordering::Relaxed);
    let _ = nr_waits();
    assert_eq!(writer.retire(env, upper), retired(1, 0));
    assert_eq!(nr_waits(), 0, "nothing went that a reader may hold");
    let lower = SubsectionBits::touched::<X86_64>(frames(SECTION, SECTION + HALF)).unwrap();
    assert_eq!(model.section(SectionNr::new(1)).subsections, lower);
    writer.install(env, upper, NODE).unwrap();
    assert_eq!(model.section(SectionNr::new(1)).subsections, SubsectionBits::full::<X86_64>());
    assert_eq!(model.read().page(pfn).unwrap().private.load(Ordering::Relaxed), 77);
    assert_eq!(model.lookup(pfn), place_before);
    // As a whole it goes like any other.
    assert_eq!(writer.retire(env, sections(1, 1)), retired(1, 1));
    assert_eq!((nr_waits(), present(model)), (1, vec![0]));
    assert_eq!(model.footprint().memmap_bytes, MEMMAP);
}

fn a_refused_retirement_changes_nothing<M: Model>(env: &mut Env, model: &mut M) {
    let mut writer = model.write().unwrap();
    let half = frames(6 * SECTION, 6 * SECTION + HALF);
    writer.install(env, sections(5, 1), NODE).unwrap();
    writer.install(env, half, NODE).unwrap();
    writer.set_online(half).unwrap();
    let states = || [4, 5, 6, 7].map(|nr| model.section(SectionNr::new(nr)));
    let (before, out) = (states(), env.bytes_out());
    let _ = nr_waits();
    let bits = |frames| SubsectionBits::touched::<X86_64>(frames).unwrap();
    let upper = bits(frames(6 * SECTION + HALF, 7 * SECTION));
    let (whole, section) = (sections(6, 1), SectionNr::new(6));
    let absent = RetireError::Absent { frames: whole, section, absent: upper };
    assert_eq!(writer.retire(env, sections(5, 2)), Err(absent));
    assert_eq!(writer.retire(env, whole), Err(absent));
    let online = RetireError::Online { frames: half, section, online: bits(half) };
    let both = frames(5 * SECTION, 6 * SECTION + HALF);
    assert_eq!(writer.retire(env, both), Err(online));
    let nothing = RetireError::Absent {
        frames: sections(4, 1),
        section: SectionNr::new(4),
        absent: SubsectionBits::full::<X86_64>(),
    };
    assert_eq!(writer.retire(env, sections(4, 2)), Err(nothing));
    assert!(matches!(writer.retire(env, frames(1, 2)), Err(RetireError::Frames(_))));
    assert_eq!((states(), env.bytes_out(), nr_waits()), (before, out, 0));
    writer.set_offline(half).unwrap();
    // Absent parts stand in the way also where nothing is online.
    let before = states();
    assert_eq!(writer.retire(env, whole), Err(absent));
    assert_eq!(writer.retire(env, sections(5, 2)), Err(absent));
    assert_eq!((states(), env.bytes_out(), nr_waits()), (before, out, 0));
    assert_eq!(writer.retire(env, both), retired(2, 2));
    assert!(env.is_whole());
}

fn frames_are_installed_once<M: Model>(env: &mut Env, model: &mut M) {
    let mut writer = model.write().unwrap();
    let (lower, section) = (frames(0, HALF), SectionNr::new(0));
    writer.install(env, lower, NODE).unwrap();
    let out = env.bytes_out();
    for again in [sections(0, 1), lower, frames(HALF / 2, SECTION)] {
        let bits = |frames| SubsectionBits::touched::<X86_64>(frames).unwrap();
        let populated = bits(again).intersection(bits(lower));
        let refused = InstallError::Populated { frames: again, section, populated };
        assert_eq!(writer.install(env, again, NODE), Err(refused));
    }
    assert_eq!(env.bytes_out(), out);
    // The other half takes no memory: the section's descriptors are there.
    writer.install(env, frames(HALF, SECTION), NODE).unwrap();
    assert_eq!(env.bytes_out(), out);
    assert_eq!(writer.retire(env, sections(0, 1)), retired(1, 1));
    assert!(env.is_whole());
}

on_both_tables!(
    a_range_goes_with_what_it_fills,
    a_part_of_an_early_section_keeps_its_descriptors,
    a_refused_retirement_changes_nothing,
    frames_are_installed_once,
);
