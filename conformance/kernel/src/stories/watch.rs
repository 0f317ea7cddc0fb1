//! The facts that the processors of a story know of each other: the phase that a change of memory is in, the counts of
//! readers, and the first thing that was wrong.
//!
//! # Invariants
//!
//! 1. The phase is [`Phase::Absent`] only when no frame is in the model, the direct map has none of the memory, and every
//!    processor has forgotten that it had; it is [`Phase::Present`] only when all is there.
//! 2. Nothing here allocates, prints or waits for a lock, so that handlers of interrupts can use it.

use core::fmt;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sparsemem::{Pfn, PfnRange};
use spin::Mutex;

use crate::processors::MOST;

/// The state of memory that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Phase {
    /// It is not there, and nobody believes that it is.
    Absent = 0,
    /// It is being added.
    Coming = 1,
    /// It is online.
    Present = 2,
    /// It is being taken offline and removed.
    Going = 3,
    /// The model has removed it: no reader has any of it. It is being made unreachable.
    Removed = 4,
}

/// The number of phases.
const PHASES: u64 = 5;

/// Something that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A reader's descriptor holds the poison of memory that was given back.
    Poison,
    /// A reader's descriptor is of another section.
    Descriptor,
    /// The word that a reader wrote to its descriptor has changed.
    Word,
    /// A reader holds a descriptor whose frame was removed.
    Outlived,
    /// A frame of boot has no descriptor.
    Lost,
    /// A processor reads memory that was removed.
    StaleMemory,
    /// A processor reads the descriptor of a frame that was removed, through the array of descriptors.
    StaleDescriptor,
    /// A processor does not reach memory that is there.
    Unreached,
    /// A walk has found frames outside the range that it was asked for, or none in a run.
    Walk,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Poison => "a reader has seen poison in a descriptor, whose memory was given back",
            Self::Descriptor => "a reader's descriptor is that of another section",
            Self::Word => "the word that a reader wrote to its descriptor has changed while it reads",
            Self::Outlived => "a reader holds a descriptor of memory that is gone",
            Self::Lost => "a frame of boot has no descriptor",
            Self::StaleMemory => "a processor still has a translation of removed memory",
            Self::StaleDescriptor => "a processor still has a translation of a removed descriptor",
            Self::Unreached => "a processor does not reach memory that was added",
            Self::Walk => "a walk has left its range",
        })
    }
}

/// The things that readers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Count {
    /// Checked lookups.
    Lookups,
    /// Lookups that have found a frame online, and the descriptor written to and read again.
    Online,
    /// Readers that were held for a while.
    Held,
    /// Walks over valid frames.
    Walks,
    /// Looks for stale translations.
    Probes,
    /// Lookups in the handler of the timer.
    InTimer,
    /// Lookups in the handler of a page fault.
    InFault,
}

/// The number of counts.
pub(super) const COUNTS: usize = 7;

/// The state that the processors of a story share.
pub(super) struct Watch {
    /// Rounds and phase: `round * PHASES + phase`.
    phase: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
    stop: AtomicBool,
    progress: [AtomicU64; MOST],
    counts: [AtomicU64; COUNTS],
    wrong: Mutex<Option<(Wrong, Pfn)>>,
    is_wrong: AtomicBool,
}

/// The one that exists, because handlers have no other way to find it.
pub(super) static WATCH: Watch = Watch {
    phase: AtomicU64::new(0),
    start: AtomicU64::new(0),
    end: AtomicU64::new(0),
    stop: AtomicBool::new(false),
    progress: [const { AtomicU64::new(0) }; MOST],
    counts: [const { AtomicU64::new(0) }; COUNTS],
    wrong: Mutex::new(None),
    is_wrong: AtomicBool::new(false),
};

impl Watch {
    /// Begins a story about a range.
    pub(super) fn begin(&self, frames: PfnRange) {
        // Relaxed, all: before any other processor has work.
        self.start.store(frames.start().get(), Ordering::Relaxed);
        self.end.store(frames.end().get(), Ordering::Relaxed);
    }

    /// The frames that come and go.
    pub(super) fn frames(&self) -> PfnRange {
        // Relaxed, both: see `begin`.
        let ends = [&self.start, &self.end].map(|end| Pfn::new(end.load(Ordering::Relaxed)));
        PfnRange::new(ends[0], ends[1]).unwrap_or_default()
    }

    /// The next phase begins.
    pub(super) fn enter(&self, phase: Phase) {
        let rounds = self.phase.load(Ordering::SeqCst) / PHASES + u64::from(phase == Phase::Coming);
        // SeqCst: what a reader finds is judged by the phase before and after.
        self.phase.store(rounds * PHASES + phase as u64, Ordering::SeqCst);
    }

    /// The phase with its round, as a number to compare.
    pub(super) fn phase(&self) -> u64 {
        // SeqCst: as above.
        self.phase.load(Ordering::SeqCst)
    }

    /// The number of rounds that have begun.
    pub(super) fn round(&self) -> u64 {
        self.phase() / PHASES
    }

    /// True if a number is that of a phase.
    pub(super) const fn is(number: u64, phase: Phase) -> bool {
        number % PHASES == phase as u64
    }

    /// True if no reader may have any of the memory.
    pub(super) fn is_removed(&self) -> bool {
        let phase = self.phase();
        Self::is(phase, Phase::Removed) || Self::is(phase, Phase::Absent)
    }

    /// Ends the work of readers.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// True while readers go on.
    pub(super) fn goes_on(&self) -> bool {
        // Relaxed: a processor that sees it late works for longer.
        !self.stop.load(Ordering::Relaxed) && !self.is_wrong.load(Ordering::Relaxed)
    }

    /// Counts something.
    pub(super) fn count(&self, what: Count) {
        // Relaxed: only the number counts.
        self.counts[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The count of one thing.
    pub(super) fn counted(&self, what: Count) -> u64 {
        // Relaxed: as above.
        self.counts[what as usize].load(Ordering::Relaxed)
    }

    /// A reader has looked at everything once more.
    pub(super) fn advance(&self, processor: usize) {
        // Relaxed: only the number counts.
        self.progress[processor].fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until each of these processors (bits) has looked at everything once more, or something is wrong.
    pub(super) fn wait_for(&self, readers: u64) {
        let now = || self.progress.each_ref().map(|count| count.load(Ordering::Relaxed));
        let before = now();
        let waits = |now: [u64; MOST]| (0..MOST).any(|nr| readers >> nr & 1 != 0 && now[nr] == before[nr]);
        while self.goes_on() && waits(now()) {
            spin_loop();
        }
    }

    /// Something is wrong. Only the first is kept.
    pub(super) fn note(&self, wrong: Wrong, frame: Pfn) {
        // A handler may have interrupted a note: it must not wait, and one note is enough.
        if let Some(mut first) = self.wrong.try_lock() {
            first.get_or_insert((wrong, frame));
        }
        self.is_wrong.store(true, Ordering::Release);
    }

    /// The first thing that was wrong, with its frame.
    pub(super) fn wrong(&self) -> Option<(Wrong, Pfn)> {
        *self.wrong.lock()
    }
}
