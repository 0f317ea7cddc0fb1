//! The toy model: descriptors in an array, and a word of subsection bits per section.
//!
//! # Invariants
//!
//! 1. The array is never freed while the model lives, and has a descriptor per frame of the geometry.
//! 2. A frame is valid if the bit of its subsection is set in `populated`; only a writer changes the bits.

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::presets::Tiny;
use sparsemem_core::{
    BootError, BootEvent, BootModel, BootSummary, Footprint, FramesError, InstallError, InstallModel,
    LookupError, Mark, MarkError, MarkModel, MemoryModel, MemoryRange, NodeId, Page, PageCount,
    PageDescriptor, Pfn, PfnRange, Reclaim, RetireError, RetireModel, Retired, SectionFlags, SectionNr,
    SectionPart, SectionShape, SectionState, SubsectionBits, TearDownError, Writer, WriterSlot,
};

use crate::readers::{Inside, Readers};

/// The footprint that the toy reports, whatever it has.
pub(crate) const FOOTPRINT: Footprint = Footprint {
    table_bytes: 1,
    plane_bytes: 50000,
    usage_bytes: 20,
    memmap_bytes: 300,
    page_table_bytes: 4000,
};

/// Words of subsection bits, one per section.
type Words = [AtomicU64; Tiny::NR_SECTIONS_LEN];

/// The model.
pub(crate) struct Toy<P = Page> {
    name: &'static str,
    slot: Arc<WriterSlot>,
    pages: Box<[UnsafeCell<P>]>,
    populated: Words,
    online: Words,
    tainted: Words,
}

// SAFETY: descriptors are `Sync`, and are lent as shared references only.
unsafe impl<P: PageDescriptor> Sync for Toy<P> {}

/// The frames from `start` up to, not including, `end`.
pub(crate) fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

/// A set of subsections with these bits.
pub(crate) fn bits(word: u64) -> SubsectionBits {
    SubsectionBits::from_words([word])
}

impl<P: PageDescriptor> Toy<P> {
    /// A model without memory.
    pub(crate) fn new(name: &'static str) -> Self {
        Self::with_slot(name, Arc::default())
    }

    /// A model whose writers keep those of other models out.
    pub(crate) fn with_slot(name: &'static str, slot: Arc<WriterSlot>) -> Self {
        // SAFETY: zero bytes are a valid descriptor (`PageDescriptor`).
        let page = |_| UnsafeCell::new(unsafe { std::mem::zeroed() });
        let pages = (0..Tiny::MAX_PFN).map(page).collect();
        let words = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { name, slot, pages, populated: words(), online: words(), tainted: words() }
    }

    /// A model with these frames.
    pub(crate) fn populated(name: &'static str, all: impl IntoIterator<Item = PfnRange>) -> Self {
        let model = Self::new(name);
        for range in all {
            for (_, part) in range.by_section::<Tiny>() {
                model.write().unwrap().install(&mut (), part, NodeId::new(0)).unwrap();
            }
        }
        model
    }

    /// The address of a frame's descriptor, whether the frame is valid or not.
    pub(crate) fn place(&self, pfn: Pfn) -> NonNull<P> {
        assert!(pfn.get() < Tiny::MAX_PFN);
        let cell = self.pages.as_ptr().wrapping_add(usize::try_from(pfn.get()).unwrap());
        NonNull::new(UnsafeCell::raw_get(cell)).unwrap()
    }

    /// A descriptor, also of a frame that is not valid.
    pub(crate) fn peek(&self, pfn: u64) -> &P {
        // SAFETY: the array has the descriptor, and lives as long as the model.
        unsafe { self.place(Pfn::new(pfn)).as_ref() }
    }

    /// The slot, to be shared with another model.
    pub(crate) fn slot(&self) -> Arc<WriterSlot> {
        Arc::clone(&self.slot)
    }

    fn find(&self, words: &Words, pfn: Pfn) -> Option<NonNull<P>> {
        let set = load(words, pfn.section::<Tiny>());
        set.contains(pfn.subsection::<Tiny>()).then(|| self.place(pfn))
    }

    /// Adds the bits of the parts of `range` to `words`, or takes them away.
    fn mark(words: &Words, range: PfnRange, change: impl Fn(&AtomicU64, u64)) {
        for part in SectionPart::of::<Tiny>(range) {
            change(&words[usize::try_from(part.section.get()).unwrap()], part.bits.words()[0]);
        }
    }
}

fn load(words: &Words, nr: SectionNr) -> SubsectionBits {
    let word = usize::try_from(nr.get()).ok().and_then(|nr| words.get(nr));
    bits(word.map_or(0, |word| word.load(Ordering::SeqCst)))
}

fn set(word: &AtomicU64, bits: u64) {
    word.fetch_or(bits, Ordering::SeqCst);
}

fn clear(word: &AtomicU64, bits: u64) {
    word.fetch_and(!bits, Ordering::SeqCst);
}

