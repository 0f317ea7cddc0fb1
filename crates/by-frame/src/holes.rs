//! The map of holes: which subsections of boot memory are closed, and which frames of a closed one are memory
//! nevertheless.
//!
//! # Invariants
//!
//! 1. A map is one block, and its head never changes once a reader can find it. So whoever may use the head may use
//!    the bits.
//! 2. The bit of a subsection is set, which closes it, if no memory is in it or less than all of it is. The last word
//!    may have bits of subsections after the last section of boot: they begin as open, because the model inside is
//!    exact there.
//! 3. The numbers of the subsections that boot reported in part are sorted, each once; each has its own words of
//!    frames. Once memory is removed there, the words are zero for ever.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicU64, Ordering};
use sparsemem_core::{
    Geometry, LostBlocks, MetadataMemory, Origin, Pfn, PfnRange, SectionShape, SubsectionBits,
};

/// The head of the block.
pub(crate) struct Holes {
    /// The number of the subsection that the first bit stands for, counted from frame 0.
    pub(crate) first: u64,
    /// A bit for each subsection: set if it is closed.
    pub(crate) closed: NonNull<[AtomicU64]>,
    /// The subsections that are memory in part.
    pub(crate) partial: NonNull<[u64]>,
    /// A bit for each frame of those: set if it is memory.
    pub(crate) frames: NonNull<[AtomicU64]>,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
}

/// The number of a frame's subsection, counted from frame 0.
#[inline]
pub(crate) const fn number<G: Geometry>(pfn: Pfn) -> u64 {
    pfn.get() >> G::PFN_SUBSECTION_SHIFT
}

/// Words with a bit for each frame of a subsection.
pub(crate) const fn words<G: Geometry>() -> u64 {
    G::PAGES_PER_SUBSECTION.div_ceil(64)
}

/// True if a frame of a subsection with these words is memory.
fn is_set<G: Geometry>(words: &[AtomicU64], pfn: Pfn) -> bool {
    let frame = pfn.get() % G::PAGES_PER_SUBSECTION;
    let word = usize::try_from(frame / 64).ok().and_then(|at| words.get(at));
    // Relaxed: as in `is_closed`.
    word.is_some_and(|word| word.load(Ordering::Relaxed) >> (frame % 64) & 1 == 1)
}

impl Holes {
    pub(crate) fn closed(&self) -> &[AtomicU64] {
        // SAFETY: the words lie in the block of the map, which whoever has the head may use (invariant 1), and are
        // changed by atomic stores only.
        unsafe { self.closed.as_ref() }
    }

    /// The subsections that boot reported in part.
    pub(crate) fn partial(&self) -> &[u64] {
        // SAFETY: as in `closed`; nothing changes the numbers once there is a head.
        unsafe { self.partial.as_ref() }
    }

    /// The word and the bit of a subsection, if the map has it.
    #[inline]
    pub(crate) fn place(&self, subsection: u64) -> Option<(&AtomicU64, u64)> {
        // A number below the first wraps around to one that is past the last.
        let at = subsection.wrapping_sub(self.first);
        let word = self.closed().get(usize::try_from(at / 64).ok()?)?;
        Some((word, 1 << (at % 64)))
    }

