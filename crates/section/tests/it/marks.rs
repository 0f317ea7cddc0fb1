//! Marks: what is online, and what a device shares.

use sparsemem_core::presets::X86_64;
use sparsemem_core::{MarkError, SectionFlags, SectionNr, SubsectionBits};

use crate::tables::{HALF, Model, NODE, SECTION, frames, on_both_tables, sections};
use sparsemem_fixture::Env;

fn flags<M: Model>(model: &M, nr: u64) -> SectionFlags {
    model.section(SectionNr::new(nr)).flags
}

/// A model with three hot-added sections from number 4 on.
fn up<M: Model>(env: &mut Env, model: &M) {
    let mut writer = model.write().unwrap();
    for nr in 4..7 {
        writer.install(env, sections(nr, 1), NODE).unwrap();
    }
}

/// The middle of one section to the middle of the one after the next.
fn a_section_is_online_while_a_part_of_it_is<M: Model>(env: &mut Env, model: &mut M) {
    up(env, model);
    let added = SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP;
    assert_eq!(flags(model, 4), added);
    let range = frames(4 * SECTION + HALF, 6 * SECTION + HALF);
    let mut writer = model.write().unwrap();
    writer.set_online(range).unwrap();
    let upper = SubsectionBits::touched::<X86_64>(frames(4 * SECTION + HALF, 5 * SECTION)).unwrap();
    assert_eq!(model.section(SectionNr::new(4)).online, upper);
    assert_eq!(model.section(SectionNr::new(5)).online, SubsectionBits::full::<X86_64>());
    assert!((4..7).all(|nr| flags(model, nr) == added | SectionFlags::ONLINE));
    // A quarter stays: the section of it does.
    writer.set_offline(frames(4 * SECTION + HALF, 6 * SECTION + HALF / 2)).unwrap();
    assert_eq!([4, 5, 6].map(|nr| flags(model, nr)), [added, added, added | SectionFlags::ONLINE]);
    writer.set_offline(frames(6 * SECTION + HALF / 2, 6 * SECTION + HALF)).unwrap();
    assert_eq!(flags(model, 6), added);
}

fn shared_sections_stay_shared<M: Model>(env: &mut Env, model: &mut M) {
    up(env, model);
    let mut writer = model.write().unwrap();
    let before = flags(model, 5);
    for _ in 0..2 {
        writer.taint(frames(5 * SECTION, 5 * SECTION + HALF)).unwrap();
        assert_eq!(flags(model, 5), before | SectionFlags::TAINT_ZONE_DEVICE);
        assert_eq!([4, 6].map(|nr| flags(model, nr)), [before; 2]);
    }
}

/// All of the frames, or none.
fn a_refused_mark_changes_nothing<M: Model>(env: &mut Env, model: &mut M) {
    up(env, model);
    let states = || [4, 5, 6, 7].map(|nr| model.section(SectionNr::new(nr)));
    let mut writer = model.write().unwrap();
    writer.set_online(sections(6, 1)).unwrap();
    let before = states();
    let (section, already) = (SectionNr::new(6), SubsectionBits::full::<X86_64>());
    let twice = MarkError::Already { frames: sections(6, 1), section, already };
    assert_eq!(writer.set_online(sections(4, 3)), Err(twice));
    assert!(matches!(writer.set_offline(sections(4, 3)), Err(MarkError::Already { .. })));
    let absent = MarkError::Absent { frames: sections(7, 1), section: SectionNr::new(7), absent: already };
    assert_eq!(writer.set_online(sections(7, 1)), Err(absent));
    assert_eq!(writer.taint(sections(6, 2)), Err(absent));
    assert!(matches!(writer.taint(frames(1, 2)), Err(MarkError::Frames(_))));
    assert_eq!(states(), before);
}

on_both_tables!(
    a_section_is_online_while_a_part_of_it_is,
    shared_sections_stay_shared,
    a_refused_mark_changes_nothing,
);