// SAFETY: no descriptor is ever freed while the model is borrowed, each frame has its own, all lie in one array, and the
// slot is a field that nothing changes.
unsafe impl<P: PageDescriptor> MemoryModel for Toy<P> {
    type Geometry = Tiny;
    type Page = P;
    type Reclaim = Readers;

    fn name(&self) -> &'static str {
        self.name
    }

    fn lookup_with(&self, pfn: Pfn, _guard: &Inside) -> Option<NonNull<P>> {
        self.find(&self.populated, pfn)
    }

    fn lookup_online_with(&self, pfn: Pfn, _guard: &Inside) -> Option<NonNull<P>> {
        self.find(&self.online, pfn)
    }

    unsafe fn lookup_unchecked(&self, pfn: Pfn) -> NonNull<P> {
        self.place(pfn)
    }

    unsafe fn pfn_of(&self, page: NonNull<P>) -> Pfn {
        let offset = page.addr().get() - self.pages.as_ptr().addr();
        Pfn::new((offset / size_of::<P>()) as u64)
    }

    fn explain(&self, pfn: Pfn, guard: &Inside) -> Result<NonNull<P>, LookupError> {
        let section = pfn.section::<Tiny>();
        self.lookup_with(pfn, guard).ok_or(LookupError::AbsentSection { pfn, section })
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        let subsections = load(&self.populated, nr);
        if subsections.is_empty() {
            return SectionState::ABSENT;
        }
        let mut flags = SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP;
        flags.set(SectionFlags::TAINT_ZONE_DEVICE, !load(&self.tainted, nr).is_empty());
        SectionState { flags, early_node: None, subsections, online: load(&self.online, nr) }
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        let mut rest = (from.get()..Tiny::NR_SECTIONS).map(SectionNr::new);
        rest.find(|nr| !load(&self.populated, *nr).is_empty())
    }

    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        let mut parts = within.intersection(frames(0, Tiny::MAX_PFN)).by_section::<Tiny>();
        parts.find_map(|(nr, part)| load(&self.populated, nr).first_run_in::<Tiny>(nr, part))
    }

    fn writer_slot(&self) -> &WriterSlot {
        &self.slot
    }

    fn footprint(&self) -> Footprint {
        FOOTPRINT
    }
}

impl<P: PageDescriptor> BootModel<()> for Toy<P> {
    fn boot<I>(
        writer: &mut Writer<'_, Self>,
        (): &mut (),
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        let model = writer.model();
        for range in memory {
            let (inside, frames) = range.frames.split_at(Pfn::new(Tiny::MAX_PFN));
            Self::mark(&model.populated, inside, set);
            if !frames.is_empty() {
                on_event(BootEvent::BeyondMaximum { frames, last: Pfn::new(Tiny::MAX_PFN - 1) });
            }
        }
        let sections = model.present_sections().count() as u64;
        Ok(BootSummary { sections, ..BootSummary::default() })
    }

    fn tear_down(&mut self, (): &mut ()) -> Result<(), TearDownError> {
        Self::mark(&self.populated, frames(0, Tiny::MAX_PFN), clear);
        Ok(())
    }
}

impl<P: PageDescriptor> InstallModel<()> for Toy<P> {
    fn install(
        writer: &mut Writer<'_, Self>,
        (): &mut (),
        frames: PfnRange,
        _node: NodeId,
    ) -> Result<(), InstallError> {
        let (section, bits) = FramesError::check::<Tiny>(frames)?;
        let populated = writer.model().section(section).subsections.intersection(bits);
        if !populated.is_empty() {
            return Err(InstallError::Populated { frames, section, populated });
        }
        Self::mark(&writer.model().populated, frames, set);
        Ok(())
    }
}

impl<P: PageDescriptor> RetireModel<()> for Toy<P> {
    fn retire(writer: &mut Writer<'_, Self>, (): &mut (), frames: PfnRange) -> Result<Retired, RetireError> {
        let model = writer.model();
        RetireError::check(model, frames)?;
        Self::mark(&model.populated, frames, clear);
        Ok(Retired { sections: frames.by_section::<Tiny>().count() as u64, ..Retired::default() })
    }
}

impl<P: PageDescriptor> MarkModel for Toy<P> {
    fn set_online(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        MarkError::check(writer.model(), frames, Mark::Online)?;
        Self::mark(&writer.model().online, frames, set);
        Ok(())
    }

    fn set_offline(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        MarkError::check(writer.model(), frames, Mark::Offline)?;
        Self::mark(&writer.model().online, frames, clear);
        Ok(())
    }

    fn taint(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        MarkError::check(writer.model(), frames, Mark::Shared)?;
        Self::mark(&writer.model().tainted, frames, set);
        Ok(())
    }
}

/// The guard of the toy's readers.
pub(crate) fn guard() -> Inside {
    Readers::enter()
}

/// So many frames.
pub(crate) const fn count(frames: u64) -> PageCount {
    PageCount::new(frames)
}
