//! Whoever listens to events of slow operations may unwind: then the operation has not happened, and an undoing has.

use crate::common::{Model, Op, System};
use sparsemem_core::PfnRange;
use sparsemem_core::presets::Tiny;
use sparsemem_fixture::{Fixture, on_every_backend, panics_after, sections};
use sparsemem_hotplug::{BlockSize, Limits};
use sparsemem_machine::Which;

on_every_backend!([Tiny] an_addition_that_unwinds_leaves_everything_as_it_was);
on_every_backend!(sparse [Tiny] an_undoing_is_not_refused_by_a_listener);

fn an_addition_that_unwinds_leaves_everything_as_it_was<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
    let before = system.snapshot();
    // At the event of the second section, when the first is installed.
    panics_after(1, || drop(system.apply(Op::AddMemory(sections::<M::Geometry>(3, 2)))));
    assert_eq!(system.snapshot().timeless(), before.timeless());
}

/// The second section gets no memory, and the listener panics when the first is taken back.
fn an_undoing_is_not_refused_by_a_listener<M: Model>(fixture: Fixture<M>) {
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
    let before = system.snapshot();
    let one = blocks_of(&mut system, sections::<M::Geometry>(3, 1));
    system.machine.faults().fail_after(Which::Blocks, one);
    panics_after(2, || drop(system.apply(Op::AddMemory(sections::<M::Geometry>(3, 2)))));
    system.machine.faults().heal();
    assert_eq!(system.snapshot().timeless(), before.timeless());
}

/// The number of blocks that an addition takes.
fn blocks_of<M: Model>(system: &mut System<M>, frames: PfnRange) -> u64 {
    let blocks = |system: &System<M>| system.machine.balance().total().blocks;
    let before = blocks(system);
    system.apply(Op::AddMemory(frames)).unwrap();
    let taken = blocks(system) - before;
    system.apply(Op::RemoveMemory(frames)).unwrap();
    taken
}
