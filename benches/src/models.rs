//! The models under measurement, each up on memory of its own.
//!
//! # Invariants
//!
//! 1. A virtual array lies at a place that is a constant, as in a kernel; its memory is there from the start.

use std::ptr::NonNull;

use rustix::mm::Advice;
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{
    ArrayPlace, BootModel, InstallModel, MemoryModel, MemoryRange, NeverReclaim, Page, PageCount, Pfn,
    PfnRange, PlaceClaim, SectionShape, ZeroIsNew, initialise,
};
use sparsemem_machine::place;
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{ConstBase, DynamicBase, Vmemmap};

use crate::ground::{Ground, Mapping, Pages};

/// Declares a place of the host's addresses for a virtual array.
macro_rules! array_place {
    ($(#[$doc:meta])* $name:ident = $start:literal, $bytes:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        // SAFETY: programs of the host are not loaded there, and whoever maps it does so with `FIXED_NOREPLACE`. The place is
        // whole blocks of 512 GiB.
        unsafe impl ArrayPlace for $name {
            const START: u64 = $start;
            const BYTES: u64 = $bytes;

            fn claim() -> &'static PlaceClaim {
                static CLAIM: PlaceClaim = PlaceClaim::new();
                &CLAIM
            }
        }
    };
}

array_place! {
    /// On large pages.
    OnHuge = 0x2000_0000_0000, 1 << 40
}
array_place! {
    /// On small pages.
    OnBase = 0x2200_0000_0000, 1 << 40
}
array_place! {
    /// Of the large geometry.
    OfLa57 = 0x2400_0000_0000, 1 << 44
}
array_place! {
    /// Of models that come and go; low enough for programs that run in valgrind.
    OfSlowPaths = 0x0800_0000_0000, 1 << 40
}

/// classic-sparse, of a geometry with `N` sections.
pub type Classic<G, R, const N: usize> = ClassicSparse<G, Page, R, N>;
/// sparse-extreme, of a geometry with `N` roots.
pub type Extreme<G, R, const N: usize> = SparseExtreme<G, Page, R, N>;
/// vmemmap at a place known at compile time.
pub type Fixed<G, R, A, const N: usize> = Vmemmap<G, Page, R, ConstBase<A>, N>;

/// Sections of x86_64.
pub const SECTIONS: usize = X86_64::NR_SECTIONS_LEN;
/// Roots of x86_64.
pub const ROOTS: usize = X86_64::NR_ROOTS_LEN;
/// Sections of x86_64 with five levels.
pub const LA57_SECTIONS: usize = X86_64La57::NR_SECTIONS_LEN;
/// Roots of x86_64 with five levels.
pub const LA57_ROOTS: usize = X86_64La57::NR_ROOTS_LEN;

/// classic-sparse, with readers that cost nothing.
pub type FreeClassic = Classic<X86_64, NeverReclaim, SECTIONS>;
/// sparse-extreme, likewise.
pub type FreeExtreme = Extreme<X86_64, NeverReclaim, ROOTS>;
/// vmemmap, likewise, on one of the places.
pub type FreeFixed<A> = Fixed<X86_64, NeverReclaim, A, ROOTS>;
/// vmemmap at a place that is found out at run time, likewise.
pub type FreePlaced = Vmemmap<X86_64, Page, NeverReclaim, DynamicBase, ROOTS>;

/// The memory of a virtual array; a constant place is free for the next model when it is dropped, whether the model before
/// was torn down or not.
#[derive(Debug)]
pub struct ArrayMemory {
    _mapping: Mapping,
    /// Given up last, when nothing is mapped there any more.
    _claim: Option<Claimed>,
}

