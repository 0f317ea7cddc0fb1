//! The data path of a memory model: from frame to descriptor and back.
//!
//! # Invariants
//!
//! 1. One lookup reads the section word once and decides everything from that value.
//! 2. No method of this trait changes a model: [`MemoryModel::write`] lends the right to change it, and the traits of
//!    `control` use that right.

use core::ptr::NonNull;

use crate::{
    ByteLen, EarlyFrames, Folded, Footprint, Geometry, LookupError, MemoryRange, PageDescriptor, Pfn,
    PfnRange, PresentSections, Reader, Reclaim, SectionNr, SectionState, ValidRanges, Writer, WriterSlot,
    boot_bytes,
};

/// The guard of a model's domain.
type Guard<M> = <<M as MemoryModel>::Reclaim as Reclaim>::Guard;

/// The map between page frames and their descriptors.
///
/// `lookup(pfn)` is the primitive. Linux makes two calls in a row, `pfn_valid` and `pfn_to_page`; between them the
/// section may be removed, and the section word is loaded twice. Here one load answers both.
///
/// A model of one section, which has everything that lookups need:
///
/// ```
/// use core::ptr::NonNull;
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use sparsemem_core::{presets::X86_64, *};
///
/// /// References to a frame.
/// struct Frame(AtomicU32);
///
/// // SAFETY: an atomic integer: zero bytes are valid, and there is nothing to drop.
/// unsafe impl PageDescriptor for Frame {
///     unsafe fn initialise(&self, _: Pfn, _: SectionNr) {}
/// }
///
/// /// All RAM of the machine is section 2.
/// const SECTION: SectionNr = SectionNr::new(2);
/// const FIRST: Pfn = Pfn::new(2 << 15);
///
/// struct OneSection([Frame; 1 << 15], WriterSlot);
///
/// // SAFETY: each frame of the section has an element of the array, which stays; nothing changes the model.
/// unsafe impl MemoryModel for OneSection {
///     type Geometry = X86_64;
///     type Page = Frame;
///     type Reclaim = NeverReclaim;
///
///     fn name(&self) -> &'static str {
///         "one-section"
///     }
///
///     fn lookup_with(&self, pfn: Pfn, _: &<NeverReclaim as Reclaim>::Guard) -> Option<NonNull<Frame>> {
///         let index = usize::try_from(pfn.offset_from(FIRST)?.get()).ok()?;
///         let frame = self.0.as_ptr().wrapping_add(index).cast_mut();
///         NonNull::new(frame).filter(|_| index < self.0.len())
///     }
///
///     unsafe fn pfn_of(&self, page: NonNull<Frame>) -> Pfn {
///         let bytes = page.addr().get() - self.0.as_ptr().addr();
///         FIRST.saturating_add(PageCount::new((bytes / size_of::<Frame>()) as u64))
///     }
///
///     fn section(&self, nr: SectionNr) -> SectionState {
///         let (flags, all) = (SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP, SubsectionBits::full::<X86_64>());
///         let present = SectionState { flags, early_node: None, subsections: all, online: all };
///         if nr == SECTION { present } else { SectionState::ABSENT }
///     }
///
///     fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
///         (from <= SECTION).then_some(SECTION)
///     }
///
///     fn writer_slot(&self) -> &WriterSlot {
///         &self.1
///     }
///
///     fn footprint(&self) -> Footprint {
///         Footprint { memmap_bytes: size_of_val(&self.0) as u64, ..Footprint::default() }
///     }
/// }
///
/// static MODEL: OneSection = OneSection([const { Frame(AtomicU32::new(0)) }; 1 << 15], WriterSlot::new());
///
/// // A kernel takes a reference to a page, and gets from the record back to the page.
/// let reader = MODEL.read();
/// let frame = reader.page(Pfn::new(0x1_0007)).expect("it is RAM");
/// frame.0.fetch_add(1, Ordering::Relaxed);
/// // SAFETY: the frame stays valid, and the model reads nothing of the record.
/// assert_eq!(unsafe { MODEL.pfn_of(NonNull::from(frame)) }, Pfn::new(0x1_0007));
///
/// let why = reader.explain(Pfn::new(7)).err().expect("it is no RAM");
/// assert_eq!(why.to_string(), "frame 0x7 lies in section 0, which is absent");
/// ```
///
/// # Safety
///
/// A descriptor that [`MemoryModel::lookup_with`] returns is mapped, aligned and initialised (at least to zero bytes)
/// until its frame is retired and a grace period of [`MemoryModel::Reclaim`] has passed after that, or until code
/// with `&mut` of the model tears it down, which guards do not hold off. Two frames never share a descriptor, except tails
/// of folded compounds ([`MemoryModel::folded`]): their descriptors share memory, which may only be read, and have an
/// address for each frame.
///
/// The descriptors of a subsection's frames are there together, one after the other: a pointer to the descriptor of a
/// valid frame may be moved to every other one and used there. (All frames of the subsection are valid then, unless
/// the model is exact by frame: [`EarlyFrames::Reported`].)
///
/// [`MemoryModel::writer_slot`] is the same slot at every call, and while the model is shared nothing but its [`Writer`]
/// changes it. Two models may have one slot: then a writer of one keeps writers of both out.
pub unsafe trait MemoryModel: Sync {
    /// Sizes of pages, subsections and sections.
    type Geometry: Geometry;
    /// The kernel's page descriptor.
    type Page: PageDescriptor;
    /// The domain of this model's readers.
    type Reclaim: Reclaim;

