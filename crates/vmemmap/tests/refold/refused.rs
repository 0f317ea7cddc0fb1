//! Folds that are refused or fail leave everything as it was; readers notice none of it.

use std::sync::atomic::Ordering;

use sparsemem_core::{FoldError, MemoryModel, PageCount, Pfn, RefoldError, Refolded, RetireError, SectionNr};
use sparsemem_fixture::{Env, NODE};
use sparsemem_machine::Which;

use super::{
    Model, PAGE, SHARED, WHOLE, compound, fold, folded, frames, order, quiet, retire, set_word, tails,
    try_fold, unfold, up, word,
};
use crate::common::section;

#[test]
fn tails_that_differ_are_not_folded() {
    let (mut env, model) = up(&[8]);
    let start = section(8).start().get();
    for differing in [start + 65, start + 511, start + 512 + 100, start + 32767] {
        set_word(&model, differing, 1);
        let before = (env.machine.state_digest(), model.footprint());
        let refused = try_fold(&mut env, &model, section(8), 9, section(8)).unwrap_err();
        let like = Pfn::new(differing / 512 * 512 + 64);
        assert!(
            matches!(refused, RefoldError::Differs { pfn, like: found, .. } if pfn.get() == differing && found == like),
            "{refused:?}"
        );
        assert!(env.machine.state_digest() == before.0 && model.footprint() == before.1);
        assert_eq!((folded(&model, 8), word(&model, differing)), (0, 1));
        set_word(&model, differing, 0);
    }
    // The tails of one compound may be alike and unlike those of another.
    for pfn in start + 512 + 64..start + 1024 {
        set_word(&model, pfn, 9);
    }
    let _ = fold(&mut env, &model, section(8), 9);
    assert_eq!(
        (word(&model, start + 512 + 64), word(&model, start + 1023), word(&model, start + 64)),
        (9, 9, 0)
    );
    assert_eq!(model.footprint().memmap_bytes, 64 * PAGE + 2 * SHARED);
    retire(&mut env, &model, section(8));
    assert!(env.is_whole());
}

#[test]
fn what_cannot_be_folded_is_refused_and_nothing_changes() {
    let (mut env, model) = up(&[8]);
    let start = section(8).start().get();
    let whole = compound(8, 0);
    let _ = fold(&mut env, &model, compound(8, 2), 9);
    let before = (env.machine.state_digest(), model.footprint());
    let mut refused = |memory, log2| try_fold(&mut env, &model, memory, log2, section(8)).unwrap_err();
    let own = PageCount::new(64);
    assert_eq!(refused(whole, 6), RefoldError::Unfoldable(FoldError::TooSmall { order: order(6), own }));
    let unaligned = FoldError::Unaligned { frames: whole, order: order(10) };
    assert_eq!(refused(whole, 10), RefoldError::Unfoldable(unaligned));
    assert!(matches!(refused(frames(start, start + 256), 8), RefoldError::Frames(_)));
    assert!(matches!(refused(section(9), 9), RefoldError::Absent { .. }));
    let other = FoldError::OtherOrder { section: SectionNr::new(8), order: order(9) };
    assert_eq!(refused(frames(start + 0x800, start + 0xc00), 10), RefoldError::Unfoldable(other));
    // Twice, alone and as a part.
    for memory in [compound(8, 2), section(8)] {
        assert!(matches!(refused(memory, 9), RefoldError::Folded { frames, .. } if frames == memory));
    }
    for memory in [section(8), whole] {
        let refused = model.write().unwrap().unfold(&mut env, memory, NODE).unwrap_err();
        assert!(matches!(refused, RefoldError::NotFolded { frames, .. } if frames == memory), "{refused:?}");
    }
    assert!(env.machine.state_digest() == before.0 && model.footprint() == before.1);
    let _ = unfold(&mut env, &model, compound(8, 2));
    let again = model.write().unwrap().unfold(&mut env, compound(8, 2), NODE).unwrap_err();
    assert!(matches!(again, RefoldError::NotFolded { .. }));
    retire(&mut env, &model, section(8));
    assert!(env.is_whole());
}