/// The claim of a place that this program's models have one after the other.
#[derive(Debug)]
struct Claimed(&'static PlaceClaim);

impl Drop for Claimed {
    fn drop(&mut self) {
        // The model has it, unless it was torn down or never booted.
        let _was_free = self.0.take();
        // SAFETY: it was taken by the model or just now, and the model is not used any more.
        unsafe { self.0.give_back() };
    }
}

impl ArrayMemory {
    /// Memory at a constant place.
    ///
    /// # Safety
    ///
    /// A model at the place is given this before it is booted, and is not used any more when this is dropped.
    #[must_use]
    pub unsafe fn of_place<A: ArrayPlace>(pages: Pages) -> Self {
        let bytes = usize::try_from(A::BYTES).unwrap_or(usize::MAX);
        Self { _mapping: Mapping::at(A::START, bytes, pages), _claim: Some(Claimed(A::claim())) }
    }
}

/// A model that is up, with all the memory that it needs.
#[derive(Debug)]
pub struct Up<M> {
    /// The model.
    pub model: Box<M>,
    /// Its metadata.
    pub ground: Ground,
    /// The memory of its virtual array.
    pub array: Option<ArrayMemory>,
}

/// How a model gets to know its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coming {
    /// At boot: sections are early.
    Boot,
    /// Later, whole sections: lookups have to look at the subsection.
    Later,
}

/// A model in zeroed memory on large pages, as a kernel's static is.
#[must_use]
pub fn fresh<M: ZeroIsNew>() -> Box<M> {
    let model = place::<M>();
    let start = std::ptr::from_ref(&*model).addr();
    let (first, end) = (start.next_multiple_of(2 << 20), start + size_of::<M>());
    if first + (2 << 20) <= end {
        let pages = std::ptr::from_ref(&*model).cast::<u8>().wrapping_add(first - start).cast_mut();
        // SAFETY: advice about memory of our own changes no contents.
        let _ = unsafe { rustix::mm::madvise(pages.cast(), end - first, Advice::LinuxHugepage) };
    }
    model
}

/// Bytes of memmaps for all sections that `memory` touches.
#[must_use]
pub fn memmap_bytes<G: SectionShape>(memory: &[MemoryRange]) -> usize {
    let sections: usize = memory.iter().map(|range| range.frames.by_section::<G>().count()).sum();
    let frames = usize::try_from(G::PAGES_PER_SECTION).unwrap_or(usize::MAX);
    (sections + 1) * frames * size_of::<Page>()
}

/// Bytes of everything else, generously.
fn small_bytes(memmap_bytes: usize) -> usize {
    // A usage is 88 bytes and a memmap 2 MiB; a page table entry is eight, and roots and tables are pages.
    (memmap_bytes >> 12) + (64 << 20)
}

/// Brings a table model up, with its memmaps on `pages`.
#[must_use]
pub fn table_model<M>(memory: &[MemoryRange], coming: Coming, pages: Pages) -> Up<M>
where
    M: BootModel<Ground> + InstallModel<Ground> + ZeroIsNew,
{
    let bytes = memmap_bytes::<M::Geometry>(memory);
    let ground = Ground::new(small_bytes(bytes), bytes, pages);
    up(fresh(), ground, None, memory, coming)
}

/// Brings a virtual array up at its constant place, on `pages`.
#[must_use]
pub fn array_model<A, M>(memory: &[MemoryRange], coming: Coming, pages: Pages) -> Up<M>
where
    A: ArrayPlace,
    M: BootModel<Ground> + InstallModel<Ground> + ZeroIsNew,
{
    // SAFETY: the model is made below, and whoever drops the array's memory drops the model before.
    let array = unsafe { ArrayMemory::of_place::<A>(pages) };
    let bytes = memmap_bytes::<M::Geometry>(memory);
    let ground = Ground::new(small_bytes(bytes), bytes, Pages::Base);
    up(fresh(), ground, Some(array), memory, coming)
}

