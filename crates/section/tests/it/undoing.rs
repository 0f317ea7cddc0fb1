//! An undoing takes back what was installed last and nothing else, because it does not ask who needs the memory.

use sparsemem_core::{LostBlocks, PfnRange, RetireError, Retired};
use sparsemem_machine::place;

use crate::env::Env;
use crate::tables::{HALF, Model, NODE, SECTION, boot, frames, on_both_tables, present, sections};

fn undone(sections: u64, gone: u64) -> Result<Retired, RetireError> {
    Ok(Retired { sections, gone, lost: LostBlocks::default() })
}

fn not_installed(frames: PfnRange, installed: PfnRange) -> Result<Retired, RetireError> {
    Err(RetireError::NotInstalled { frames, installed })
}

/// Several sections go back at once, or one after the other from the end, whatever lies beside them.
fn sections_that_were_installed_in_a_row_are_undone<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    boot(&*model, &mut env, &[frames(SECTION, SECTION + HALF)]);
    let parts =
        [frames(SECTION + HALF, 2 * SECTION), sections(2, 1), frames(3 * SECTION, 3 * SECTION + HALF)];
    let all = frames(SECTION + HALF, 3 * SECTION + HALF);
    let mut writer = model.write().unwrap();
    for part in parts {
        writer.install(&mut env, part, NODE).unwrap();
    }
    assert_eq!(writer.undo_install(&mut env, all), undone(3, 2));
    for part in parts {
        writer.install(&mut env, part, NODE).unwrap();
    }
    assert_eq!(writer.undo_install(&mut env, frames(2 * SECTION, all.end().get())), undone(2, 2));
    assert_eq!(writer.undo_install(&mut env, parts[0]), undone(1, 0));
    assert_eq!(present(&*model), [1]);
}

/// The second half came after the first, which holds the memmap of both.
fn the_memory_under_a_later_installation_is_not_undone<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    let (low, high) = (frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 2 * SECTION));
    let mut writer = model.write().unwrap();
    env.memmaps_at(low.start());
    writer.install(&mut env, low, NODE).unwrap();
    writer.install(&mut env, high, NODE).unwrap();
    assert_eq!(writer.undo_install(&mut env, low), not_installed(low, high));
    // Two installations in one section: where the first ended is not known any more.
    assert_eq!(writer.undo_install(&mut env, sections(1, 1)), not_installed(sections(1, 1), high));
    assert_eq!(writer.undo_install(&mut env, high), undone(1, 0));
    assert_eq!(writer.retire(&mut env, low), undone(1, 1));
    assert_eq!(env.in_altmap, 0);
}

/// A part of an installation may hold the descriptors of the rest.
fn an_installation_is_undone_as_a_whole<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    let two = sections(1, 2);
    let mut writer = model.write().unwrap();
    env.memmaps_at(two.start());
    writer.install(&mut env, sections(1, 1), NODE).unwrap();
    writer.install(&mut env, sections(2, 1), NODE).unwrap();
    for part in [sections(1, 1), frames(SECTION, 2 * SECTION + HALF), frames(2 * SECTION + HALF, 3 * SECTION)]
    {
        assert_eq!(writer.undo_install(&mut env, part), not_installed(part, two));
    }
    assert_eq!(writer.undo_install(&mut env, two), undone(2, 2));
    assert!(env.is_whole());
}

/// Memory of boot, memory of long ago, and memory beside which something was retired.
fn what_was_not_installed_last_is_retired_instead<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    boot(&*model, &mut env, &[sections(0, 1)]);
    model.write().unwrap().set_offline(sections(0, 1)).unwrap();
    let mut writer = model.write().unwrap();
    let nothing = frames(0, 0);
    assert_eq!(writer.undo_install(&mut env, sections(0, 1)), not_installed(sections(0, 1), nothing));
    for section in [3, 1] {
        writer.install(&mut env, sections(section, 1), NODE).unwrap();
    }
    assert_eq!(writer.undo_install(&mut env, sections(3, 1)), not_installed(sections(3, 1), sections(1, 1)));
    assert_eq!(writer.retire(&mut env, sections(3, 1)), undone(1, 1));
    assert_eq!(writer.undo_install(&mut env, sections(1, 1)), not_installed(sections(1, 1), nothing));
    assert_eq!(writer.retire(&mut env, sections(0, 2)), undone(2, 2));
    assert!(env.is_whole());
}

/// The same frames, of boot: what came before the teardown does not make them undoable.
fn nothing_is_undone_over_a_teardown<M: Model>() {
    let mut env = Env::new();
    let mut model = place::<M>();
    model.write().unwrap().install(&mut env, sections(1, 1), NODE).unwrap();
    model.tear_down(&mut env).unwrap();
    boot(&*model, &mut env, &[sections(1, 1)]);
    let mut writer = model.write().unwrap();
    writer.set_offline(sections(1, 1)).unwrap();
    assert_eq!(writer.undo_install(&mut env, sections(1, 1)), not_installed(sections(1, 1), frames(0, 0)));
}

on_both_tables!(
    sections_that_were_installed_in_a_row_are_undone,
    the_memory_under_a_later_installation_is_not_undone,
    an_installation_is_undone_as_a_whole,
    what_was_not_installed_last_is_retired_instead,
    nothing_is_undone_over_a_teardown,
);