    /// The name that tools print.
    fn name(&self) -> &'static str;

    /// The frames of a section of boot that are valid: all of them by default, as in Linux.
    fn early_frames(&self) -> EarlyFrames {
        EarlyFrames::All
    }

    /// Finds the descriptor of a frame, or `None` if the frame has none.
    ///
    /// Linux needs two calls for it, `pfn_valid` and `pfn_to_page`.
    ///
    /// The pointer stays valid for as long as the guard lives; [`Reader::page`] gives a reference instead.
    ///
    /// # Concurrency
    ///
    /// Takes no lock and never waits; may be called from interrupts.
    ///
    /// # Cost
    ///
    /// One load of the section word, and one more for the root in a two-level table; two more for the subsection bit, only in a
    /// section of which parts are absent. A model of one virtual array loads a word of a plane instead, and the root unless
    /// the plane is flat.
    #[doc(alias = "pfn_valid")]
    fn lookup_with(&self, pfn: Pfn, guard: &Guard<Self>) -> Option<NonNull<Self::Page>>;

    /// Finds the descriptor of a frame that is online: of RAM that the page allocator has, not of a device.
    ///
    /// It distinguishes the two also where they share a section. Source: Linux `pfn_to_online_page`. Differs from
    /// Linux: there is no second lookup for shared sections, because the online state is kept per subsection.
    ///
    /// # Concurrency
    ///
    /// As [`MemoryModel::lookup_with`].
    ///
    /// # Cost
    ///
    /// As [`MemoryModel::lookup_with`], where the subsections of a section are all or none online. The default asks for the
    /// state of the section.
    #[doc(alias = "pfn_to_online_page")]
    fn lookup_online_with(&self, pfn: Pfn, guard: &Guard<Self>) -> Option<NonNull<Self::Page>> {
        let state = self.section(pfn.section::<Self::Geometry>());
        let is_online = state.online.contains(pfn.subsection::<Self::Geometry>());
        self.lookup_with(pfn, guard).filter(|_| is_online)
    }

    /// Finds the descriptor of a frame that is known to have one (Linux: `pfn_to_page`).
    ///
    /// # Safety
    ///
    /// The frame must be valid, and must stay so while this runs.
    ///
    /// # Cost
    ///
    /// One load, and another one if the section table has roots. A model whose descriptors lie in one virtual array loads
    /// nothing, or its base if that is not a constant. The default checks.
    #[doc(alias = "pfn_to_page")]
    unsafe fn lookup_unchecked(&self, pfn: Pfn) -> NonNull<Self::Page> {
        // SAFETY: a valid frame has a descriptor.
        unsafe { self.lookup(pfn).unwrap_unchecked() }
    }

    /// Gets from a descriptor back to its frame.
    ///
    /// # Safety
    ///
    /// `page` must be a descriptor of this model whose frame is valid, and stays so while this runs; for models that
    /// keep the section number in the descriptor it must have been initialised with its own frame and section
    /// ([`PageDescriptor::initialise`], as [`initialise`](crate::initialise) and
    /// [`initialise_fresh`](crate::initialise_fresh) do).
    ///
    /// # Cost
    ///
    /// vmemmap: no load with a constant base; the others: the descriptor's section, then as `lookup_unchecked`.
    #[doc(alias = "page_to_pfn")]
    unsafe fn pfn_of(&self, page: NonNull<Self::Page>) -> Pfn;

    /// Like [`MemoryModel::lookup_with`], but says why there is no descriptor.
    ///
    /// # Errors
    ///
    /// [`LookupError`], naming the frame and the first thing that is missing on the path to its descriptor. The default
    /// finds that out from the state of the section.
    fn explain(&self, pfn: Pfn, guard: &Guard<Self>) -> Result<NonNull<Self::Page>, LookupError> {
        self.lookup_with(pfn, guard)
            .ok_or_else(|| self.section(pfn.section::<Self::Geometry>()).missing::<Self::Geometry>(pfn))
    }

