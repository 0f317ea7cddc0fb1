//! Whoever listens to events of slow operations may unwind: then the operation has not happened, and an undoing has.

use sparsemem_core::RetireError;
use sparsemem_fixture::{Env, panics_after};

use crate::tables::{Model, NODE, on_both_tables, sections};

/// Section 1 holds the memmap of section 2, which was installed last. A caller that undoes has no other way out.
fn an_undoing_is_not_refused_by_a_listener<M: Model>(env: &mut Env, model: &mut M) {
    let mut writer = model.write().unwrap();
    env.memmaps_at(sections(1, 1).start());
    writer.install(env, sections(1, 1), NODE).unwrap();
    writer.install(env, sections(2, 1), NODE).unwrap();
    panics_after(0, || {
        let _ = writer.undo_install(env, sections(2, 1));
    });
    assert!(!model.is_valid(sections(2, 1).start()));
    let (frames, installed) = (sections(1, 2), sections(1, 1));
    let absent = writer.undo_install(env, frames);
    assert!(matches!(absent, Err(RetireError::Absent { .. })), "{absent:?}");
    assert!(writer.undo_install(env, installed).is_ok());
    assert!(env.is_whole());
}

/// It can still be undone, which a retirement that happens makes impossible.
fn a_retirement_that_unwound_did_not_happen<M: Model>(env: &mut Env, model: &mut M) {
    let mut writer = model.write().unwrap();
    writer.install(env, sections(1, 1), NODE).unwrap();
    panics_after(0, || {
        let _ = writer.retire(env, sections(1, 1));
    });
    assert!(model.is_valid(sections(1, 1).start()));
    assert!(writer.undo_install(env, sections(1, 1)).is_ok());
}

on_both_tables!(an_undoing_is_not_refused_by_a_listener, a_retirement_that_unwound_did_not_happen);
