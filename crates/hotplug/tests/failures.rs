//! Every failure that an operation can meet, one by one, and the complete state compared before and after.
//!
//! For each operation: the 1st, 2nd, .. last allocation or mapping fails; each notifier refuses; each call of the
//! allocator that may refuse does; each mark of the model does; and somebody else writes to the model. The number of
//! points is printed; run with `--nocapture` to see it.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::people::Call;
use common::{Bench, Model, Op, Scenario, Start, on_every_model, sections, subsections};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{ByteLen, MemoryModel, SectionFlags, SectionShape};
use sparsemem_hotplug::{BlockSize, Limits};
use sparsemem_machine::Which;

/// What was tried.
#[derive(Default)]
struct Points {
    allocations: AtomicU64,
    notifiers: AtomicU64,
    allocator: AtomicU64,
    marks: AtomicU64,
    busy: AtomicU64,
}

impl Points {
    fn print(&self, name: &str) {
        let count = |points: &AtomicU64| points.load(Ordering::Relaxed);
        println!(
            "{name}: {} allocations and mappings, {} notifiers, {} allocator calls, {} marks, {} busy models",
            count(&self.allocations),
            count(&self.notifiers),
            count(&self.allocator),
            count(&self.marks),
            count(&self.busy),
        );
    }
}

struct EveryFailure {
    points: Points,
}

/// Which operations take memory away.
fn is_removal(op: Op) -> bool {
    matches!(op, Op::RemoveMemory(_) | Op::RemoveDevice(_))
}

impl EveryFailure {
    /// Fails `op`, which would succeed now, in every way; then lets it succeed.
    fn sweep<M: Model>(&self, bench: &mut Bench<M>, op: Op) {
        if is_removal(op) {
            // What comes again may get other memory than it had: that is the state to compare with.
            bench.apply(op).unwrap();
            bench.apply(op.inverse()).unwrap();
        }
        let before = bench.snapshot().timeless();
        bench.apply(op).unwrap();
        let after = bench.snapshot().timeless();
        bench.apply(op.inverse()).unwrap();
        assert_eq!(bench.snapshot().timeless(), before, "{op:?} and back is not the identity");
        self.allocations(bench, op);
        self.notifiers(bench, op);
        self.allocator(bench, op);
        self.marks(bench, op);
        self.busy(bench, op);
        bench.apply(op).unwrap();
        assert_eq!(bench.snapshot().timeless(), after);
    }

