//! Frames that an allocator withholds, and hooks behind references: each answer reaches the one who asked.

mod common;

use common::watched::Agreeable;
use sparsemem_core::{Pfn, PfnRange};
use sparsemem_hotplug::{AllocatorHooks, FramesRefused, Reason, Reserved, WithReserved};

fn run(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

/// Says always the same.
struct Fixed {
    pinned: Option<PfnRange>,
    reserved: Option<PfnRange>,
}

impl Reserved for Fixed {
    fn pinned(&self, _: PfnRange) -> Option<PfnRange> {
        self.pinned
    }

    fn next_reserved(&self, _: PfnRange) -> Option<PfnRange> {
        self.reserved
    }
}

/// Withholds a run, refuses what it may refuse if told so, and writes down what it heard.
#[derive(Default)]
struct Allocator {
    withheld: Option<PfnRange>,
    refuses: bool,
    heard: Vec<(&'static str, PfnRange)>,
}

impl Allocator {
    fn ask(&mut self, call: &'static str, frames: PfnRange) -> Result<(), FramesRefused> {
        self.heard.push((call, frames));
        if self.refuses { Err(FramesRefused { frames, reason: Reason::Unmovable }) } else { Ok(()) }
    }
}

impl AllocatorHooks for Allocator {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.ask("give", frames)
    }

    fn release(&mut self, frames: PfnRange) {
        self.heard.push(("release", frames));
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.ask("isolate", frames)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.ask("evacuate", frames)
    }

    fn take(&mut self, frames: PfnRange) {
        self.heard.push(("take", frames));
    }

    fn next_withheld(&self, _: PfnRange) -> Option<PfnRange> {
        self.withheld
    }
}

/// Makes every call that there is, and answers with what the refusable ones said.
fn every_call(mut hooks: impl AllocatorHooks, frames: PfnRange) -> [Result<(), FramesRefused>; 3] {
    let given = hooks.give(frames);
    hooks.release(frames);
    let isolated = hooks.isolate(frames);
    let evacuated = hooks.evacuate(frames);
    hooks.take(frames);
    [given, isolated, evacuated]
}

#[test]
fn hooks_behind_a_reference_hear_and_answer_the_same() {
    let frames = run(8, 16);
    let heard = ["give", "release", "isolate", "evacuate", "take"].map(|call| (call, frames));
    for refuses in [false, true] {
        let refused = Err(FramesRefused { frames, reason: Reason::Unmovable });
        let expected = [if refuses { refused } else { Ok(()) }; 3];
        let mut allocator = Allocator { refuses, withheld: Some(run(9, 10)), ..Allocator::default() };
        assert_eq!(every_call(&mut allocator, frames), expected);
        assert_eq!(allocator.heard, heard);
        let behind: &mut dyn AllocatorHooks = &mut allocator;
        assert_eq!(every_call(behind, frames), expected);
        assert_eq!(<&mut Allocator>::next_withheld(&&mut allocator, frames), Some(run(9, 10)));
    }
}

#[test]
fn the_refusals_of_the_allocator_inside_pass() {
    let nothing = Fixed { pinned: None, reserved: None };
    let frames = run(8, 16);
    let mut allocator = Allocator { refuses: true, ..Allocator::default() };
    let answers = every_call(WithReserved::new(&mut allocator, &nothing), frames);
    assert_eq!(answers, [Err(FramesRefused { frames, reason: Reason::Unmovable }); 3]);
}

#[test]
fn the_lowest_run_is_withheld_whoever_withholds_it() {
    let frames = run(10, 20);
    let withheld = |reserved: Option<PfnRange>, withheld: Option<PfnRange>| {
        let table = Fixed { pinned: None, reserved };
        let allocator = Allocator { withheld, ..Allocator::default() };
        WithReserved::new(allocator, &table).next_withheld(frames)
    };
    let (low, high) = (Some(run(11, 13)), Some(run(15, 16)));
    assert_eq!((withheld(low, high), withheld(high, low)), (low, low));
    assert_eq!((withheld(low, None), withheld(None, low), withheld(None, None)), (low, low, None));
    assert_eq!(withheld(Some(run(5, 12)), high), Some(run(10, 12)), "cut to what was asked about");
    assert_eq!(withheld(Some(run(0, 10)), high), high, "beside it is no answer");
    assert_eq!(withheld(Some(run(20, 30)), None), None);
}

#[test]
fn an_allocator_withholds_nothing_unless_it_says_so() {
    assert_eq!(Agreeable.next_withheld(run(0, 100)), None);
}

#[test]
fn a_table_behind_a_reference_answers_the_same() {
    let table = Fixed { pinned: Some(run(3, 4)), reserved: Some(run(2, 5)) };
    let behind: &dyn Reserved = &table;
    assert_eq!(
        (<&dyn Reserved>::pinned(&behind, run(0, 9)), behind.next_reserved(run(0, 9))),
        (Some(run(3, 4)), Some(run(2, 5)))
    );
    assert_eq!(<&dyn Reserved>::next_reserved(&behind, run(0, 9)), Some(run(2, 5)));
    let mut allocator = Allocator::default();
    let refused = WithReserved::new(&mut allocator, behind).isolate(run(0, 9));
    assert_eq!(refused, Err(FramesRefused { frames: run(3, 4), reason: Reason::PINNED }));
    assert_eq!(allocator.heard, []);
}
