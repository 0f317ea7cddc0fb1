//! An undoing takes back what was installed last and nothing else, because it does not ask who needs the memory.

use sparsemem_core::{PfnRange, RetireError, Retired};

use crate::tables::{HALF, Model, NODE, SECTION, boot, frames, on_both_tables, present, retired, sections};
use sparsemem_fixture::Env;

fn not_installed(frames: PfnRange, installed: PfnRange) -> Result<Retired, RetireError> {
    Err(RetireError::NotInstalled { frames, installed })
}

/// Several sections go back at once, or one after the other from the end, whatever lies beside them.
fn sections_that_were_installed_in_a_row_are_undone<M: Model>(env: &mut Env, model: &mut M) {
    boot(model, env, &[frames(SECTION, SECTION + HALF)]);
    let parts =
        [frames(SECTION + HALF, 2 * SECTION), sections(2, 1), frames(3 * SECTION, 3 * SECTION + HALF)];
    let all = frames(SECTION + HALF, 3 * SECTION + HALF);
    let mut writer = model.write().unwrap();
    for part in parts {
        writer.install(env, part, NODE).unwrap();
    }
    assert_eq!(writer.undo_install(env, all), retired(3, 2));
    for part in parts {
        writer.install(env, part, NODE).unwrap();
    }
    assert_eq!(writer.undo_install(env, frames(2 * SECTION, all.end().get())), retired(2, 2));
    assert_eq!(writer.undo_install(env, parts[0]), retired(1, 0));
    assert_eq!(present(model), [1]);
}

/// The second half came after the first, which holds the memmap of both.
fn the_memory_under_a_later_installation_is_not_undone<M: Model>(env: &mut Env, model: &mut M) {
    let (low, high) = (frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 2 * SECTION));
    let mut writer = model.write().unwrap();
    env.memmaps_at(low.start());
    writer.install(env, low, NODE).unwrap();
    writer.install(env, high, NODE).unwrap();
    assert_eq!(writer.undo_install(env, low), not_installed(low, high));
    // Two installations in one section: where the first ended is not known any more.
    assert_eq!(writer.undo_install(env, sections(1, 1)), not_installed(sections(1, 1), high));
    assert_eq!(writer.undo_install(env, high), retired(1, 0));
    assert_eq!(writer.retire(env, low), retired(1, 1));
    assert_eq!(env.in_altmap(), 0);
}

/// A part of an installation may hold the descriptors of the rest.
fn an_installation_is_undone_as_a_whole<M: Model>(env: &mut Env, model: &mut M) {
    let two = sections(1, 2);
    let mut writer = model.write().unwrap();
    env.memmaps_at(two.start());
    writer.install(env, sections(1, 1), NODE).unwrap();
    writer.install(env, sections(2, 1), NODE).unwrap();
    for part in [sections(1, 1), frames(SECTION, 2 * SECTION + HALF), frames(2 * SECTION + HALF, 3 * SECTION)]
    {
        assert_eq!(writer.undo_install(env, part), not_installed(part, two));
    }
    assert_eq!(writer.undo_install(env, two), retired(2, 2));
    assert!(env.is_whole());
}

/// Memory of boot, memory of long ago, and memory beside which something was retired.
fn what_was_not_installed_last_is_retired_instead<M: Model>(env: &mut Env, model: &mut M) {
    boot(model, env, &[sections(0, 1)]);
    model.write().unwrap().set_offline(sections(0, 1)).unwrap();
    let mut writer = model.write().unwrap();
    let nothing = frames(0, 0);
    assert_eq!(writer.undo_install(env, sections(0, 1)), not_installed(sections(0, 1), nothing));
    for section in [3, 1] {
        writer.install(env, sections(section, 1), NODE).unwrap();
    }
    assert_eq!(writer.undo_install(env, sections(3, 1)), not_installed(sections(3, 1), sections(1, 1)));
    assert_eq!(writer.retire(env, sections(3, 1)), retired(1, 1));
    assert_eq!(writer.undo_install(env, sections(1, 1)), not_installed(sections(1, 1), nothing));
    assert_eq!(writer.retire(env, sections(0, 2)), retired(2, 2));
    assert!(env.is_whole());
}

/// The same frames, of boot: what came before the teardown does not make them undoable.
fn nothing_is_undone_over_a_teardown<M: Model>(env: &mut Env, model: &mut M) {
    model.write().unwrap().install(env, sections(1, 1), NODE).unwrap();
    model.tear_down(env).unwrap();
    boot(model, env, &[sections(1, 1)]);
    let mut writer = model.write().unwrap();
    writer.set_offline(sections(1, 1)).unwrap();
    assert_eq!(writer.undo_install(env, sections(1, 1)), not_installed(sections(1, 1), frames(0, 0)));
}

on_both_tables!(
    sections_that_were_installed_in_a_row_are_undone,
    the_memory_under_a_later_installation_is_not_undone,
    an_installation_is_undone_as_a_whole,
    what_was_not_installed_last_is_retired_instead,
    nothing_is_undone_over_a_teardown,
);
