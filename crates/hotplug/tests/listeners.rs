//! Whoever listens to events of slow operations may unwind: then the operation has not happened.

mod common;

use common::{Model, Op, System};
use sparsemem_core::presets::Tiny;
use sparsemem_fixture::{Fixture, on_every_backend, panics_after, sections};
use sparsemem_hotplug::{BlockSize, Limits};

on_every_backend!([Tiny] an_addition_that_unwinds_leaves_everything_as_it_was);

fn an_addition_that_unwinds_leaves_everything_as_it_was<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
    let before = system.snapshot();
    // At the event of the second section, when the first is installed.
    panics_after(1, || drop(system.apply(Op::AddMemory(sections::<M::Geometry>(3, 2)))));
    assert_eq!(system.snapshot().timeless(), before.timeless());
}
