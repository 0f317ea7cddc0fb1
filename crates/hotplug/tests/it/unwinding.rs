//! Notifiers, an allocator, and whoever knows of reserved frames panic, each at each of their calls, while several blocks
//! go online and offline, and while that is undone.
//!
//! If the frames were not marked when the panic began, everything is as before. If they were, everything is done, for
//! everybody. The outsiders of the tests do what their contracts say of unwinding: a call that may refuse has done
//! nothing, and one that may not has done what it is called for.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{Model, Op, Snapshot, System};
use sparsemem_core::presets::Tiny;
use sparsemem_core::{MemoryModel, PageCount, PfnRange, SectionShape, SubsectionBits};
use sparsemem_fixture::{
    Call, Fixture, FrameState, NODE, Recorder, Watched, When, on_every_backend, sections, subsections,
};
use sparsemem_hotplug::{
    BlockNr, BlockSize, BlockState, Limits, MemoryChange, Notifier, Ram, Reason, Reserved, WithReserved,
};

on_every_backend!([Tiny] whoever_panics_leaves_all_or_nothing, whoever_panics_about_a_part);

/// A call that may panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Going,
    Done,
    Cancelled,
    Hook(Call),
    /// The question for reserved frames.
    NextReserved,
}

const POINTS: [Point; 9] = [
    Point::Going,
    Point::Done,
    Point::Cancelled,
    Point::Hook(Call::Give),
    Point::Hook(Call::Release),
    Point::Hook(Call::Isolate),
    Point::Hook(Call::Evacuate),
    Point::Hook(Call::Take),
    Point::NextReserved,
];

/// The failure besides the panic.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    None,
    /// The notifier of this number refuses.
    Notifier(usize),
    /// The allocator refuses this call, after so many.
    Allocator(Call, u64),
    /// The model refuses the mark.
    Mark,
}

/// The value that every panic of these tests carries.
struct Panic;

/// The call that is going to panic, and what was seen when it did.
struct NextPanic {
    call: Mutex<Option<(Point, u64)>>,
    is_online: Box<dyn Fn() -> bool + Send + Sync>,
    /// True if the frames were online; `None` if there was no panic.
    seen: Mutex<Option<bool>>,
}

impl NextPanic {
    /// Panics at the call of this number from now on, counted from zero.
    fn set(&self, point: Point, nth: u64) {
        *self.call.lock().unwrap() = Some((point, nth));
        *self.seen.lock().unwrap() = None;
    }

    /// Ends the wait for a panic. Says whether the frames were online at the panic since `set`, if there was one.
    fn stop(&self) -> Option<bool> {
        *self.call.lock().unwrap() = None;
        *self.seen.lock().unwrap()
    }

    /// A call: panics if it is the one.
    fn at(&self, point: Point) {
        {
            let mut call = self.call.lock().unwrap();
            let Some((_, left)) = call.as_mut().filter(|(wanted, _)| *wanted == point) else { return };
            if *left > 0 {
                *left -= 1;
                return;
            }
            *call = None;
        }
        *self.seen.lock().unwrap() = Some((self.is_online)());
        // As a panic, without its message.
        resume_unwind(Box::new(Panic));
    }
}

/// A notifier that panics when it is told to.
struct PanickingNotifier {
    inner: &'static Recorder,
    panics: Arc<NextPanic>,
}

impl Notifier for PanickingNotifier {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn going(&self, change: &MemoryChange) -> Result<(), Reason> {
        self.panics.at(Point::Going);
        self.inner.going(change)
    }

    fn done(&self, change: &MemoryChange) {
        self.inner.done(change);
        self.panics.at(Point::Done);
    }

    fn cancelled(&self, change: &MemoryChange) {
        self.inner.cancelled(change);
        self.panics.at(Point::Cancelled);
    }
}

/// A reserved run; the question for it panics when it is told to.
struct Middle<'h> {
    run: PfnRange,
    panics: &'h NextPanic,
}

impl Reserved for Middle<'_> {
    fn pinned(&self, _frames: PfnRange) -> Option<PfnRange> {
        None
    }

    fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange> {
        self.panics.at(Point::NextReserved);
        self.run.overlaps(frames).then_some(self.run)
    }
}

/// Three blocks, of which the first and the last host their memmap, with a reserved run in the second: the allocator
/// gets three runs in two calls of hotplug.
struct Trial<M: Model> {
    system: System<M>,
    panics: Arc<NextPanic>,
    frames: PfnRange,
    reserved: PfnRange,
}