    /// A copy of a section's state; [`SectionState::ABSENT`] for any number beyond the last.
    fn section(&self, nr: SectionNr) -> SectionState;

    /// The folded compounds of a section, if it has any: their tails share descriptors, to which a store faults. None by
    /// default, which is right for models that never fold.
    ///
    /// Lookups do not ask: whoever writes to descriptors of memory that may be used as compounds does. A model says that a
    /// frame shares its descriptor from before lookups find it so until they no longer do, and whoever was told under a guard that a frame
    /// does not may write to its descriptor until the guard is gone.
    fn folded(&self, nr: SectionNr, guard: &Guard<Self>) -> Option<Folded> {
        let _ = (nr, guard);
        None
    }

    /// The first present section at or after `from`.
    ///
    /// # Cost
    ///
    /// Grows with the populated sections: summary bits skip stretches without any.
    fn next_present(&self, from: SectionNr) -> Option<SectionNr>;

    /// The first run of valid frames in `within`, ending at the latest with its section.
    ///
    /// # Cost
    ///
    /// As [`MemoryModel::next_present`], then one word of the subsection map at a time. The default asks for the state of
    /// each section, and is not for models that are exact by frame.
    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        let mut rest = within;
        while !rest.is_empty() {
            let nr = self.next_present(rest.start().section::<Self::Geometry>())?;
            let frames = nr.frames::<Self::Geometry>()?;
            let valid = self.section(nr).valid::<Self::Geometry>(self.early_frames());
            let run = valid.first_run_in::<Self::Geometry>(nr, rest.intersection(frames));
            if run.is_some() {
                return run;
            }
            rest = rest.split_at(frames.end()).1;
        }
        None
    }

    /// The writer slot of this model.
    fn writer_slot(&self) -> &WriterSlot;

    /// The size of the model's metadata now. While a writer is at work, parts of its operation may be counted.
    ///
    /// # Concurrency
    ///
    /// Takes no lock and excludes no writer.
    fn footprint(&self) -> Footprint;

    /// Reserves room for the descriptors of memory that may be added later; does nothing by default, because most models
    /// make room when memory is added.
    ///
    /// A kernel calls it before the boot, with what its firmware says can be plugged in, so that it can change the model
    /// and nothing else. It replaces an earlier reserve; an empty range is none.
    ///
    /// # Cost
    ///
    /// In a model of one array with a bound: a descriptor per frame from the boot on, whether or not memory is added.
    fn reserve(writer: &mut Writer<'_, Self>, frames: PfnRange)
    where
        Self: Sized,
    {
        let _ = (writer, frames);
    }

    /// The most bytes that a boot with `memory` takes from its environment, so that a kernel can ask its boot
    /// allocator for one block. The ranges may have any order and may overlap.
    ///
    /// The default is for models that take memory section by section: a few pages more than each section's descriptors.
    fn boot_bytes<I>(&self, memory: I) -> ByteLen
    where
        Self: Sized,
        I: Iterator<Item = MemoryRange> + Clone,
    {
        boot_bytes::by_section::<Self::Geometry>(size_of::<Self::Page>(), &memory)
    }

    /// Starts writing, or `None` if another writer exists: a kernel serialises its slow operations by a lock of its
    /// own, and waiting here would only hide that the lock is missing.
    fn write(&self) -> Option<Writer<'_, Self>>
    where
        Self: Sized,
    {
        Writer::new(self)
    }

    /// Finds the descriptor of a frame for a caller with a guarantee of its own, such as a reference to the page.
    ///
    /// Without such a guarantee the pointer may be stale when it is used: prefer [`MemoryModel::read`].
    #[inline]
    fn lookup(&self, pfn: Pfn) -> Option<NonNull<Self::Page>> {
        let guard = Self::Reclaim::enter();
        self.lookup_with(pfn, &guard)
    }

    /// True if the frame has a descriptor. A valid frame need not be in use, online, or RAM.
    #[inline]
    fn is_valid(&self, pfn: Pfn) -> bool {
        self.lookup(pfn).is_some()
    }

    /// Starts reading: pages found through the reader stay mapped until it is dropped.
    #[inline]
    fn read(&self) -> Reader<'_, Self>
    where
        Self: Sized,
    {
        Reader::new(self)
    }

    /// The present sections, lowest first.
    fn present_sections(&self) -> PresentSections<'_, Self>
    where
        Self: Sized,
    {
        PresentSections::new(self)
    }

    /// The runs of valid frames in `within`, lowest first; a run ends at the latest with its section.
    fn valid_ranges(&self, within: PfnRange) -> ValidRanges<'_, Self>
    where
        Self: Sized,
    {
        ValidRanges::new(self, within)
    }
}
