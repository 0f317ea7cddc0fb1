//! Whoever listens to events of slow operations may unwind: then the operation has not happened.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use sparsemem_core::RetireError;
use sparsemem_core::trace::tracing::{self, Event, Metadata, Subscriber, span};
use sparsemem_machine::place;

use crate::env::Env;
use crate::tables::{Model, NODE, on_both_tables, sections};

thread_local!(static LEFT: Cell<Option<u32>> = const { Cell::new(None) });

/// Listens to every event of this program, and panics at the one that a thread asked for.
struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        let left = LEFT.get();
        LEFT.set(left.and_then(|left| left.checked_sub(1)));
        assert_ne!(left, Some(0), "the listener has had enough");
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Calls `act`, in which the listener panics after this many events.
fn panics_after(events: u32, act: impl FnOnce()) {
    static SET: Once = Once::new();
    SET.call_once(|| tracing::subscriber::set_global_default(Listener).unwrap());
    LEFT.set(Some(events));
    let unwound = catch_unwind(AssertUnwindSafe(act));
    LEFT.set(None);
    assert!(unwound.is_err(), "there were fewer events");
}

/// Section 1 holds the memmap of section 2, which was installed last and is still there.
fn an_undoing_that_unwound_did_not_happen<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    let mut writer = model.write().unwrap();
    env.memmaps_at(sections(1, 1).start());
    writer.install(&mut env, sections(1, 1), NODE).unwrap();
    writer.install(&mut env, sections(2, 1), NODE).unwrap();
    panics_after(0, || {
        let _ = writer.undo_install(&mut env, sections(2, 1));
    });
    assert!(model.is_valid(sections(2, 1).start()));
    let (frames, installed) = (sections(1, 1), sections(1, 2));
    let refused = writer.undo_install(&mut env, frames);
    assert_eq!(refused, Err(RetireError::NotInstalled { frames, installed }));
    assert!(writer.undo_install(&mut env, sections(2, 1)).is_ok());
}

/// It can still be undone, which a retirement that happens makes impossible.
fn a_retirement_that_unwound_did_not_happen<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    let mut writer = model.write().unwrap();
    writer.install(&mut env, sections(1, 1), NODE).unwrap();
    panics_after(0, || {
        let _ = writer.retire(&mut env, sections(1, 1));
    });
    assert!(model.is_valid(sections(1, 1).start()));
    assert!(writer.undo_install(&mut env, sections(1, 1)).is_ok());
}

on_both_tables!(an_undoing_that_unwound_did_not_happen, a_retirement_that_unwound_did_not_happen);