impl<M: Model> Trial<M> {
    fn new(fixture: Fixture<M>) -> Self {
        let mut system =
            System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<M::Geometry>(0, 1)]);
        let memmap = PageCount::new(M::Geometry::PAGES_PER_SUBSECTION);
        for (nr, memmap) in [(4, memmap), (5, PageCount::new(0)), (6, memmap)] {
            system.add_host(nr, memmap);
        }
        let (frames, model) = (sections::<M::Geometry>(4, 3), system.model);
        let panics = Arc::new(NextPanic {
            call: Mutex::default(),
            is_online: Box::new(move || model.read().online_page(frames.start()).is_some()),
            seen: Mutex::default(),
        });
        for (inner, priority) in system.notifiers.iter().zip([7, 7, -1]) {
            system.hotplug.unregister_notifier(inner.name()).unwrap();
            let notifier = Box::leak(Box::new(PanickingNotifier { inner, panics: Arc::clone(&panics) }));
            system.hotplug.register_notifier(priority, notifier).unwrap();
        }
        Self { system, panics, frames, reserved: subsections::<M::Geometry>(5, 1, 1) }
    }

    /// Switches the blocks, or says why not.
    fn apply(&mut self, op: Op) -> Result<(), String> {
        let Self { system, panics, reserved, .. } = self;
        let System { hotplug, machine, allocator, .. } = system;
        let hooks = Watched(allocator, |call, when, _| {
            let may_refuse = matches!(call, Call::Give | Call::Isolate | Call::Evacuate);
            // What may refuse has done nothing when it panics; what may not has done its work.
            if may_refuse == (when == When::Before) {
                panics.at(Point::Hook(call));
            }
        });
        let mut hooks = WithReserved::new(hooks, Middle { run: *reserved, panics });
        match op {
            Op::Online(frames) => hotplug.online(&mut hooks, frames).map_err(|error| error.to_string()),
            Op::Offline(frames) => hotplug.offline(&mut hooks, frames).map_err(|error| error.to_string()),
            Op::Plug(frames) => {
                let ram = Ram::default();
                hotplug.plug(machine, &mut hooks, frames, NODE, ram).map_err(|error| error.to_string())
            }
            Op::Unplug(frames) => {
                hotplug.unplug(machine, &mut hooks, frames).map(drop).map_err(|error| error.to_string())
            }
            other => panic!("{other:?}"),
        }
    }

    fn make(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::None => {}
            Trouble::Notifier(nr) => self.system.notifiers[nr].refuse(true),
            Trouble::Allocator(call, after) => {
                (self.system.allocator.refuse, self.system.allocator.granted) = (Some(call), after);
            }
            Trouble::Mark => self.system.model.difference.refuse_mark_after(0),
        }
    }

    fn end_trouble(&mut self) {
        self.system.notifiers.iter().for_each(|notifier| notifier.refuse(false));
        self.system.allocator.refuse = None;
        self.system.model.difference.heal();
    }

    /// Panics at each call of `point` while `op` goes on with some trouble. The blocks are as before `op` afterwards.
    fn sweep(&mut self, op: Op, trouble: Trouble, point: Point, counts: &Counts) {
        for nth in 0.. {
            let before = self.system.snapshot();
            self.make(trouble);
            self.panics.set(point, nth);
            let result = catch_unwind(AssertUnwindSafe(|| self.apply(op)));
            let was_online = self.panics.stop();
            self.end_trouble();
            let context = format!("{op:?} with {trouble:?}, a panic at {point:?} number {nth}");
            assert!(self.system.model.write().is_some(), "{context}: the writer is still there");
            let Some(was_online) = was_online else {
                let result = result.unwrap_or_else(|_| panic!("{context}: a panic that nobody began"));
                assert_eq!(result.is_ok(), matches!(trouble, Trouble::None), "{context}: {result:?}");
                if result.is_ok() {
                    self.apply(op.inverse()).unwrap();
                }
                return;
            };
            let payload = result.expect_err("the panic goes on to the caller");
            assert!(payload.is::<Panic>(), "{context}: another panic");
            if was_online == matches!(op, Op::Online(_)) {
                self.is_done(&before, op, &context);
                self.apply(op.inverse()).unwrap();
                counts.after.fetch_add(1, Ordering::Relaxed);
            } else {
                assert_eq!(self.system.snapshot(), before, "{context}: something stayed");
                counts.before.fetch_add(1, Ordering::Relaxed);
            }
            let before = self.system.snapshot();
            self.apply(op).unwrap();
            self.is_done(&before, op, &context);
            self.apply(op.inverse()).unwrap();
        }
    }

    /// The blocks have arrived, the frames are marked, the allocator has them or not, and everybody heard so once.
    fn is_done(&self, before: &Snapshot, op: Op, context: &str) {
        let now = self.system.snapshot();
        let online = matches!(op, Op::Online(_));
        let state = if online { BlockState::Online } else { BlockState::Offline };
        for nr in [4, 5, 6] {
            let block = now.blocks.iter().find(|block| block.nr.get() == nr).unwrap();
            assert_eq!(block.state, state, "{context}: block {nr}");
            let section = self.system.section(nr);
            let marked = if online { section.subsections } else { SubsectionBits::EMPTY };
            assert_eq!(section.online, marked, "{context}: section {nr}");
        }
        assert!(now.pending.iter().all(|pending| !pending), "{context}: somebody hears no end");
        let heard: Vec<_> = before.done.iter().map(|done| done + 1).collect();
        assert_eq!(now.done, heard, "{context}: who heard that it is done");
        let granule = M::Geometry::PAGES_PER_SUBSECTION;
        for start in (self.frames.start().get()..self.frames.end().get()).step_by(granule.try_into().unwrap())
        {
            let head = [4, 6].iter().any(|nr| sections::<M::Geometry>(*nr, 1).start().get() == start);
            let gets = !head && self.reserved.start().get() != start;
            let state = now.frames.iter().find(|(frame, _)| *frame == start).map(|(_, state)| *state);
            let wanted = (online && gets).then_some(FrameState::Usable);
            assert_eq!(state, wanted, "{context}: frame {start:#x} of the allocator");
        }
    }
}

