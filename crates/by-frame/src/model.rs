//! The wrapper: lookups and walks ask the map of holes, and then the model inside.
//!
//! # Invariants
//!
//! 1. `holes` is null, or points to a map that lives until a grace period after the pointer was replaced, or until
//!    code with `&mut` of the model gives it back. Only the writer stores.
//! 2. Every descriptor is one that the model inside returned for the same frame.

use core::fmt;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicPtr, Ordering};
use sparsemem_core::{
    ByteLen, EarlyFrames, Folded, Footprint, Geometry, LookupError, MemoryModel, MemoryRange, Pfn, PfnRange,
    Reclaim, SectionNr, SectionShape, SectionState, Writer, WriterSlot, ZeroIsNew, const_fn,
};
use sparsemem_usage_map::{Pageblock, PageblockModel};

use crate::fill::Extent;
use crate::holes::{Holes, number};

/// The guard of a model's domain.
type Guard<M> = <<M as MemoryModel>::Reclaim as Reclaim>::Guard;

/// The model `M`, in which a frame of boot memory is valid only if boot was given that frame.
///
/// For kernels that take [`None`] for "this is no RAM": the holes that firmware leaves in sections of RAM have no
/// descriptor, also holes of one frame. What is added later is whole subsections, and valid as a whole; what is
/// removed is not valid, until it is added again. All operations are those of the model, with the same arguments and
/// errors.
///
/// A kernel whose function from a physical address to a record answers `None` for everything else:
///
/// ```
/// use sparsemem_by_frame::ByFrame;
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{
///     BootModel, LookupError, MemoryModel, MemoryRange, NeverReclaim, NodeId, Page, Pfn, PhysAddr, PhysRange,
///     SectionShape, StaticReader, initialise,
/// };
/// use sparsemem_sparse_extreme::SparseExtreme;
///
/// type Model = ByFrame<SparseExtreme<X86_64, Page, NeverReclaim, { X86_64::NR_ROOTS_LEN }>>;
///
/// static MODEL: Model = ByFrame::new(SparseExtreme::new());
///
/// /// What the kernel calls where its allocator asked for the record of a page.
/// fn get_page_info(at: PhysAddr) -> Option<&'static Page> {
///     StaticReader::new(&MODEL).page(at.pfn::<X86_64>())
/// }
///
/// /// RAM as PC firmware reports it: 636 KiB, a hole up to 1 MiB, and 32 MiB without the last page of 4 KiB.
/// fn firmware() -> [MemoryRange; 2] {
///     [(0, 0x9_f000), (0x10_0000, 0x1ff_f000)].map(|(start, end)| {
///         let bytes = PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).expect("it ends after its start");
///         MemoryRange::from_bytes::<X86_64>(bytes, NodeId::new(0))
///     })
/// }
///
/// fn bring_up<E>(memory: &mut E) where Model: BootModel<E> {
///     let mut writer = MODEL.write().expect("nobody else changes the model");
///     writer.boot(memory, firmware().into_iter(), &mut |event| panic!("{event:?}")).expect("the first boot");
///     firmware().map(|range| initialise(&MODEL, range.frames));
/// }
///
/// # use sparsemem_machine::{Machine, MachineConfig};
/// # let ram = PhysRange::new(PhysAddr::new(0), PhysAddr::new(64 << 20)).unwrap();
/// # bring_up(&mut Machine::new(&MachineConfig::new().memory(ram, NodeId::new(0))).unwrap());
/// let is_ram = |at| get_page_info(PhysAddr::new(at)).is_some();
/// assert!(is_ram(0x9_e000) && is_ram(0x10_0000) && is_ram(0x1ff_e000));
/// assert!(!is_ram(0x9_f000) && !is_ram(0xf_f000) && !is_ram(0x1ff_f000) && !is_ram(0x200_0000));
/// let why = MODEL.read().explain(Pfn::new(0xa0)).expect_err("the screen is no RAM");
/// assert!(matches!(why, LookupError::Hole { .. }));
/// ```
///
/// While a boot runs, lookups answer by the rule of the model inside; when it returns, the holes are closed. In the
/// sections of boot the holes have descriptors in memory, as in every model, which no lookup finds: memory that is
/// added there gets them.
///
/// # Cost
///
/// A lookup loads five words more than that of the model inside, four of which are the same at every lookup, and
/// has three branches more; on x86_64 over `sparse-extreme` it has 54 instructions on all branches instead of 29.
/// Frames of a subsection with a hole, and they alone, are looked for in a sorted list of such subsections, and in
/// a bit for each of their frames. An unchecked lookup, and the way back to the frame, cost what they cost in the
/// model inside. The map is one block: a bit for each subsection from the lowest to the highest section of boot (64
/// KiB for a TiB), and for each end of a range inside a subsection nine words (with pages of 4 KiB).
pub struct ByFrame<M> {
    pub(crate) inner: M,
    holes: AtomicPtr<Holes>,
}

impl<M> ByFrame<M> {
    const_fn! {
        /// The model, not yet booted, by frame.
        #[must_use]
        pub const fn new(inner: M) -> Self {
            Self { inner, holes: AtomicPtr::new(core::ptr::null_mut()) }
        }
    }

    /// The model inside, for what only its type has, such as the place of an array that is found at boot.
    ///
    /// Memory is added and removed through the wrapper: if the model inside alone is changed, frames that are added
    /// stay holes, and a boot after the last section was removed that way leaves the old map's block behind.
    pub const fn inner(&self) -> &M {
        &self.inner
    }

    /// Makes a map visible. For the writer; there is no other map.
    pub(crate) fn publish(&self, holes: NonNull<Holes>) {
        // Release: pairs with the Acquire in `loaded`.
        self.holes.store(holes.as_ptr(), Ordering::Release);
    }

    /// Takes the map away, so that no new reader finds it. For the writer, or code with `&mut` of the model.
    pub(crate) fn unpublish(&self) -> Option<NonNull<Holes>> {
        // Relaxed: who frees the map waits for readers first.
        NonNull::new(self.holes.swap(core::ptr::null_mut(), Ordering::Relaxed))
    }

    /// # Safety
    ///
    /// The map is not given back while the reference is used.
    #[inline]
    unsafe fn loaded<'a>(&self) -> Option<&'a Holes> {
        // Acquire: pairs with the Release in `publish`, so that the head and the bits are seen.
        let holes = NonNull::new(self.holes.load(Ordering::Acquire));
        // SAFETY: the caller's promise.
        holes.map(|holes| unsafe { holes.as_ref() })
    }
}

impl<M: MemoryModel> ByFrame<M> {
    /// The map, which the guard keeps alive.
    #[inline]
    fn holes<'g>(&'g self, _guard: &'g Guard<M>) -> Option<&'g Holes> {
        // SAFETY: invariant 1: the guard holds the grace period off.
        unsafe { self.loaded() }
    }

    /// The map, which stays until the writer gives it back.
    pub(crate) fn holes_of<'w>(writer: &'w Writer<'_, Self>) -> Option<&'w Holes> {
        // SAFETY: a map is given back by `retire` and by code with `&mut` of the model; the writer is borrowed
        // meanwhile.
        unsafe { writer.model().loaded() }
    }

    /// True if the map says that a frame is no memory, although the model inside may take it for valid.
    #[inline]
    fn is_hole(&self, pfn: Pfn, guard: &Guard<M>) -> bool {
        let Some(holes) = self.holes(guard) else { return false };
        holes.is_closed(number::<M::Geometry>(pfn)) && !holes.has::<M::Geometry>(pfn)
    }
}

/// The bytes that the map of [`ByFrame`] takes for a boot with `memory`: one block, beside what the model takes.
pub fn map_bytes<G: Geometry, I>(memory: &I) -> ByteLen
where
    I: Iterator<Item = MemoryRange> + Clone,
{
    Extent::of::<G, I>(memory).map_or(ByteLen::new(0), |extent| extent.bytes::<G>())
}

// SAFETY: (1) every descriptor is one that the model inside returned for the same frame, under the same guard, whose
// implementor promised the rest; the map only makes answers `None`. (2) The descriptors of a subsection are those of
// the model inside. (3) The writer slot is that of the model inside, and the map is changed by the writer and by code
// with `&mut` only.
unsafe impl<M: MemoryModel> MemoryModel for ByFrame<M> {
    type Geometry = M::Geometry;
    type Page = M::Page;
    type Reclaim = M::Reclaim;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn early_frames(&self) -> EarlyFrames {
        EarlyFrames::Reported
    }

    #[inline]
    fn lookup_with(&self, pfn: Pfn, guard: &Guard<M>) -> Option<NonNull<M::Page>> {
        if self.is_hole(pfn, guard) {
            return None;
        }
        self.inner.lookup_with(pfn, guard)
    }

    #[inline]
    fn lookup_online_with(&self, pfn: Pfn, guard: &Guard<M>) -> Option<NonNull<M::Page>> {
        if self.is_hole(pfn, guard) {
            return None;
        }
        self.inner.lookup_online_with(pfn, guard)
    }

    #[inline]
    unsafe fn lookup_unchecked(&self, pfn: Pfn) -> NonNull<M::Page> {
        // SAFETY: a frame that is valid here is valid in the model inside.
        unsafe { self.inner.lookup_unchecked(pfn) }
    }

    #[inline]
    unsafe fn pfn_of(&self, page: NonNull<M::Page>) -> Pfn {
        // SAFETY: as above.
        unsafe { self.inner.pfn_of(page) }
    }

    fn explain(&self, pfn: Pfn, guard: &Guard<M>) -> Result<NonNull<M::Page>, LookupError> {
        let found = self.inner.explain(pfn, guard)?;
        if !self.is_hole(pfn, guard) {
            return Ok(found);
        }
        let (section, subsection) = (pfn.section::<M::Geometry>(), pfn.subsection::<M::Geometry>());
        let in_part = self.holes(guard).is_some_and(|holes| holes.is_partial::<M::Geometry>(pfn));
        Err(if in_part {
            LookupError::Hole { pfn, section, subsection }
        } else {
            LookupError::AbsentSubsection { pfn, section, subsection }
        })
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        self.inner.section(nr)
    }

    fn folded(&self, nr: SectionNr, guard: &Guard<M>) -> Option<Folded> {
        self.inner.folded(nr, guard)
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        self.inner.next_present(from)
    }

    /// # Cost
    ///
    /// As in the model inside, and a bit for each subsection of what it finds.
    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        let guard = M::Reclaim::enter();
        let mut rest = within;
        while !rest.is_empty() {
            let run = self.inner.next_valid(rest)?;
            let found = match self.holes(&guard) {
                Some(holes) => holes.first_in::<M::Geometry>(run),
                None => Some(run),
            };
            if found.is_some() {
                return found;
            }
            rest = rest.split_at(run.end()).1;
        }
        None
    }

    fn writer_slot(&self) -> &WriterSlot {
        self.inner.writer_slot()
    }

    /// Adds the map to what the model inside takes; it counts as planes.
    fn footprint(&self) -> Footprint {
        let inner = self.inner.footprint();
        let guard = M::Reclaim::enter();
        let map_bytes = self.holes(&guard).map_or(0, Holes::bytes);
        Footprint { plane_bytes: inner.plane_bytes + map_bytes, ..inner }
    }

    fn reserve(writer: &mut Writer<'_, Self>, frames: PfnRange) {
        let inner = &writer.model().inner;
        writer.project(inner).reserve(frames);
    }

    /// Adds the map, and a page to align it, to what the model inside takes.
    fn boot_bytes<I: Iterator<Item = MemoryRange> + Clone>(&self, memory: I) -> ByteLen {
        let map = map_bytes::<M::Geometry, I>(&memory).get();
        let aligned = if map == 0 { 0 } else { map.saturating_add(M::Geometry::PAGE_SIZE) };
        ByteLen::new(self.inner.boot_bytes(memory).get().saturating_add(aligned))
    }
}

impl<M: PageblockModel> PageblockModel for ByFrame<M> {
    fn pageblock<'g>(&'g self, pfn: Pfn, guard: &'g Guard<M>) -> Option<Pageblock<'g, M::Geometry>> {
        self.inner.pageblock(pfn, guard)
    }
}

// SAFETY: a null pointer is zero bytes, and the model inside is as its own impl says; `new` makes the same.
unsafe impl<M: ZeroIsNew> ZeroIsNew for ByFrame<M> {}

impl<M: fmt::Debug> fmt::Debug for ByFrame<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByFrame").field(&self.inner).finish()
    }
}
