//! A model with all the memory that it needs.
//!
//! # Invariants
//!
//! 1. The memory of a virtual array is there from the start; no model maps anything.

use rustix::mm::Advice;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    ArrayPlace, BootModel, DeferredModel, Geometry, GracePeriod, InstallModel, MemoryModel, MemoryRange,
    NodeId, Page, PageCount, Pfn, PfnRange, PlaceClaim, RetireModel, SectionShape, ZeroIsNew,
};
use sparsemem_machine::place;

use crate::environment::{Environment, Mapping, Pages};
use crate::maps::Map;

/// The memory of a virtual array; a constant place is free for the next model when it is dropped, whether the model before
/// was torn down or not.
#[derive(Debug)]
pub struct ArrayMemory {
    mapping: Mapping,
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
        Self { mapping: Mapping::at(A::START, bytes, pages), _claim: Some(Claimed(A::claim())) }
    }

    /// Memory at an address of the host's choice.
    #[must_use]
    pub fn anywhere(bytes: usize, pages: Pages) -> Self {
        Self { mapping: Mapping::new(bytes, pages), _claim: None }
    }

    /// Its first address on a 2 MiB border.
    #[must_use]
    pub fn start(&self) -> core::ptr::NonNull<u8> {
        self.mapping.aligned()
    }
}

/// Room for what is no block of descriptors. Units: bytes.
const OTHER_BLOCKS: usize = 64 << 20;

/// A model with all the memory that it needs.
#[derive(Debug)]
pub struct Instance<M> {
    /// The model.
    pub model: Box<M>,
    /// Its metadata.
    pub environment: Environment,
    /// The number of its sections after boot.
    sections: u64,
    /// The memory of its virtual array.
    _array: Option<ArrayMemory>,
}

/// The way in which a model gets to know its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coming {
    /// The memory is there at boot: sections are early.
    Boot,
    /// The memory comes later, in whole sections: lookups have to look at the subsection.
    Later,
}

impl<M: MemoryModel + ZeroIsNew> Instance<M> {
    /// A model without memory that is going to have that of `map`, and some sections more; its memmaps lie on `pages`.
    #[must_use]
    pub fn new(map: &Map, pages: Pages, array: Option<ArrayMemory>) -> Self {
        let memmaps = memmap_bytes::<M::Geometry>(&map.memory) + (64 << 20);
        // A usage is 88 bytes and a memmap 2 MiB; a page table entry is eight, and roots and tables are pages.
        let small = (memmaps >> 12) + (64 << 20);
        let environment = Environment::new(small, memmaps, pages);
        Self { model: fresh(), environment, sections: map.sections(), _array: array }
    }

    /// The same for a model whose descriptors are one block, on `pages`; `None` if no block serves the memory of `map`.
    #[must_use]
    pub fn of_one_block(map: &Map, pages: Pages) -> Option<Self> {
        let model = fresh::<M>();
        let block = model.boot_bytes(map.memory.iter().copied()).get();
        let block = usize::try_from(block).ok().filter(|bytes| *bytes > 0)?;
        let environment = Environment::new(OTHER_BLOCKS, block, pages);
        Some(Self { model, environment, sections: map.sections(), _array: None })
    }
}

impl<M: BootModel<Environment>> Instance<M> {
    /// Brings the model up.
    ///
    /// # Panics
    ///
    /// If a section is lost.
    pub fn boot(&mut self, map: &Map) {
        let mut writer = self.model.write().expect("nobody else knows of the model");
        let up = writer.boot(&mut self.environment, map.memory.iter().copied(), &mut |_| {});
        assert_eq!(up.map(|up| (up.sections, up.lost)), Ok((self.sections, 0)));
        drop(writer);
        self.environment.finish_boot();
    }

    /// Marks the sections of `map`, and makes no memmap.
    ///
    /// # Panics
    ///
    /// If a section is lost.
    pub fn mark(&mut self, map: &Map)
    where
        M: DeferredModel<Environment>,
    {
        let mut writer = self.model.write().expect("nobody else knows of the model");
        let memory = map.memory.iter().copied();
        let marked = M::boot_deferred(&mut writer, &mut self.environment, memory, &mut |_| {});
        assert_eq!(marked.map(|marked| (marked.sections, marked.lost)), Ok((self.sections, 0)));
    }

    /// Takes the model down, and makes its memory as it was before.
    ///
    /// # Panics
    ///
    /// If something is not taken back.
    pub fn take_down(&mut self) {
        self.model.tear_down(&mut self.environment).expect("the environment takes back what it gave");
        // SAFETY: the model has given everything back.
        unsafe { self.environment.rewind() };
    }
}

impl<M: BootModel<Environment> + InstallModel<Environment>> Instance<M> {
    /// The model with the memory of `map`.
    ///
    /// # Panics
    ///
    /// If a section is lost.
    #[must_use]
    pub fn with_memory(mut self, map: &Map, coming: Coming) -> Self {
        match coming {
            Coming::Boot => self.boot(map),
            Coming::Later => self.install_sections(map),
        }
        self
    }

    /// Adds every section of `map`, as a whole.
    fn install_sections(&mut self, map: &Map) {
        self.environment.finish_boot();
        let sections = map.memory.iter().flat_map(|range| range.frames.by_section::<M::Geometry>());
        for (nr, _) in sections {
            let section = nr.frames::<M::Geometry>().expect("a section of the geometry");
            if !self.model.is_valid(section.start()) {
                self.add(section);
            }
        }
    }

    /// Adds frames; takes the writer, as an operation of a kernel does.
    ///
    /// # Panics
    ///
    /// If the model refuses.
    pub fn add(&mut self, frames: PfnRange) {
        let mut writer = self.model.write().expect("nobody else changes the model");
        writer.install(&mut self.environment, frames, NodeId::new(0)).expect("there is memory for it");
    }

    /// Removes frames that were added.
    ///
    /// # Panics
    ///
    /// If the model refuses.
    pub fn remove(&mut self, frames: PfnRange)
    where
        M: RetireModel<Environment>,
        M::Reclaim: GracePeriod,
    {
        let mut writer = self.model.write().expect("nobody else changes the model");
        let retired = writer.retire(&mut self.environment, frames).expect("it was added");
        assert!(retired.lost.is_empty());
    }
}

/// A model in zeroed memory on large pages, as a kernel's static is.
fn fresh<M: ZeroIsNew>() -> Box<M> {
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
fn memmap_bytes<G: SectionShape>(memory: &[MemoryRange]) -> usize {
    let sections: usize = memory.iter().map(|range| range.frames.by_section::<G>().count()).sum();
    let frames = usize::try_from(G::PAGES_PER_SECTION).unwrap_or(usize::MAX);
    (sections + 1) * frames * size_of::<Page>()
}

/// A section that no map has.
#[must_use]
pub fn free_section() -> PfnRange {
    free_subsections(0, X86_64::SUBSECTIONS_PER_SECTION)
}

/// Subsections of that section.
#[must_use]
pub fn free_subsections(first: u32, count: u32) -> PfnRange {
    let section = Pfn::new((4 << 40) >> X86_64::PAGE_SHIFT);
    let start = section.saturating_add(PageCount::new(u64::from(first) * X86_64::PAGES_PER_SUBSECTION));
    let count = PageCount::new(u64::from(count) * X86_64::PAGES_PER_SUBSECTION);
    PfnRange::from_start_count(start, count).unwrap_or_default()
}