/// The numbers of panics before and after the mark.
#[derive(Default)]
struct Counts {
    before: AtomicU64,
    after: AtomicU64,
}

fn whoever_panics_leaves_all_or_nothing<M: Model>(fixture: Fixture<M>) {
    let mut trial = Trial::new(fixture);
    let refused = [Trouble::Notifier(0), Trouble::Notifier(2), Trouble::Mark];
    let give = [0, 1, 2].map(|nth| Trouble::Allocator(Call::Give, nth));
    let leave = [(Call::Isolate, 2), (Call::Evacuate, 1)].map(|(call, nth)| Trouble::Allocator(call, nth));
    for (op, special) in [(Op::Online(trial.frames), &give[..]), (Op::Offline(trial.frames), &leave[..])] {
        let counts = Counts::default();
        for point in POINTS {
            for trouble in [Trouble::None].iter().chain(&refused).chain(special) {
                trial.sweep(op, *trouble, point, &counts);
            }
        }
        // Three runs and three notifiers, asked before; the same told after.
        let [before, after] = [&counts.before, &counts.after].map(|count| count.load(Ordering::Relaxed));
        assert!(before > 30 && after >= 6, "{op:?}: {before} panics before the mark, {after} after it");
        println!("{op:?}: {before} panics before the mark, {after} after it");
        trial.apply(op).unwrap();
    }
}

/// The same for a part of a block that is added and removed: a panic before the mark leaves nothing of it, one after it
/// all, and memory that is gone for notifiers and allocator is gone for the model.
fn whoever_panics_about_a_part<M: Model>(fixture: Fixture<M>) {
    let mut trial = Trial::new(fixture);
    let part = subsections::<M::Geometry>(3, 1, 2);
    let model = trial.system.model;
    for op in [Op::Plug(part), Op::Unplug(part)] {
        for point in POINTS {
            for nth in 0.. {
                let before = trial.system.snapshot();
                trial.panics.set(point, nth);
                let result = catch_unwind(AssertUnwindSafe(|| trial.apply(op)));
                let panicked = trial.panics.stop().is_some();
                let context = format!("{op:?}, a panic at {point:?} number {nth}");
                assert_eq!(result.is_err(), panicked, "{context}");
                let now = trial.system.snapshot();
                let done = now.sections != before.sections;
                let there = model.is_valid(part.start());
                assert_eq!(done, there == matches!(op, Op::Plug(_)), "{context}");
                let block = trial.system.hotplug.blocks().get(BlockNr::new(3));
                assert_eq!(block.map(|it| it.state), there.then_some(BlockState::Online), "{context}");
                assert!(now.pending.iter().all(|pending| !pending), "{context}: somebody hears no end");
                if done {
                    assert!(
                        now.done.iter().zip(&before.done).all(|(now, then)| *now == then + 1),
                        "{context}"
                    );
                    trial.apply(op.inverse()).unwrap();
                    assert_eq!(trial.system.snapshot().frames, before.frames, "{context}");
                } else {
                    assert_eq!(now, before, "{context}");
                }
                if !panicked {
                    break;
                }
            }
        }
        trial.apply(op).unwrap();
    }
}
