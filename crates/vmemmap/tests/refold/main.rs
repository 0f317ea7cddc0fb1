//! Compounds that are folded and unfolded while their memory is up: what they take, and what readers find.

#[path = "../common/mod.rs"]
mod common;
mod refused;

use std::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    CompoundOrder, MemoryModel, MemoryRange, Page, Pfn, PfnRange, QuietDescriptors, ReadOnlyTails, Reclaim,
    RefoldError, Refolded, RetireError, SectionNr, SectionShape, initialise, reset,
};
use sparsemem_fixture::{Env, NODE};
use sparsemem_machine::{HostRcu, place};
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

use common::{MIB, section};

struct Readers;
type Model = Vmemmap<X86_64, Page, HostRcu<Readers>, DynamicBase, { X86_64::NR_ROOTS_LEN }>;

const PAGE: u64 = 4096;
/// A page that compounds share, and its record.
const SHARED: u64 = PAGE + 32;
/// Bytes of descriptors of a section.
const WHOLE: u64 = 2 * MIB;

fn order(order: u8) -> CompoundOrder {
    CompoundOrder::new(order).unwrap()
}

fn tails(log2: u8) -> ReadOnlyTails {
    // SAFETY: no test stores to a tail's descriptor while it is folded.
    unsafe { ReadOnlyTails::promise(order(log2)) }
}

fn quiet(frames: PfnRange) -> QuietDescriptors {
    // SAFETY: each test has its model for itself, and one that has readers on other threads has no writers there.
    unsafe { QuietDescriptors::promise(frames) }
}

fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

/// Compound `nr` of order 9 in a section.
fn compound(of: u64, nr: u64) -> PfnRange {
    let start = section(of).start().get() + nr * 512;
    frames(start, start + 512)
}

/// A model that is alone on its machine, with some sections installed and initialised.
fn up(sections: &[u64]) -> (Env, Box<Model>) {
    let mut env = Env::new();
    let model = place::<Model>();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(env.machine.window_ptr(), env.machine.window().count().get()) };
    for nr in sections {
        model.write().unwrap().install(&mut env, section(*nr), NODE).unwrap();
        assert_eq!(initialise(&*model, section(*nr)), section(*nr).count());
    }
    (env, model)
}

/// The same with the sections as RAM of boot.
fn booted(ram: PfnRange) -> (Env, Box<Model>) {
    let (mut env, model) = up(&[]);
    let memory = core::iter::once(MemoryRange { frames: ram, node: NODE });
    model.write().unwrap().boot(&mut env, memory, &mut |event| panic!("{event:?}")).unwrap();
    model.write().unwrap().set_offline(ram).unwrap();
    (env, model)
}

fn try_fold(
    env: &mut Env,
    model: &Model,
    memory: PfnRange,
    log2: u8,
    still: PfnRange,
) -> Result<Refolded, RefoldError> {
    let done = model.write().unwrap().fold(env, memory, NODE, tails(log2), quiet(still));
    assert_eq!(env.machine.mirror_matches_tables(), Ok(()));
    done
}

/// Folds frames; those of their sections are quiet.
fn fold(env: &mut Env, model: &Model, memory: PfnRange, log2: u8) -> Refolded {
    let all = frames(memory.start().get() & !0x7fff, memory.end().get().next_multiple_of(0x8000));
    let done = try_fold(env, model, memory, log2, all).unwrap();
    assert!(done.lost.is_empty());
    done
}

fn unfold(env: &mut Env, model: &Model, memory: PfnRange) -> Refolded {
    let done = model.write().unwrap().unfold(env, memory, NODE).unwrap();
    assert_eq!((env.machine.mirror_matches_tables(), done.lost.is_empty()), (Ok(()), true));
    done
}

fn retire(env: &mut Env, model: &Model, memory: PfnRange) {
    let retired = model.write().unwrap().retire(env, memory).unwrap();
    assert!(retired.lost.is_empty());
    assert_eq!(env.machine.mirror_matches_tables(), Ok(()));
}

