//! Every failure that plugging or unplugging a run of blocks can meet, one by one, and the complete state compared before
//! and after; and the same in the middle of a resizing, which then goes on.
//!
//! The 1st, 2nd, .. last allocation or mapping fails, once and from then on; each notifier refuses; each call of the
//! allocator that may refuse does; each answer of the device is each that it can be; and somebody else writes to the
//! model. The number of points is printed; run with `--nocapture` to see it.

use crate::common::{FIRST, MIB, Model, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, MemoryModel, PfnRange};
use sparsemem_fixture::{Call, Fixture, Refusals, on_every_backend, sections, subsections};
use sparsemem_machine::{Misbehaviour, Which};
use sparsemem_virtio_mem::Error;

on_every_backend!([X86_64] every_failure_leaves_everything_as_it_was, a_resizing_goes_on_after_every_failure);
on_every_backend!([X86_64] blocks_without_an_answer_are_not_used);

/// The answers of a device that does not do what it is asked for.
const MISBEHAVIOURS: [Misbehaviour; 4] =
    [Misbehaviour::Busy, Misbehaviour::Nack, Misbehaviour::Error, Misbehaviour::Garbled];

/// One operation.
#[derive(Clone, Copy, Debug)]
enum Op {
    Plug(PfnRange),
    Unplug(PfnRange),
}

impl Op {
    fn inverse(self) -> Self {
        match self {
            Self::Plug(frames) => Self::Unplug(frames),
            Self::Unplug(frames) => Self::Plug(frames),
        }
    }

    fn apply<M: Model>(self, system: &mut System<M>) -> Result<(), Error> {
        match self {
            Self::Plug(frames) => system.plug(frames),
            Self::Unplug(frames) => system.unplug(frames),
        }
    }

    fn calls(self) -> &'static [Call] {
        match self {
            Self::Plug(_) => &[Call::Give],
            Self::Unplug(_) => &[Call::Isolate, Call::Evacuate],
        }
    }
}

/// The number of failures that were tried, of each kind.
#[derive(Debug, Default)]
struct Points {
    allocations: u64,
    notifiers: u64,
    allocator: u64,
    answers: u64,
    busy: u64,
}

impl Points {
    /// Fails `op`, which would succeed now, in every way; then lets it succeed.
    fn sweep<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        // What comes again may get other memory for its descriptors than it had: that is the state to compare with.
        op.apply(system).unwrap();
        op.inverse().apply(system).unwrap();
        let before = system.snapshot();
        self.allocations(system, op);
        for notifier in system.notifiers {
            notifier.refuse(true);
            refuses(system, op, "not now");
            notifier.refuse(false);
            self.notifiers += 1;
        }
        for call in op.calls() {
            system.pages.inner.refuse = Some(*call);
            refuses(system, op, "poisoned");
            system.pages.inner.refuse = None;
            self.allocator += 1;
        }
        self.answers(system, op);
        let somebody = system.model.write().unwrap();
        let error = refuses(system, op, "another operation of this model is running");
        assert!(error.is_busy());
        drop(somebody);
        self.busy += 1;
        assert_eq!(system.snapshot(), before);
        op.apply(system).unwrap();
        system.agrees(&format!("{op:?}"));
    }

    fn allocations<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        let mut refusals = Refusals::default();
        while refusals.arm(&mut system.machine) {
            let before = system.snapshot();
            let result = op.apply(system);
            let refused = refusals.heal(&mut system.machine);
            assert!(refused || result.is_ok(), "{op:?} failed by itself: {result:?}");
            system.agrees(&format!("{op:?} with {refusals:?}"));
            if result.is_ok() {
                // Nothing was refused, or something else would do: base pages where a large one was refused.
                op.inverse().apply(system).unwrap();
            }
            assert_eq!(system.snapshot(), before, "{op:?} with {refusals:?}: {result:?}");
        }
        self.allocations += refusals.count();
    }

    fn answers<M: Model>(&mut self, system: &mut System<M>, op: Op) {
        for misbehaviour in MISBEHAVIOURS {
            system.device.misbehave([Some(misbehaviour)]);
            let error = refuses(system, op, "the device does not");
            let busy = misbehaviour == Misbehaviour::Busy;
            assert_eq!(error.is_busy(), busy, "{error}");
            assert_eq!(system.device.heal(), 0, "{op:?} asks the device");
            self.answers += 1;
        }
        // It does what it is asked for and says so in a manner that nobody understands: then it is asked again.
        system.device.misbehave([Some(Misbehaviour::GarbledAfter)]);
        op.apply(system).unwrap();
        system.agrees(&format!("{op:?} with a garbled answer"));
        op.inverse().apply(system).unwrap();
        self.answers += 1;
    }
}