#[test]
fn a_fold_is_not_undone_as_an_installation() {
    let (mut env, model) = up(&[8]);
    let _ = fold(&mut env, &model, section(8), 9);
    let refused = model.write().unwrap().undo_install(&mut env, section(8)).unwrap_err();
    assert!(matches!(refused, RetireError::NotInstalled { .. }));
}

/// Makes an operation fail at each of its requests; returns how many there were.
fn every_failure(
    env: &mut Env,
    model: &Model,
    act: impl Fn(&mut Env, &Model) -> Result<Refolded, RefoldError>,
) -> u64 {
    let before = (env.machine.state_digest(), model.footprint(), folded(model, 8), folded(model, 9));
    for which in [Which::Blocks, Which::Links] {
        for tried in 0.. {
            env.machine.faults().fail_nth(which, tried);
            let done = act(env, model);
            env.machine.faults().heal();
            assert_eq!(env.machine.mirror_matches_tables(), Ok(()));
            let Err(why) = done else { return tried };
            assert!(matches!(why, RefoldError::NoMetadata { lost, .. } if lost.is_empty()), "{why:?}");
            assert!(env.machine.state_digest() == before.0, "{which:?} {tried}");
            assert_eq!(
                (model.footprint(), folded(model, 8), folded(model, 9)),
                (before.1, before.2, before.3)
            );
        }
    }
    unreachable!()
}

#[test]
fn every_failure_leaves_everything_as_it_was() {
    let (mut env, model) = up(&[8, 9]);
    let both = frames(section(8).end().get() - 1024, section(9).start().get() + 1024);
    let around = frames(section(8).start().get(), section(9).end().get());
    let refused = every_failure(&mut env, &model, |env, model| {
        model.write().unwrap().fold(env, both, NODE, tails(9), quiet(around))
    });
    // Two shared pages with records, the tables aside, of which there are two of the lowest level, and a page for each that is
    // no tail.
    assert_eq!(refused, 4 + 5 + 2 * (512 - 14));
    let refused =
        every_failure(&mut env, &model, |env, model| model.write().unwrap().unfold(env, both, NODE));
    assert_eq!(refused, 5 + 28);
    assert_eq!(model.footprint().memmap_bytes, 2 * WHOLE);
    retire(&mut env, &model, around);
    assert!(env.is_whole());
}

#[test]
fn blocks_that_are_refused_are_reported() {
    let (mut env, model) = up(&[8]);
    env.takes_back = 0;
    let done = model.write().unwrap().fold(&mut env, section(8), NODE, tails(9), quiet(section(8))).unwrap();
    // The leaf, and the tables aside: all but the one that is in use now.
    assert_eq!(done.lost.count(), 1 + 3);
    // SAFETY: the model has given them up.
    unsafe { env.relent() };
    retire(&mut env, &model, section(8));
    assert!(env.is_whole());
}

#[test]
fn readers_read_while_compounds_are_folded_and_unfolded() {
    use std::sync::atomic::AtomicBool;
    let (mut env, model) = up(&[8]);
    let start = section(8).start().get();
    for pfn in (start..start + 32768).filter(|pfn| pfn % 512 < 64) {
        set_word(&model, pfn, pfn);
    }
    let (stop, model) = (AtomicBool::new(false), &*model);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let stop = &stop;
            scope.spawn(move || {
                let mut pfn = start + reader;
                while !stop.load(Ordering::Relaxed) {
                    let expected = if pfn % 512 < 64 { pfn } else { 0 };
                    assert_eq!(word(model, pfn), expected, "a descriptor has its content at any time");
                    pfn = start + (pfn - start + 37) % 32768;
                }
            });
        }
        for _ in 0..20 {
            let _ = fold(&mut env, model, section(8), 9);
            let _ = unfold(&mut env, model, section(8));
        }
        stop.store(true, Ordering::Relaxed);
    });
    retire(&mut env, model, section(8));
    assert!(env.is_whole());
}