    fn allocations<M: Model>(&self, bench: &mut Bench<M>, op: Op) {
        for persistent in [false, true] {
            for k in 0.. {
                let before = bench.snapshot();
                let refusals = bench.machine.faults().refused();
                if persistent {
                    bench.machine.faults().fail_after(Which::All, k);
                } else {
                    bench.machine.faults().fail_nth(Which::All, k);
                }
                let result = bench.apply(op);
                let refused = bench.machine.faults().refused() > refusals;
                bench.machine.faults().heal();
                assert!(refused || result.is_ok(), "{op:?} failed by itself: {result:?}");
                if result.is_ok() {
                    // Nothing was refused, or something else would do: base pages where a large one was refused.
                    bench.apply(op.inverse()).unwrap();
                }
                if result.is_err() {
                    assert_eq!(bench.snapshot().done, before.done, "nobody may hear that {op:?} is done");
                }
                let (now, then) = (bench.snapshot().timeless(), before.timeless());
                assert_eq!(now, then, "{op:?} with request {k} refused: {result:?}");
                if !refused {
                    break;
                }
                self.points.allocations.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn notifiers<M: Model>(&self, bench: &mut Bench<M>, op: Op) {
        if !matches!(op, Op::Online(_) | Op::Offline(_)) {
            return;
        }
        for nr in 0..bench.notifiers.len() {
            let cancelled: Vec<_> = bench.notifiers.iter().map(|it| it.cancelled_count()).collect();
            bench.notifiers[nr].refuse(true);
            bench.refuses(op, "not now");
            bench.notifiers[nr].refuse(false);
            for (other, notifier) in bench.notifiers.iter().enumerate() {
                // Exactly those before the one that refused.
                assert_eq!(notifier.cancelled_count() - cancelled[other], usize::from(other < nr));
            }
            self.points.notifiers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn allocator<M: Model>(&self, bench: &mut Bench<M>, op: Op) {
        let calls: &[Call] = match op {
            Op::Online(_) => &[Call::Give],
            Op::Offline(_) => &[Call::Isolate, Call::Evacuate],
            _ => &[],
        };
        for call in calls {
            bench.allocator.refuse = Some(*call);
            bench.refuses(op, "poisoned");
            bench.allocator.refuse = None;
            self.points.allocator.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The model refuses each mark.
    fn marks<M: Model>(&self, bench: &mut Bench<M>, op: Op) {
        for k in 0.. {
            let before = bench.snapshot();
            bench.model.refuse_mark_after(k);
            let result = bench.apply(op);
            let refused = bench.model.heal();
            assert_eq!(result.is_err(), refused, "{op:?} with mark {k} refused: {result:?}");
            if !refused {
                bench.apply(op.inverse()).unwrap();
                break;
            }
            assert_eq!(bench.snapshot(), before, "{op:?} with mark {k} refused");
            self.points.marks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody else writes to the model.
    fn busy<M: Model>(&self, bench: &mut Bench<M>, op: Op) {
        let somebody = bench.model.write().unwrap();
        bench.refuses(op, "another operation of this model is running");
        drop(somebody);
        self.points.busy.fetch_add(1, Ordering::Relaxed);
    }
}

impl Scenario for EveryFailure {
    fn run<M: Model>(&self, start: Start<M>) {
        let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
        // RAM in section 0, in section 1 up to the middle, and from the middle of section 2 on.
        let early = [
            sections::<M::Geometry>(0, 1),
            subsections::<M::Geometry>(1, 0, subs / 2),
            subsections::<M::Geometry>(2, subs / 2, subs / 2),
        ];
        let mut bench = Bench::boot(start, limits::<M::Geometry>(1), &early);
        let ram = sections::<M::Geometry>(4, 3);
        for op in [Op::AddMemory(ram), Op::Online(ram), Op::Offline(ram), Op::RemoveMemory(ram)] {
            self.sweep(&mut bench, op);
        }
        // From hole to hole, over the border of two early sections: both are shared.
        let between = subsections::<M::Geometry>(1, subs / 2, subs);
        // From one early hole over nothing to the middle of a new section, then a neighbour in it.
        let new = subsections::<M::Geometry>(3, 1, subs + 1);
        let neighbour = subsections::<M::Geometry>(4, 2, 1);
        // Shared sections stay tainted: that is the state to compare with.
        bench.apply(Op::AddDevice(between)).unwrap();
        bench.apply(Op::RemoveDevice(between)).unwrap();
        assert!(bench.section(1).flags.contains(SectionFlags::TAINT_ZONE_DEVICE));
        for op in [Op::AddDevice(between), Op::AddDevice(new)] {
            self.sweep(&mut bench, op);
        }
        self.sweep(&mut bench, Op::AddDevice(neighbour));
        for device in [between, new, neighbour] {
            self.sweep(&mut bench, Op::RemoveDevice(device));
        }
        // The RAM of boot.
        let first = sections::<M::Geometry>(0, 1);
        self.sweep(&mut bench, Op::Offline(first));
        bench.apply(Op::RemoveMemory(first)).unwrap();
        self.sweep(&mut bench, Op::AddMemory(first));
    }
}

/// The second of two shared sections of boot is not marked: the device does not come, and the first section keeps its
/// mark, as it does when a device went (H-62).
struct SecondMark;

impl Scenario for SecondMark {
    fn run<M: Model>(&self, start: Start<M>) {
        let subs = u64::from(M::Geometry::SUBSECTIONS_PER_SECTION);
        let early =
            [subsections::<M::Geometry>(1, 0, subs / 2), subsections::<M::Geometry>(2, subs / 2, subs / 2)];
        let mut bench = Bench::boot(start, limits::<M::Geometry>(1), &early);
        let before = bench.snapshot();
        let device = subsections::<M::Geometry>(1, subs / 2, subs);
        bench.model.refuse_mark_after(1);
        let error = bench.apply(Op::AddDevice(device)).unwrap_err();
        assert!(bench.model.heal() && error.contains("a section that it shares cannot be marked"), "{error}");
        let mut after = bench.snapshot();
        assert!(after.sections[1].flags.contains(SectionFlags::TAINT_ZONE_DEVICE));
        after.sections[1].flags -= SectionFlags::TAINT_ZONE_DEVICE;
        assert_eq!(after, before);
        bench.apply(Op::AddDevice(device)).unwrap();
    }
}

#[test]
fn a_mark_that_is_refused_undoes_the_device() {
    on_every_model::<Tiny, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(&SecondMark);
}

fn limits<G: sparsemem_core::Geometry>(sections: u64) -> Limits<G> {
    Limits::new(BlockSize::new(ByteLen::new(sections * G::SECTION_SIZE)).unwrap())
}

#[test]
fn every_failure_on_a_tiny_machine() {
    let scenario = EveryFailure { points: Points::default() };
    on_every_model::<Tiny, { Tiny::NR_SECTIONS_LEN }, { Tiny::NR_ROOTS_LEN }>(&scenario);
    scenario.points.print("tiny");
}

#[test]
fn every_failure_on_a_pc() {
    let scenario = EveryFailure { points: Points::default() };
    on_every_model::<X86_64, { X86_64::NR_SECTIONS_LEN }, { X86_64::NR_ROOTS_LEN }>(&scenario);
    scenario.points.print("x86_64");
}
