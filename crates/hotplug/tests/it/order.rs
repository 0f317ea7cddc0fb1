//! The order in which allocator and notifiers are asked and told, and how the frames look at each moment: when memory
//! goes online and offline, and for everybody who can refuse, at each of his calls.
//!
//! The allocator gets two runs, so that what is done for one of them only is seen. Source: H-41, H-42, H-50 to H-53.

use std::any::Any;
use std::sync::Arc;

use crate::common::{Model, Op, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{MemoryModel, Page, PageCount, Pfn, PfnRange, SectionStamp};
use sparsemem_fixture::{Call, Event, Fixture, Log, Look, Word, on_every_backend, sections};
use sparsemem_hotplug::{BlockSize, Limits};

on_every_backend!([X86_64] everybody_hears_in_order);

/// The notifiers, in the order in which they are told.
const NAMES: [&str; 3] = ["first", "second", "third"];
/// The memory blocks, a section each.
const BLOCKS: [u64; 3] = [4, 5, 6];
/// Frames that hold the memmap of a block.
const MEMMAP: PageCount = PageCount::new(512);

/// Three blocks, of which the first and the last host their memmap.
fn all() -> PfnRange {
    sections::<X86_64>(BLOCKS[0], 3)
}

/// The frames of these blocks that the allocator gets.
fn runs() -> [PfnRange; 2] {
    let [first, _, last] = BLOCKS.map(|nr| sections::<X86_64>(nr, 1));
    let run = |from: PfnRange, to: Pfn| PfnRange::new(from.start().saturating_add(MEMMAP), to).unwrap();
    [run(first, last.start()), run(last, last.end())]
}

/// Events, and how the frames look meanwhile.
type Story = Vec<(Event, Look)>;

fn calls(call: Call, look: Look) -> Story {
    runs().map(|run| (Event::Does(call, run), look)).to_vec()
}

/// Calls for each run until the one of this number is refused.
fn refused(call: Call, nth: usize, look: Look) -> Story {
    let mut story = calls(call, look)[..nth].to_vec();
    story.push((Event::Refuses(call, runs()[nth]), look));
    story
}

/// The first so many notifiers hear something.
fn hear(word: Word, count: usize, look: Look) -> Story {
    NAMES.iter().take(count).map(|name| (Event::Hears(name, word), look)).collect()
}

/// Notifiers agree until the one of this number refuses.
fn disagree(nth: usize, look: Look) -> Story {
    [hear(Word::Going, nth, look), vec![(Event::Hears(NAMES[nth], Word::Refused), look)]].concat()
}

/// The look of the first and last frames of the blocks.
fn look<M: MemoryModel>(model: &M) -> Look {
    let reader = model.read();
    let borders =
        BLOCKS.map(|nr| sections::<X86_64>(nr, 1)).map(|it| [it.start(), Pfn::new(it.end().get() - 1)]);
    let mut looks = borders.into_iter().flatten().map(|pfn| {
        let page: &dyn Any = reader.page(pfn).unwrap();
        let stamp = page.downcast_ref::<Page>().unwrap().section();
        match (stamp == pfn.section::<X86_64>(), reader.online_page(pfn).is_some()) {
            (true, true) => Look::Online,
            (true, false) => Look::Offline,
            (false, false) => Look::Blank,
            (false, true) => panic!("frame {pfn} is online and not initialised"),
        }
    });
    let first = looks.next().unwrap();
    if looks.all(|it| it == first) { first } else { Look::Mixed }
}

/// A system, and what is written down on it.
struct Trial<M: Model> {
    system: System<M>,
    log: Arc<Log>,
}

impl<M: Model> Trial<M> {
    fn new(fixture: Fixture<M>) -> Self {
        let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[sections::<X86_64>(0, 1)]);
        for (nr, memmap) in BLOCKS.into_iter().zip([MEMMAP, PageCount::new(0), MEMMAP]) {
            system.add_host(nr, memmap);
        }
        let model = system.model;
        let log = Log::shared(move || look(model), &mut system.allocator, &system.notifiers);
        Self { system, log }
    }

    /// Makes the descriptors what they were before anybody initialised them.
    fn blank(&self) {
        for pfn in (all().start().get()..all().end().get()).map(Pfn::new) {
            let page = self.system.model.lookup(pfn).unwrap();
            // SAFETY: the descriptor is mapped, zero bytes are a valid one, and nobody uses it now.
            unsafe { page.write_bytes(0, 1) };
        }
    }

    /// An operation is refused and changes nothing, and what happens meanwhile is exactly `story`.
    fn refuses(&mut self, op: Op, words: &str, story: &[Story]) {
        self.log.take();
        self.system.refuses(op, words);
        assert_eq!(self.log.take(), story.concat(), "{op:?} that is refused");
    }

    fn succeeds(&mut self, op: Op, story: &[Story]) {
        self.log.take();
        self.system.apply(op).unwrap();
        assert_eq!(self.log.take(), story.concat(), "{op:?}");
    }

    fn notifier_refuses(&mut self, nth: usize, op: Op, story: &[Story]) {
        self.system.notifiers[nth].refuse(true);
        self.refuses(op, "not now", story);
        self.system.notifiers[nth].refuse(false);
    }

    fn allocator_refuses(&mut self, call: Call, nth: usize, op: Op, story: &[Story]) {
        (self.system.allocator.refuse, self.system.allocator.granted) = (Some(call), nth as u64);
        self.refuses(op, "poisoned", story);
        self.system.allocator.refuse = None;
    }

    /// The model refuses to mark the frames.
    fn model_refuses(&mut self, op: Op, story: &[Story]) {
        self.system.model.difference.refuse_mark_after(0);
        self.refuses(op, "cannot mark", story);
        assert!(self.system.model.difference.heal(), "nobody marked anything");
    }

    fn online(&mut self) {
        let op = Op::Online(all());
        for nth in 0..NAMES.len() {
            self.blank();
            let cancelled = hear(Word::Cancelled, nth, Look::Blank);
            self.notifier_refuses(nth, op, &[disagree(nth, Look::Blank), cancelled]);
        }
        let agree = hear(Word::Going, 3, Look::Blank);
        let cancelled = hear(Word::Cancelled, 3, Look::Offline);
        for nth in 0..runs().len() {
            self.blank();
            let given = refused(Call::Give, nth, Look::Offline);
            let taken = calls(Call::Take, Look::Offline)[..nth].to_vec();
            self.allocator_refuses(Call::Give, nth, op, &[agree.clone(), given, taken, cancelled.clone()]);
        }
        let given = calls(Call::Give, Look::Offline);
        self.blank();
        let taken = calls(Call::Take, Look::Offline);
        self.model_refuses(op, &[agree.clone(), given.clone(), taken, cancelled]);
        self.blank();
        let (released, done) = (calls(Call::Release, Look::Online), hear(Word::Done, 3, Look::Online));
        self.succeeds(op, &[agree, given, released, done]);
    }

    fn offline(&mut self) {
        let op = Op::Offline(all());
        for nth in 0..runs().len() {
            let released = calls(Call::Release, Look::Online)[..nth].to_vec();
            self.allocator_refuses(
                Call::Isolate,
                nth,
                op,
                &[refused(Call::Isolate, nth, Look::Online), released],
            );
        }
        let isolated = calls(Call::Isolate, Look::Online);
        // Isolation ends before those who agreed hear of it.
        let back = |agreed| {
            [calls(Call::Release, Look::Online), hear(Word::Cancelled, agreed, Look::Online)].concat()
        };
        for nth in 0..NAMES.len() {
            self.notifier_refuses(nth, op, &[isolated.clone(), disagree(nth, Look::Online), back(nth)]);
        }
        let agreed = [isolated, hear(Word::Going, 3, Look::Online)].concat();
        for nth in 0..runs().len() {
            let evacuated = refused(Call::Evacuate, nth, Look::Online);
            self.allocator_refuses(Call::Evacuate, nth, op, &[agreed.clone(), evacuated, back(3)]);
        }
        let evacuated = calls(Call::Evacuate, Look::Online);
        self.model_refuses(op, &[agreed.clone(), evacuated.clone(), back(3)]);
        let (taken, done) = (calls(Call::Take, Look::Offline), hear(Word::Done, 3, Look::Offline));
        self.succeeds(op, &[agreed, evacuated, taken, done]);
    }
}

fn everybody_hears_in_order<M: Model>(fixture: Fixture<M>) {
    let mut trial = Trial::new(fixture);
    trial.online();
    trial.offline();
}