/// The word that a test put into a frame's descriptor.
fn word(model: &Model, pfn: u64) -> u64 {
    model.read().page(Pfn::new(pfn)).unwrap().private.load(Ordering::Relaxed)
}

fn set_word(model: &Model, pfn: u64, word: u64) {
    model.read().page(Pfn::new(pfn)).unwrap().private.store(word, Ordering::Relaxed);
}

/// The subsections of a section that are folded.
fn folded(model: &Model, nr: u64) -> u64 {
    let folded = model.folded(SectionNr::new(nr), &HostRcu::<Readers>::enter());
    folded.map_or(0, |folded| folded.subsections.words()[0])
}

#[test]
fn a_section_of_ram_is_folded_and_unfolded_and_keeps_every_word() {
    let (mut env, model) = up(&[8]);
    let start = section(8).start().get();
    for offset in [0, 63, 512, 512 + 63, 32767 - 511] {
        set_word(&model, start + offset, offset + 1);
    }
    let before = (model.footprint(), env.bytes_out());
    assert_eq!(before.0.memmap_bytes, WHOLE);
    let done = fold(&mut env, &model, section(8), 9);
    assert_eq!((done.given_back, done.taken), (WHOLE, 64 * PAGE));
    assert_eq!((model.footprint().memmap_bytes, folded(&model, 8)), (64 * PAGE + SHARED, u64::MAX));
    assert_eq!(env.bytes_out(), before.1 - WHOLE + 64 * PAGE + SHARED + PAGE, "and a table");
    assert_eq!(model.footprint().page_table_bytes, before.0.page_table_bytes + PAGE);
    let of_heads = |model: &Model| [0, 63, 512, 512 + 63].map(|offset| word(model, start + offset));
    assert_eq!((of_heads(&model), word(&model, start + 64)), ([1, 64, 513, 576], 0));
    // The stamp of a tail is that of the section.
    let stamped = model.read().page(Pfn::new(start + 64)).map(sparsemem_core::SectionStamp::section);
    assert_eq!(stamped, Some(SectionNr::new(8)));
    assert_eq!(reset(&*model, section(8)).get(), 64 * 64, "a store to a tail would fault");
    set_word(&model, start + 512, 7);
    let done = unfold(&mut env, &model, section(8));
    assert_eq!((done.given_back, done.taken), (0, 448 * PAGE));
    assert_eq!((model.footprint().memmap_bytes, folded(&model, 8)), (WHOLE, 0));
    assert_eq!(word(&model, start + 512), 7);
    // Every frame has a descriptor of its own again.
    for pfn in (start..start + 32768).step_by(61) {
        set_word(&model, pfn, pfn);
    }
    assert!((start..start + 32768).step_by(61).all(|pfn| word(&model, pfn) == pfn));
    assert_eq!(initialise(&*model, section(8)), section(8).count());
    retire(&mut env, &model, section(8));
    assert!(env.is_whole());
}

#[test]
fn a_second_fold_finds_small_leaves_and_gives_them_back_one_by_one() {
    let (mut env, model) = up(&[8]);
    let _ = fold(&mut env, &model, compound(8, 3), 9);
    // One leaf of 2 MiB became 505 pages and a shared one.
    assert_eq!(model.footprint().memmap_bytes, 505 * PAGE + SHARED);
    set_word(&model, compound(8, 5).start().get() + 1, 17);
    // Nothing moves any more, so nobody has to be quiet.
    let done = try_fold(&mut env, &model, compound(8, 5), 9, PfnRange::default()).unwrap();
    assert_eq!((done.given_back, done.taken), (7 * PAGE, 0));
    assert_eq!((folded(&model, 8), word(&model, compound(8, 5).start().get() + 1)), (0b10_1000, 17));
    let _ = unfold(&mut env, &model, compound(8, 3));
    assert_eq!((folded(&model, 8), model.footprint().memmap_bytes), (0b10_0000, 505 * PAGE + SHARED));
    let _ = unfold(&mut env, &model, compound(8, 5));
    assert_eq!((folded(&model, 8), model.footprint().memmap_bytes), (0, WHOLE));
    // Another order may come now.
    set_word(&model, compound(8, 5).start().get() + 1, 0);
    let _ = fold(&mut env, &model, section(8), 12);
    retire(&mut env, &model, section(8));
    assert!(env.is_whole());
}