/// Asserts that an operation fails with these words and changes nothing.
fn refuses<M: Model>(system: &mut System<M>, op: Op, words: &str) -> Error {
    let before = system.snapshot();
    let error = op.apply(system).expect_err(words);
    assert!(error.to_string().contains(words), "{op:?} says: {error}");
    assert_eq!(system.snapshot(), before, "{op:?} failed and left something: {error}");
    system.agrees(&format!("{op:?}: {error}"));
    error
}

fn every_failure_leaves_everything_as_it_was<M: Model>(fixture: Fixture<M>) {
    let mut points = Points::default();
    let mut system = System::usual(fixture);
    system.device.request(ByteLen::new(512 * MIB));
    // The first of a memory block; one beside it; the rest of the block; over the border to the next; a whole one.
    let runs = [(0, 5, 1), (0, 6, 2), (0, 8, 56), (1, 60, 6), (3, 0, 64), (0, 0, 5)];
    let runs = runs.map(|(section, first, count)| subsections::<X86_64>(FIRST + section, first, count));
    for run in runs {
        points.sweep(&mut system, Op::Plug(run));
    }
    // Cut differently: through the middle of a block, one of each end, the last of a block.
    let cuts = [(0, 20, 10), (3, 0, 1), (3, 1, 63), (1, 60, 5), (2, 1, 1), (0, 0, 20), (0, 30, 34)];
    for (section, first, count) in cuts {
        points.sweep(&mut system, Op::Unplug(subsections::<X86_64>(FIRST + section, first, count)));
    }
    assert_eq!(system.blocks(), [0, 1]);
    assert!(points.answers == 13 * 5 && points.notifiers == 13 * 2, "{points:?}");
    println!("{}: {points:?}", system.model.name());
}

/// Each step of a resizing fails, in each way that a device or a lack of memory gives; what was done before stays and
/// agrees, and the next call reaches the size.
fn a_resizing_goes_on_after_every_failure<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let mut failed = 0;
    let mut go = |system: &mut System<M>, mib: u64, arm: &dyn Fn(&mut System<M>)| {
        arm(system);
        let result = system.resize(mib);
        let used = system.device.heal() == 0;
        system.machine.faults().heal();
        system.agrees(&format!("{mib} MiB: {result:?}"));
        let _ = system.resize(mib).unwrap();
        assert_eq!(system.device.plugged(), ByteLen::new(mib * MIB));
        failed += u32::from(result.is_err());
        result.is_err() || used
    };
    for misbehaviour in MISBEHAVIOURS {
        for k in 0.. {
            let arm = |system: &mut System<M>| {
                system.device.misbehave((0..k).map(|_| None).chain([Some(misbehaviour)]));
            };
            let grown = go(&mut system, 300, &arm);
            let shrunk = go(&mut system, 100, &arm);
            if !grown && !shrunk {
                break;
            }
        }
    }
    for k in 0..40 {
        let _ = go(&mut system, 300, &|system| system.machine.faults().fail_after(Which::All, k));
        let _ = go(&mut system, 100, &|_| {});
    }
    // Growing from 100 MiB takes three requests, shrinking as many.
    assert!(failed >= 4 * 6, "{failed} resizings failed");
    println!("{}: {failed} resizings failed and were finished", system.model.name());
}

/// The device neither answers nor says what the state is: nobody uses the blocks, and the next operation finds out.
fn blocks_without_an_answer_are_not_used<M: Model>(fixture: Fixture<M>) {
    use Misbehaviour::{Busy, Garbled, GarbledAfter};
    let mut system = System::usual(fixture);
    let run = subsections::<X86_64>(FIRST, 3, 2);
    let bytes = ByteLen::new(4 * MIB);
    for before in [Garbled, GarbledAfter] {
        system.device.request(bytes);
        let empty = system.snapshot();
        system.device.misbehave([Some(before), Some(Garbled)]);
        let error = system.plug(run).unwrap_err();
        assert!(matches!(error, Error::Device(_)), "{error}");
        let now = system.snapshot();
        assert_eq!((now.sections, now.frames, now.blocks), (empty.sections, empty.frames, empty.blocks));
        // It has to be found out first, and that may be refused, too.
        if before == GarbledAfter {
            system.device.misbehave([None, Some(Busy)]);
            assert!(system.resize(4).unwrap_err().is_busy());
        }
        let _ = system.resize(4).unwrap();
        system.agrees("4 MiB after no answer");
        // Memory that may be gone is gone, for the model and the allocator.
        system.device.misbehave([Some(before), Some(Garbled)]);
        let at = sections::<X86_64>(FIRST, 1);
        let last = system.model.next_valid(at).unwrap();
        system.unplug(last).unwrap();
        assert_eq!(system.blocks(), [0, 1]);
        let _ = system.resize(0).unwrap();
        system.agrees("nothing after no answer");
    }
}
