//! Notes that a model keeps for its next writer.
//!
//! # Invariants
//!
//! 1. Only the holder of a [`Writing`](crate::Writing) loads and stores, so every access is relaxed: the writer slot
//!    makes the stores of one writer visible to the next one.
//! 2. The run of frames that was installed last was installed one section after the other, and no other frames were
//!    installed or retired since it began. One installation is of one section, so a section border in the run lies
//!    between two installations.

use sparsemem_core::primitive::{AtomicBool, AtomicU64, Ordering};
use sparsemem_core::{Geometry, Origin, Pfn, PfnRange, ZeroIsNew, const_fn};

/// The notes that a model keeps from one change to the next.
pub(crate) struct Notes {
    /// True if any memmap was allocated from an altmap, or folded in a section of boot, since the model was made or
    /// torn down: retirements look closer then.
    special: AtomicBool,
    /// Start and end of the run of frames that was installed last.
    installed: (AtomicU64, AtomicU64),
}

// SAFETY: `false` and zeros are zero bytes.
unsafe impl ZeroIsNew for Notes {}

impl Notes {
    const_fn! {
        /// No notes; all zero bytes.
        pub(crate) const fn new() -> Self {
            Self { special: AtomicBool::new(false), installed: (AtomicU64::new(0), AtomicU64::new(0)) }
        }
    }

    /// True if any memmap may be in an altmap, or folded in a section of boot.
    pub(crate) fn any_special(&self) -> bool {
        // Relaxed: invariant 1.
        self.special.load(Ordering::Relaxed)
    }

    /// Notes that frames in a section of boot are folded.
    pub(crate) fn note_folded_early(&self) {
        // Relaxed: invariant 1.
        self.special.store(true, Ordering::Relaxed);
    }

    /// Notes the origin of a memmap.
    pub(crate) fn note_origin(&self, origin: Origin) {
        if origin == Origin::Altmap {
            // Relaxed: invariant 1.
            self.special.store(true, Ordering::Relaxed);
        }
    }

    /// The run of frames that was installed last.
    pub(crate) fn installed(&self) -> PfnRange {
        let (start, end) = &self.installed;
        // Relaxed, both: invariant 1.
        let (start, end) = (start.load(Ordering::Relaxed), end.load(Ordering::Relaxed));
        PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap_or_default()
    }

    /// Notes that `frames`, of one section, were installed.
    pub(crate) fn note_installed<G: Geometry>(&self, frames: PfnRange) {
        let (start, end) = &self.installed;
        // Relaxed: invariant 1.
        let goes_on =
            end.load(Ordering::Relaxed) == frames.start().get() && begins_section::<G>(frames.start());
        if !goes_on {
            // Relaxed: invariant 1.
            start.store(frames.start().get(), Ordering::Relaxed);
        }
        // Relaxed: invariant 1.
        end.store(frames.end().get(), Ordering::Relaxed);
    }

    /// Notes that memory was retired, or a section brought up: earlier installations are no longer the last operations.
    pub(crate) fn note_other(&self) {
        self.set_installed(PfnRange::default());
    }

    /// Notes that the end of the run, from the start of `frames` on, was undone.
    pub(crate) fn note_undone(&self, frames: PfnRange) {
        self.set_installed(self.installed().split_at(frames.start()).0);
    }

    /// True if `frames` are the whole of the run's last installations, so that undoing them restores the earlier state.
    pub(crate) fn can_undo<G: Geometry>(&self, frames: PfnRange) -> bool {
        let run = self.installed();
        let whole = frames.start() == run.start() || begins_section::<G>(frames.start());
        whole && run.contains_range(frames) && frames.end() == run.end()
    }

    fn set_installed(&self, frames: PfnRange) {
        let (start, end) = &self.installed;
        // Relaxed, both: invariant 1.
        start.store(frames.start().get(), Ordering::Relaxed);
        end.store(frames.end().get(), Ordering::Relaxed);
    }
}

/// True if a section begins with this frame.
fn begins_section<G: Geometry>(pfn: Pfn) -> bool {
    pfn.offset_in_section::<G>().get() == 0
}
