//! Frames that an allocator withholds, and hooks behind references: each answer reaches the one who asked.

use sparsemem_core::{Pfn, PfnRange};
use sparsemem_fixture::Agreeable;
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

/// Reserved runs, lowest first, of which some are pinned.
struct Table {
    runs: Vec<PfnRange>,
    pinned: Vec<PfnRange>,
}

impl Reserved for Table {
    fn pinned(&self, frames: PfnRange) -> Option<PfnRange> {
        self.pinned.iter().copied().find(|run| run.overlaps(frames))
    }

    /// The whole run, also beyond what was asked about, and the last one also for frames behind it.
    fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange> {
        self.runs.iter().copied().find(|run| run.overlaps(frames)).or(self.runs.last().copied())
    }
}

fn table(runs: &[(u64, u64)], pinned: &[(u64, u64)]) -> Table {
    let ranges = |pairs: &[(u64, u64)]| pairs.iter().map(|(start, end)| run(*start, *end)).collect();
    Table { runs: ranges(runs), pinned: ranges(pinned) }
}

/// Withholds a run, refuses frames that it is told to, and writes down what it heard.
#[derive(Default)]
struct Allocator {
    withheld: Option<PfnRange>,
    refused: PfnRange,
    heard: Vec<(&'static str, PfnRange)>,
}

impl Allocator {
    fn ask(&mut self, call: &'static str, frames: PfnRange) -> Result<(), FramesRefused> {
        self.heard.push((call, frames));
        if self.refused.overlaps(frames) {
            return Err(FramesRefused { frames, reason: Reason::Unmovable });
        }
        Ok(())
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
    let why = Err(FramesRefused { frames, reason: Reason::Unmovable });
    for (refused, answer) in [(PfnRange::default(), Ok(())), (frames, why)] {
        let expected = [answer; 3];
        let mut allocator = Allocator { refused, withheld: Some(run(9, 10)), ..Allocator::default() };
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
    let mut allocator = Allocator { refused: frames, ..Allocator::default() };
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

#[test]
fn runs_are_what_is_left_between_reservations() {
    let free = |runs: &[(u64, u64)], frames: PfnRange| -> Vec<(u64, u64)> {
        let (table, mut allocator) = (table(runs, &[]), Allocator::default());
        WithReserved::new(&mut allocator, &table).give(frames).unwrap();
        allocator.heard.iter().map(|(_, run)| (run.start().get(), run.end().get())).collect()
    };
    let all = run(10, 20);
    assert_eq!(free(&[], all), [(10, 20)]);
    assert_eq!(free(&[(0, 30)], all), []);
    assert_eq!(free(&[(0, 12), (12, 13), (19, 30)], all), [(13, 19)]);
    assert_eq!(free(&[(10, 11), (14, 16), (17, 18)], all), [(11, 14), (16, 17), (18, 20)]);
    assert_eq!(free(&[(0, 5), (25, 30)], all), [(10, 20)], "beside them");
    assert_eq!(free(&[(0, 30)], run(10, 10)), []);
}

#[test]
fn every_call_leaves_reserved_frames_out() {
    let (table, mut allocator) = (table(&[(14, 16)], &[]), Allocator::default());
    assert_eq!(every_call(WithReserved::new(&mut allocator, &table), run(10, 20)), [Ok(()); 3]);
    let calls = ["give", "release", "isolate", "evacuate", "take"];
    let expected: Vec<_> =
        calls.iter().flat_map(|call| [(*call, run(10, 14)), (*call, run(16, 20))]).collect();
    assert_eq!(allocator.heard, expected);
}

#[test]
fn pinned_frames_are_refused_before_anything_happens() {
    let table = table(&[(14, 16), (18, 30)], &[(18, 30)]);
    let mut allocator = Allocator::default();
    let mut hooks = WithReserved::new(&mut allocator, &table);
    let refused = FramesRefused { frames: run(18, 20), reason: Reason::PINNED };
    assert_eq!(hooks.isolate(run(10, 20)), Err(refused), "named as far as it was asked about");
    hooks.isolate(run(10, 18)).unwrap();
    assert_eq!(allocator.heard, [("isolate", run(10, 14)), ("isolate", run(16, 18))]);
}

#[test]
fn a_refusal_of_a_later_run_undoes_the_earlier_ones() {
    let table = table(&[(14, 16)], &[]);
    for (call, undo) in [("give", "take"), ("isolate", "release")] {
        let mut allocator = Allocator { refused: run(16, 20), ..Allocator::default() };
        let mut hooks = WithReserved::new(&mut allocator, &table);
        let result = if call == "give" { hooks.give(run(10, 20)) } else { hooks.isolate(run(10, 20)) };
        assert_eq!(result, Err(FramesRefused { frames: run(16, 20), reason: Reason::Unmovable }));
        assert_eq!(allocator.heard, [(call, run(10, 14)), (call, run(16, 20)), (undo, run(10, 14))]);
    }
}
