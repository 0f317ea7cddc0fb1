//! Every failure that an operation can meet, one by one, and the complete state compared before and after.
//!
//! For each operation: the 1st, 2nd, .. last allocation or mapping fails; each notifier refuses; each call of the
//! allocator that may refuse does; each mark of the model does; and somebody else writes to the model. The number of
//! points is printed; run with `--nocapture` to see it.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{Geometry, MemoryModel, SectionFlags, SectionShape};
use sparsemem_fixture::{Call, Fixture, Refusals, on_every_backend, sections, subsections};
use sparsemem_hotplug::{BlockSize, Limits};

on_every_backend!([Tiny, X86_64] every_failure_leaves_everything_as_it_was, every_failure_of_parts, every_failure_of_device_ram);
on_every_backend!([Tiny] a_mark_that_is_refused_undoes_the_device);

/// The number of failures that were tried, of each kind.
#[derive(Debug, Default)]
struct Points {
    allocations: u64,
    notifiers: u64,
    allocator: u64,
    marks: u64,
    busy: u64,
}

/// True if the operation takes memory away.
fn is_removal(op: Op) -> bool {
    matches!(op, Op::RemoveMemory(_) | Op::RemoveDevice(_) | Op::Unplug(_) | Op::RemoveDeviceRam(_))
}

impl Points {
    /// Fails `op`, which would succeed now, in every way; then lets it succeed.
    fn sweep<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        if is_removal(op) {
            // What comes again may get other memory than it had: that is the state to compare with.
            system.apply(op).unwrap();
            system.apply(op.inverse()).unwrap();
        }
        let before = system.snapshot().timeless();
        system.apply(op).unwrap();
        let after = system.snapshot().timeless();
        system.apply(op.inverse()).unwrap();
        assert_eq!(system.snapshot().timeless(), before, "{op:?} and back is not the identity");
        self.allocations(system, op);
        self.notifiers(system, op);
        self.allocator(system, op);
        self.marks(system, op);
        self.busy(system, op);
        system.apply(op).unwrap();
        assert_eq!(system.snapshot().timeless(), after);
    }

    fn allocations<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        let mut refusals = Refusals::default();
        while refusals.arm(&mut system.machine) {
            let before = system.snapshot();
            let result = system.apply(op);
            let refused = refusals.heal(&mut system.machine);
            assert!(refused || result.is_ok(), "{op:?} failed by itself: {result:?}");
            if result.is_ok() {
                // Nothing was refused, or something else would do: base pages where a large one was refused.
                system.apply(op.inverse()).unwrap();
            } else {
                assert_eq!(system.snapshot().done, before.done, "nobody may hear that {op:?} is done");
            }
            let (now, then) = (system.snapshot().timeless(), before.timeless());
            assert_eq!(now, then, "{op:?} with {refusals:?}: {result:?}");
        }
        self.allocations += refusals.count();
    }

    fn notifiers<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        if !matches!(op, Op::Online(_) | Op::Offline(_) | Op::Plug(_) | Op::Unplug(_)) {
            return;
        }
        for nr in 0..system.notifiers.len() {
            let cancelled: Vec<_> = system.notifiers.iter().map(|it| it.cancelled_count()).collect();
            system.notifiers[nr].refuse(true);
            system.refuses(op, "not now");
            system.notifiers[nr].refuse(false);
            for (other, notifier) in system.notifiers.iter().enumerate() {
                // Exactly those before the one that refused.
                assert_eq!(notifier.cancelled_count() - cancelled[other], usize::from(other < nr));
            }
            self.notifiers += 1;
        }
    }

    fn allocator<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        let calls: &[Call] = match op {
            Op::Online(_) | Op::Plug(_) => &[Call::Give],
            Op::Offline(_) | Op::Unplug(_) => &[Call::Isolate, Call::Evacuate],
            _ => &[],
        };
        for call in calls {
            system.allocator.refuse = Some(*call);
            system.refuses(op, "poisoned");
            system.allocator.refuse = None;
            self.allocator += 1;
        }
    }

    /// The model refuses each mark.
    fn marks<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        for k in 0.. {
            let before = system.snapshot();
            system.model.difference.refuse_mark_after(k);
            let result = system.apply(op);
            let refused = system.model.difference.heal();
            assert_eq!(result.is_err(), refused, "{op:?} with mark {k} refused: {result:?}");
            if !refused {
                system.apply(op.inverse()).unwrap();
                break;
            }
            assert_eq!(system.snapshot(), before, "{op:?} with mark {k} refused");
            self.marks += 1;
        }
    }

    /// Somebody else writes to the model.
    fn busy<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        let somebody = system.model.write().unwrap();
        system.refuses(op, "another operation of this model is running");
        drop(somebody);
        self.busy += 1;
    }
}

