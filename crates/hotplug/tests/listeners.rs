//! Whoever listens to events of slow operations may unwind: then the operation has not happened.

mod common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use common::{Model, Op, System};
use sparsemem_core::presets::Tiny;
use sparsemem_core::trace::tracing::{self, Event, Metadata, Subscriber, span};
use sparsemem_fixture::{Fixture, on_every_backend, sections};
use sparsemem_hotplug::{BlockSize, Limits};

on_every_backend!([Tiny] an_addition_that_unwinds_leaves_everything_as_it_was);

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

fn an_addition_that_unwinds_leaves_everything_as_it_was<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
    let before = system.snapshot();
    // At the event of the second section, when the first is installed.
    panics_after(1, || drop(system.apply(Op::AddMemory(sections::<M::Geometry>(3, 2)))));
    assert_eq!(system.snapshot().timeless(), before.timeless());
}