#[test]
fn neighbours_in_the_same_leaf_keep_their_words_and_have_to_be_quiet() {
    let (mut env, model) = up(&[8]);
    let start = section(8).start().get();
    for pfn in (start..start + 32768).filter(|pfn| !(512 + 64..1024).contains(&(pfn - start))) {
        set_word(&model, pfn, pfn);
    }
    let before = env.machine.state_digest();
    let refused = try_fold(&mut env, &model, compound(8, 1), 9, compound(8, 1));
    assert_eq!(refused, Err(RefoldError::NotQuiet { frames: section(8) }));
    assert!(env.machine.state_digest() == before && folded(&model, 8) == 0);
    let _ = fold(&mut env, &model, compound(8, 1), 9);
    for pfn in (start..start + 32768).filter(|pfn| !(512 + 64..1024).contains(&(pfn - start))) {
        assert_eq!(word(&model, pfn), pfn);
    }
    retire(&mut env, &model, compound(8, 1));
    assert_eq!((word(&model, start), word(&model, start + 1024)), (start, start + 1024));
    retire(&mut env, &model, frames(start, start + 512));
    retire(&mut env, &model, frames(start + 1024, start + 32768));
    assert!(env.is_whole());
}

#[test]
fn a_range_over_two_sections_is_folded_as_one() {
    let (mut env, model) = up(&[8, 9, 10]);
    let (start, end) = (section(8).start().get() + 512, section(9).end().get() - 512);
    set_word(&model, start, 5);
    let _ = fold(&mut env, &model, frames(start, end), 9);
    assert_eq!((folded(&model, 8), folded(&model, 9), folded(&model, 10)), (!1, !(1 << 63), 0));
    // Descriptors have a stamp of their section, so that each has a shared page.
    assert_eq!(model.footprint().memmap_bytes, WHOLE + (2 * 64 + 2 * 7) * PAGE + 2 * SHARED);
    assert_eq!(
        (word(&model, start), model.read().head(Pfn::new(end - 1)).unwrap().0),
        (5, Pfn::new(end - 512))
    );
    let _ = unfold(&mut env, &model, frames(start, end));
    assert_eq!(model.footprint().memmap_bytes, 3 * WHOLE);
    retire(&mut env, &model, frames(section(8).start().get(), section(10).end().get()));
    assert!(env.is_whole());
}

#[test]
fn a_compound_may_be_larger_than_a_section() {
    let (mut env, model) = up(&[8, 9]);
    let both = frames(section(8).start().get(), section(9).end().get());
    let _ = fold(&mut env, &model, both, 16);
    assert_eq!(model.footprint().memmap_bytes, PAGE + 2 * SHARED);
    let last = Pfn::new(both.end().get() - 1);
    assert_eq!(model.read().head(last).unwrap().0, both.start());
    // A part of it may have descriptors of its own again.
    let _ = unfold(&mut env, &model, section(9));
    assert_eq!((model.read().head(last).unwrap().0, folded(&model, 8)), (last, u64::MAX));
    retire(&mut env, &model, both);
    assert!(env.is_whole());
}