/// Brings a virtual array up at a place that it is told, on `pages`.
#[must_use]
pub fn placed_model(memory: &[MemoryRange], pages: Pages) -> Up<FreePlaced> {
    let bytes = memmap_bytes::<X86_64>(memory);
    let whole = 1 << 40;
    let array = Mapping::new(whole, pages);
    let model: Box<FreePlaced> = fresh();
    // SAFETY: the mapping is for this model alone, on a 2 MiB border, and the model was just made.
    unsafe { model.placement().base().reserve(array.aligned(), whole as u64) };
    let array = ArrayMemory { _mapping: array, _claim: None };
    let ground = Ground::new(small_bytes(bytes), bytes, Pages::Base);
    up(model, ground, Some(array), memory, Coming::Boot)
}

fn up<M>(
    model: Box<M>,
    mut ground: Ground,
    array: Option<ArrayMemory>,
    memory: &[MemoryRange],
    coming: Coming,
) -> Up<M>
where
    M: BootModel<Ground> + InstallModel<Ground>,
{
    let mut writer = model.write().expect("nobody else knows of the model");
    match coming {
        Coming::Boot => {
            let up =
                writer.boot(&mut ground, memory.iter().copied(), &mut |_| {}).expect("a fresh model boots");
            assert_eq!(up.lost, 0, "there is memory for all sections");
        }
        Coming::Later => {
            ground.finish_boot();
            for range in memory {
                for (nr, _) in range.frames.by_section::<M::Geometry>() {
                    let section = nr.frames::<M::Geometry>().expect("a section of the geometry");
                    if !model.is_valid(section.start()) {
                        writer.install(&mut ground, section, range.node).expect("there is memory for it");
                    }
                }
            }
        }
    }
    drop(writer);
    Up { model, ground, array }
}

/// Initialises the descriptors of these frames, so that the way back works.
pub fn initialise_all<M: MemoryModel>(model: &M, memory: &[MemoryRange]) -> PageCount {
    let done = memory.iter().map(|range| initialise(model, range.frames).get()).sum();
    PageCount::new(done)
}

/// Initialises the descriptors of some frames, so that the way back from them works.
pub fn initialise_these<M: MemoryModel>(model: &M, frames: &[Pfn]) {
    for pfn in frames {
        let one = PfnRange::from_start_count(*pfn, PageCount::new(1)).unwrap_or_default();
        assert_eq!(initialise(model, one), one.count(), "{pfn} is a frame of the model");
    }
}

/// The descriptor array of the baselines: one for all frames up to the end of memory.
#[derive(Debug)]
pub struct FlatArray {
    mapping: Mapping,
}

impl FlatArray {
    /// An array on large pages.
    #[must_use]
    pub fn new(memory: &[MemoryRange]) -> Self {
        let frames = memory.iter().map(|range| range.frames.end().get()).max().unwrap_or(0);
        let bytes = usize::try_from(frames).unwrap_or(usize::MAX) * size_of::<Page>();
        Self { mapping: Mapping::new(bytes, Pages::Huge) }
    }

    /// Writes to the descriptors of these frames: memory that was only ever read is one page of zeros that the host shows
    /// everywhere, and would always be in the cache.
    pub fn write(&self, memory: &[MemoryRange]) {
        for range in memory {
            let frames = range.frames.start().get()..range.frames.end().get();
            for pfn in frames {
                let offset = usize::try_from(pfn).unwrap_or(usize::MAX);
                // SAFETY: the array has the descriptors of all frames up to the end of memory.
                let page = unsafe { self.start().add(offset) };
                // SAFETY: as above, and nobody else uses them yet; zero bytes are a valid descriptor.
                unsafe { page.write_bytes(0, 1) };
            }
        }
        std::hint::black_box(self.start());
    }

    /// The descriptor of frame 0.
    #[must_use]
    pub fn start(&self) -> NonNull<Page> {
        self.mapping.aligned().cast()
    }
}

/// All frames of some memory, as one range.
#[must_use]
pub fn span(memory: &[MemoryRange]) -> PfnRange {
    let start = memory.iter().map(|range| range.frames.start()).min().unwrap_or_default();
    let end = memory.iter().map(|range| range.frames.end()).max().unwrap_or_default();
    PfnRange::new(start, end).unwrap_or_default()
}