fn every_failure_leaves_everything_as_it_was<M: Model>(fixture: Fixture<M>) {
    let mut points = Points::default();
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    // RAM in section 0, in section 1 up to the middle, and from the middle of section 2 on.
    let early = [
        sections::<M::Geometry>(0, 1),
        subsections::<M::Geometry>(1, 0, subs / 2),
        subsections::<M::Geometry>(2, subs / 2, subs / 2),
    ];
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &early);
    let ram = sections::<M::Geometry>(4, 3);
    for op in [Op::AddMemory(ram), Op::Online(ram), Op::Offline(ram), Op::RemoveMemory(ram)] {
        points.sweep(&mut system, op);
    }
    // From hole to hole, over the border of two early sections: both are shared.
    let between = subsections::<M::Geometry>(1, subs / 2, subs);
    // From one early hole over nothing to the middle of a new section, then a neighbour in it.
    let new = subsections::<M::Geometry>(3, 1, subs + 1);
    let neighbour = subsections::<M::Geometry>(4, 2, 1);
    // Shared sections stay tainted: that is the state to compare with.
    system.apply(Op::AddDevice(between)).unwrap();
    system.apply(Op::RemoveDevice(between)).unwrap();
    assert!(system.section(1).flags.contains(SectionFlags::TAINT_ZONE_DEVICE));
    for op in [Op::AddDevice(between), Op::AddDevice(new)] {
        points.sweep(&mut system, op);
    }
    points.sweep(&mut system, Op::AddDevice(neighbour));
    for device in [between, new, neighbour] {
        points.sweep(&mut system, Op::RemoveDevice(device));
    }
    // The RAM of boot.
    let first = sections::<M::Geometry>(0, 1);
    points.sweep(&mut system, Op::Offline(first));
    system.apply(Op::RemoveMemory(first)).unwrap();
    points.sweep(&mut system, Op::AddMemory(first));
    println!("{} of {}: {points:?}", system.model.name(), M::Geometry::NAME);
}

fn every_failure_of_parts<M: Model>(fixture: Fixture<M>) {
    let mut points = Points::default();
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let early = [sections::<M::Geometry>(0, 1), subsections::<M::Geometry>(1, 0, subs / 2)];
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &early);
    // The hole of a section of boot; a new block; more of that block; over its end into the next but one.
    let parts = [(1, subs / 2, 1), (4, 1, 1), (4, 2, subs - 3), (4, subs - 1, subs + 2), (4, 0, 1)];
    let parts = parts.map(|(section, first, count)| subsections::<M::Geometry>(section, first, count));
    for part in parts {
        points.sweep(&mut system, Op::Plug(part));
    }
    // In another order than they came, and cut differently: the last of the middle ones is the block's last.
    let rest = subsections::<M::Geometry>(4, 3, subs - 4);
    for part in [parts[3], parts[1], parts[4], parts[0], subsections::<M::Geometry>(4, 2, 1), rest] {
        if !part.is_empty() {
            points.sweep(&mut system, Op::Unplug(part));
        }
    }
    println!("{} of {}: {points:?}", system.model.name(), M::Geometry::NAME);
}

/// The second of two shared sections of boot is not marked: the device does not come, and the first section keeps its
/// mark, as it does when a device went (H-62).
fn a_mark_that_is_refused_undoes_the_device<M: Model>(fixture: Fixture<M>) {
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let early =
        [subsections::<M::Geometry>(1, 0, subs / 2), subsections::<M::Geometry>(2, subs / 2, subs / 2)];
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &early);
    let before = system.snapshot();
    let device = subsections::<M::Geometry>(1, subs / 2, subs);
    system.model.difference.refuse_mark_after(1);
    let error = system.apply(Op::AddDevice(device)).unwrap_err();
    assert!(
        system.model.difference.heal() && error.contains("a section that it shares cannot be marked"),
        "{error}"
    );
    let mut after = system.snapshot();
    assert!(after.sections[1].flags.contains(SectionFlags::TAINT_ZONE_DEVICE));
    after.sections[1].flags -= SectionFlags::TAINT_ZONE_DEVICE;
    assert_eq!(after, before);
    system.apply(Op::AddDevice(device)).unwrap();
}

/// The memory of a device becomes RAM and a device's again, in two ranges with ragged ends.
fn every_failure_of_device_ram<M: Model>(fixture: Fixture<M>) {
    let mut points = Points::default();
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
    let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
    let ranges = [(2, 1, subs * 2), (5, subs - 1, subs + 2)];
    let ranges = ranges.map(|(section, first, count)| subsections::<M::Geometry>(section, first, count));
    // While they are a device's, their middle is no RAM: that takes the addresses twice.
    for range in ranges {
        system.apply(Op::AddDevice(range)).unwrap();
    }
    system.refuses(Op::AddDeviceRam(ranges), "conflicts");
    for range in ranges {
        system.apply(Op::RemoveDevice(range)).unwrap();
    }
    points.sweep(&mut system, Op::AddDeviceRam(ranges));
    let middles = [sections::<M::Geometry>(3, 1), sections::<M::Geometry>(6, 1)];
    points.sweep(&mut system, Op::Online(middles[1]));
    // The first range alone would go.
    system.refuses(Op::RemoveDeviceRam(ranges), "memory block 6 is online");
    points.sweep(&mut system, Op::Offline(middles[1]));
    points.sweep(&mut system, Op::RemoveDeviceRam(ranges));
    for range in ranges {
        points.sweep(&mut system, Op::AddDevice(range));
    }
    println!("{} of {}: {points:?}", system.model.name(), M::Geometry::NAME);
}