    /// True if a subsection is closed: only frames that [`Holes::has`] are memory. A subsection outside the map is
    /// open.
    #[inline]
    pub(crate) fn is_closed(&self, subsection: u64) -> bool {
        // Relaxed: the descriptor of an open frame exists because the model inside says so, which orders that. A
        // removal that closes a frame waits for the readers who still see it open.
        self.place(subsection).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// The words of a subsection that boot reported in part.
    pub(crate) fn frames_of<G: Geometry>(&self, subsection: u64) -> Option<&[AtomicU64]> {
        let at = self.partial().binary_search(&subsection).ok()?;
        // SAFETY: as in `closed`.
        let frames = unsafe { self.frames.as_ref() };
        let words = usize::try_from(words::<G>()).ok()?;
        frames.get(at.checked_mul(words)?..)?.get(..words)
    }

    /// The same, unless memory was removed there.
    fn live_frames_of<G: Geometry>(&self, subsection: u64) -> Option<&[AtomicU64]> {
        // Relaxed: as in `is_closed`.
        let is_live = |words: &&[AtomicU64]| words.iter().any(|word| word.load(Ordering::Relaxed) != 0);
        self.frames_of::<G>(subsection).filter(is_live)
    }

    /// True if boot reported a frame of a closed subsection, and nobody has removed it since.
    #[cold]
    #[inline(never)]
    pub(crate) fn has<G: Geometry>(&self, pfn: Pfn) -> bool {
        self.frames_of::<G>(number::<G>(pfn)).is_some_and(|words| is_set::<G>(words, pfn))
    }

    /// True if a closed subsection is memory in part.
    pub(crate) fn is_partial<G: Geometry>(&self, pfn: Pfn) -> bool {
        self.live_frames_of::<G>(number::<G>(pfn)).is_some()
    }

    /// The first run of frames in `part`, frames of one subsection, that are not holes.
    fn first_in_part<G: Geometry>(&self, part: PfnRange) -> Option<PfnRange> {
        let subsection = number::<G>(part.start());
        if !self.is_closed(subsection) {
            return Some(part);
        }
        let words = self.frames_of::<G>(subsection)?;
        let frames = |from: Pfn| (from.get()..part.end().get()).map(Pfn::new);
        let start = frames(part.start()).find(|pfn| is_set::<G>(words, *pfn))?;
        let end = frames(start).find(|pfn| !is_set::<G>(words, *pfn)).unwrap_or(part.end());
        PfnRange::new(start, end).ok()
    }

    /// The first run of frames in `run` that are not holes, as long as it gets.
    pub(crate) fn first_in<G: Geometry>(&self, run: PfnRange) -> Option<PfnRange> {
        let mut found: Option<PfnRange> = None;
        for part in run.by_subsection::<G>() {
            found = match (found, self.first_in_part::<G>(part)) {
                (None, None) => continue,
                (None, more) => more,
                (Some(run), Some(more)) if more.start() == run.end() => {
                    PfnRange::new(run.start(), more.end()).ok()
                }
                _ => return found,
            };
            if found.is_some_and(|run| run.end() < part.end()) {
                return found;
            }
        }
        found
    }

    /// Opens a subsection: all of its frames are memory. For the writer.
    pub(crate) fn open(&self, subsection: u64) {
        if let Some((word, bit)) = self.place(subsection) {
            // Relaxed: as in `is_closed`.
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Closes a subsection, and forgets which of its frames boot reported. For the writer.
    fn close<G: Geometry>(&self, subsection: u64) {
        let Some((word, bit)) = self.place(subsection) else { return };
        // Relaxed: as in `is_closed`.
        word.fetch_or(bit, Ordering::Relaxed);
        self.forget::<G>(subsection);
    }

    /// Forgets which frames of a closed subsection boot reported. For the writer.
    pub(crate) fn forget<G: Geometry>(&self, subsection: u64) {
        let frames = self.frames_of::<G>(subsection).into_iter().flatten();
        // Relaxed: as in `is_closed`.
        frames.for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Follows a change of the populated subsections of a section: what is added is open as a whole, what was removed
    /// is closed. `part` are frames of the section. For the writer.
    pub(crate) fn follow<G: Geometry>(&self, part: PfnRange, populated: SubsectionBits) {
        for part in part.by_subsection::<G>() {
            let subsection = number::<G>(part.start());
            if !populated.contains(part.start().subsection::<G>()) {
                self.close::<G>(subsection);
            } else if self.live_frames_of::<G>(subsection).is_none() {
                self.open(subsection);
            }
        }
    }

    /// The frames that the map has.
    pub(crate) fn extent<G: Geometry>(&self) -> PfnRange {
        let pfn = |subsection: u64| Pfn::new(subsection.saturating_mul(G::PAGES_PER_SUBSECTION));
        let end = self.first.saturating_add(64 * self.closed.len() as u64);
        PfnRange::new(pfn(self.first), pfn(end)).unwrap_or_default()
    }

    /// Bytes of the block.
    pub(crate) const fn bytes(&self) -> u64 {
        self.layout.size() as u64
    }

    /// Gives the block back.
    ///
    /// # Safety
    ///
    /// `holes` is from [`Holes::allocate`], no other code can find it, and no reader uses it.
    pub(crate) unsafe fn give_back<E: MetadataMemory>(
        holes: NonNull<Self>,
        env: &mut E,
        lost: &mut LostBlocks,
    ) {
        // SAFETY: the head is live until the block is given back.
        let &Self { layout, origin, .. } = unsafe { holes.as_ref() };
        // SAFETY: start, layout and origin are those of the block that `allocate` took apart, and the caller owns it.
        unsafe { lost.give_back(env, holes.cast(), layout, origin) };
    }
}