#[test]
fn compounds_of_a_device_and_of_ram_share_a_page_if_both_are_blank() {
    let (mut env, model) = up(&[]);
    model.write().unwrap().install_compounds(&mut env, section(8), NODE, tails(9)).unwrap();
    model.write().unwrap().install(&mut env, section(9), NODE).unwrap();
    let _ = fold(&mut env, &model, section(9), 9);
    assert_eq!(model.footprint().memmap_bytes, 128 * PAGE + SHARED);
    // And what was folded when it was added can be unfolded, and folded again.
    let _ = unfold(&mut env, &model, section(8));
    assert_eq!(initialise(&*model, section(8)), section(8).count());
    assert_eq!(model.footprint().memmap_bytes, WHOLE + 64 * PAGE + SHARED);
    let _ = fold(&mut env, &model, section(8), 9);
    for nr in [8, 9] {
        retire(&mut env, &model, section(nr));
    }
    assert!(env.is_whole());
}

#[test]
fn blocks_go_back_to_where_they_came_from() {
    let (mut env, model) = up(&[]);
    env.memmaps_at(section(1).start());
    model.write().unwrap().install(&mut env, section(1), NODE).unwrap();
    assert_eq!(env.in_altmap(), 1);
    env.memmaps_anywhere();
    // The memmap leaves the altmap; its pages do not go to the allocator.
    let before = env.bytes_out();
    let _ = fold(&mut env, &model, section(1), 9);
    assert_eq!((env.in_altmap(), env.bytes_out() - before), (0, 64 * PAGE + SHARED + PAGE));
    env.memmaps_at(section(2).start());
    let _ = unfold(&mut env, &model, section(1));
    assert_eq!((env.in_altmap(), env.bytes_out() - before), (448, 64 * PAGE + PAGE));
    env.memmaps_anywhere();
    // The model knows that descriptors lie in an altmap now, and whose memory that is.
    model.write().unwrap().install(&mut env, section(2), NODE).unwrap();
    let held = model.write().unwrap().retire(&mut env, section(2)).unwrap_err();
    assert!(matches!(held, RetireError::HoldsMemmap { .. }), "{held:?}");
    retire(&mut env, &model, section(1));
    retire(&mut env, &model, section(2));
    assert!(env.is_whole());
}

#[test]
fn ram_of_boot_is_folded_and_its_parts_stay_until_they_are_unfolded() {
    let (mut env, model) = booted(section(1));
    let start = section(1).start().get();
    set_word(&model, start + 1, 3);
    let _ = fold(&mut env, &model, section(1), 9);
    assert_eq!((word(&model, start + 1), folded(&model, 1)), (3, u64::MAX));
    let refused = model.write().unwrap().retire(&mut env, compound(1, 2)).unwrap_err();
    assert!(matches!(refused, RetireError::Folded { .. }), "{refused:?}");
    assert!(matches!(
        model.write().unwrap().check_retire(&env, compound(1, 2)),
        Err(RetireError::Folded { .. })
    ));
    let _ = unfold(&mut env, &model, compound(1, 2));
    retire(&mut env, &model, compound(1, 2));
    // A hole of boot is no populated memory.
    let absent = try_fold(&mut env, &model, compound(1, 2), 9, section(1)).unwrap_err();
    assert!(matches!(absent, RefoldError::Absent { .. }));
    model.write().unwrap().install(&mut env, compound(1, 2), NODE).unwrap();
    assert_eq!(initialise(&*model, compound(1, 2)).get(), 512, "whoever adds memory there can write to it");
    retire(&mut env, &model, section(1));
    assert!(env.is_whole());
}

#[test]
fn memory_that_is_online_stays_so() {
    let (mut env, model) = up(&[8]);
    model.write().unwrap().set_online(section(8)).unwrap();
    let _ = fold(&mut env, &model, section(8), 9);
    assert!(model.read().online_page(section(8).start()).is_some());
    let _ = unfold(&mut env, &model, section(8));
    model.write().unwrap().set_offline(section(8)).unwrap();
    retire(&mut env, &model, section(8));
    assert!(env.is_whole());
}
