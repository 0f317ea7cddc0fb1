//! Reserved frames stay out of every call, and a refusal leaves nothing isolated.

use std::vec::Vec;

use sparsemem_core::Pfn;

use super::*;

fn run(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
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

/// Hooks that write calls down, and refuse one.
#[derive(Default)]
struct Log {
    calls: Vec<(&'static str, u64, u64)>,
    refuse: Option<(&'static str, u64)>,
}

impl Log {
    fn note(&mut self, call: &'static str, frames: PfnRange) {
        self.calls.push((call, frames.start().get(), frames.end().get()));
    }

    fn ask(&mut self, call: &'static str, frames: PfnRange) -> Result<(), FramesRefused> {
        if self.refuse == Some((call, frames.start().get())) {
            return Err(FramesRefused { frames, reason: Reason::InUse });
        }
        self.note(call, frames);
        Ok(())
    }
}

impl AllocatorHooks for Log {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.ask("give", frames)
    }

    fn release(&mut self, frames: PfnRange) {
        self.note("release", frames);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.ask("isolate", frames)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.ask("evacuate", frames)
    }

    fn take(&mut self, frames: PfnRange) {
        self.note("take", frames);
    }
}

#[test]
fn runs_are_what_is_left_between_reservations() {
    let free = |runs: &[(u64, u64)], frames: PfnRange| -> Vec<(u64, u64)> {
        let table = table(runs, &[]);
        let runs = Without::new(frames, |rest| table.next_reserved(rest));
        runs.map(|run| (run.start().get(), run.end().get())).collect()
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
    let table = table(&[(14, 16)], &[]);
    let mut log = Log::default();
    let mut hooks = WithReserved::new(&mut log, &table);
    let all = run(10, 20);
    hooks.give(all).unwrap();
    hooks.release(all);
    hooks.isolate(all).unwrap();
    hooks.evacuate(all).unwrap();
    hooks.take(all);
    let calls = ["give", "release", "isolate", "evacuate", "take"];
    let expected: Vec<_> = calls.iter().flat_map(|call| [(*call, 10, 14), (*call, 16, 20)]).collect();
    assert_eq!(log.calls, expected);
}

#[test]
fn pinned_frames_are_refused_before_anything_happens() {
    let table = table(&[(14, 16), (18, 30)], &[(18, 30)]);
    let mut log = Log::default();
    let mut hooks = WithReserved::new(&mut log, &table);
    let refused = FramesRefused { frames: run(18, 20), reason: Reason::PINNED };
    assert_eq!(hooks.isolate(run(10, 20)), Err(refused), "named as far as it was asked about");
    hooks.isolate(run(10, 18)).unwrap();
    assert_eq!(log.calls, [("isolate", 10, 14), ("isolate", 16, 18)]);
}

#[test]
fn a_refusal_of_a_later_run_undoes_the_earlier_ones() {
    let table = table(&[(14, 16)], &[]);
    for (call, undo) in [("give", "take"), ("isolate", "release")] {
        let mut log = Log { refuse: Some((call, 16)), ..Log::default() };
        let mut hooks = WithReserved::new(&mut log, &table);
        let result = if call == "give" { hooks.give(run(10, 20)) } else { hooks.isolate(run(10, 20)) };
        assert_eq!(result, Err(FramesRefused { frames: run(16, 20), reason: Reason::InUse }));
        assert_eq!(log.calls, [(call, 10, 14), (undo, 10, 14)]);
    }
}
