//! The ways of looking frames up that this project's models have, and one that they could have.

use core::any::Any;
use core::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    MemoryModel, MemoryRange, NeverReclaim, Page, PageCount, Pfn, PfnRange, SectionShape, initialise,
};

use super::{Subject, TwinLoops, TwinTables, address};
use crate::backends::{MODELS, Tagged};
use crate::instance::Instance;

/// The question of checked lookups where sections came later.
pub const CHECKED_LATER: &str = "checked, hot-added";

/// A model that is up, whatever its type.
pub trait Lookups {
    /// Initialises the descriptors of memory, so that the way back works.
    fn initialise_all(&self, memory: &[MemoryRange]);

    /// Initialises the descriptors of these frames only.
    fn initialise_these(&self, frames: &[Pfn]);

    /// All ways to look frames up, and those of C.
    fn subjects(&self) -> Vec<Subject<'_>>;

    /// The checked lookup where sections came later, so that the subsection is looked at, and that of C.
    fn hot_added(&self) -> Vec<Subject<'_>>;

    /// The model by a tag and through a pointer to its lookup, if it is in the enum.
    fn chosen_at_run_time(&self) -> Option<ChosenAtRunTime<'_>>;

    /// A prototype with the contents of the model.
    fn inline_bits(&self) -> InlineBits;
}

/// A model with its name, and what it is compared with.
pub struct Compared<M: MemoryModel<Geometry: TwinLoops>> {
    name: &'static str,
    instance: Instance<M>,
    twin: Option<TwinTables<M::Geometry>>,
    any: Option<fn(&M) -> Tagged<'_>>,
}

impl<M: MemoryModel<Page = Page, Geometry: TwinLoops>> Compared<M> {
    /// A model alone.
    #[must_use]
    pub const fn new(name: &'static str, instance: Instance<M>) -> Self {
        Self { name, instance, twin: None, any: None }
    }

    /// Adds the twin in C, by its place among the models.
    #[must_use]
    pub fn beside_c(mut self, at: usize) -> Self {
        self.twin = Some(TwinTables::new(at, &*self.instance.model));
        self
    }

    /// Adds the way from the model to the enum.
    #[must_use]
    pub fn chosen_by(mut self, any: fn(&M) -> Tagged<'_>) -> Self {
        self.any = Some(any);
        self
    }
}

impl<M> Lookups for Compared<M>
where
    M: MemoryModel<Page = Page, Reclaim = NeverReclaim, Geometry: TwinLoops> + 'static,
{
    fn initialise_all(&self, memory: &[MemoryRange]) {
        for range in memory {
            initialise(&*self.instance.model, range.frames);
        }
    }

    fn initialise_these(&self, frames: &[Pfn]) {
        for pfn in frames {
            let one = PfnRange::from_start_count(*pfn, PageCount::new(1)).unwrap_or_default();
            let done = initialise(&*self.instance.model, one);
            assert_eq!(done, one.count(), "{pfn} is a frame of {}", self.name);
        }
    }

    fn subjects(&self) -> Vec<Subject<'_>> {
        let (model, name) = (&*self.instance.model, self.name);
        let mut subjects = ways(model, name);
        subjects.extend(self.twin.iter().flat_map(|twin| twin.subjects(name, model)));
        subjects.extend(selected(model));
        subjects
    }

    fn hot_added(&self) -> Vec<Subject<'_>> {
        let (model, name) = (&*self.instance.model, self.name);
        let family = format!("{name}, hot-added");
        let own = Subject::page(CHECKED_LATER, name, &family, move |pfn| model.lookup(pfn));
        let twin = self.twin.iter().flat_map(|twin| twin.subjects(name, model));
        let twin = twin.filter(|subject| subject.question == "checked");
        let twin = twin.map(|subject| Subject { question: CHECKED_LATER, family: family.clone(), ..subject });
        std::iter::once(own).chain(twin).collect()
    }

    fn chosen_at_run_time(&self) -> Option<ChosenAtRunTime<'_>> {
        let model = &*self.instance.model;
        let (any, object) = (self.any?(model), Box::new(move |pfn| model.lookup(pfn)));
        Some(ChosenAtRunTime { name: self.name, any, object })
    }

    fn inline_bits(&self) -> InlineBits {
        InlineBits::new(&*self.instance.model)
    }
}

/// A model that is known at run time only.
pub struct ChosenAtRunTime<'m> {
    name: &'static str,
    any: Tagged<'m>,
    object: Box<dyn Fn(Pfn) -> Option<NonNull<Page>> + 'm>,
}

impl ChosenAtRunTime<'_> {
    /// The checked lookup by the tag and through the pointer.
    #[must_use]
    pub fn subjects(&self) -> [Subject<'_>; 2] {
        let Self { name, any, object } = self;
        [
            Subject::page("any", name, name, move |pfn| any.lookup(pfn)),
            Subject::page("dyn", name, name, object),
        ]
    }
}

/// Unchecked, checked, through a reader, validity and the way back.
fn ways<'m, M>(model: &'m M, name: &str) -> Vec<Subject<'m>>
where
    M: MemoryModel<Page = Page, Reclaim = NeverReclaim>,
{
    let find = move |pfn| model.lookup(pfn);
    // SAFETY: the frames of all patterns are valid, and nothing is removed.
    let unchecked = move |pfn| Some(unsafe { model.lookup_unchecked(pfn) });
    let pages = move |pfn| address(model.lookup(pfn));
    vec![
        Subject::page("unchecked", name, name, unchecked),
        Subject::page("checked", name, name, find),
        Subject::page("reader", name, name, move |pfn| model.read().page(pfn).map(NonNull::from)),
        Subject::number("valid", name, "valid", Pfn::get, move |pfn| {
            u64::from(model.is_valid(Pfn::new(pfn)))
        }),
        Subject::way_back(name, pages, move |page| back(model, page)),
    ]
}

/// The frame of a descriptor, by its address.
#[inline(always)]
fn back<M: MemoryModel<Page = Page>>(model: &M, page: u64) -> u64 {
    let page = core::ptr::with_exposed_provenance_mut(usize::try_from(page).unwrap_or(0));
    // SAFETY: items are addresses of descriptors that the model found, which are never null.
    let page = unsafe { NonNull::new_unchecked(page) };
    // SAFETY: as above; they were initialised, and nothing is removed.
    unsafe { model.pfn_of(page) }.get()
}

/// The checked lookup through `Selected`, if the facade was asked for one model and this is it: `Selected` is an alias of
/// the model itself, so that the very same value can be measured under both names.
#[cfg(feature = "selected")]
fn selected(model: &dyn Any) -> Option<Subject<'_>> {
    use crate::backends::OnHuge;
    use sparsemem::{Config, Selected, selected_len};

    struct Kernel;

    impl Config for Kernel {
        type Geometry = X86_64;
        type Page = Page;
        type Reclaim = NeverReclaim;
        type Array = OnHuge;
    }

    let model: &Selected<Kernel, { selected_len::<Kernel>() }> = model.downcast_ref()?;
    Some(Subject::page("selected", model.name(), model.name(), move |pfn| model.lookup(pfn)))
}

#[cfg(not(feature = "selected"))]
fn selected(_model: &dyn Any) -> Option<Subject<'_>> {
    None
}

/// The name of [`InlineBits`] in reports.
pub const INLINE: &str = "prototype: bits in the entry";

/// An entry with the bits in it.
#[derive(Debug, Default)]
struct Entry {
    /// The memmap, moved back by the section's first frame.
    memmap: AtomicPtr<Page>,
    valid: AtomicU64,
}

/// A prototype: the subsection map in the section's entry, instead of behind a pointer to the usage.
///
/// At its best: the entry keeps its two words, so the usage would have to be found through a table of its own. The bits
/// say what is valid, all ones for an early section, so that neither the word's flags nor the usage have to be looked at.
/// Geometries with more than 64 subsections in a section could not have it.
#[derive(Debug)]
pub struct InlineBits(Vec<Entry>);

impl InlineBits {
    /// A table with the contents of a model.
    #[must_use]
    pub fn new<M: MemoryModel<Page = Page>>(model: &M) -> Self {
        let entries: Vec<Entry> =
            std::iter::repeat_with(Entry::default).take(X86_64::NR_SECTIONS_LEN).collect();
        for nr in model.present_sections() {
            let first = nr.first_pfn::<X86_64>().unwrap_or_default();
            let Some(page) = model.lookup(first) else { continue };
            let index = |nr: u64| usize::try_from(nr).unwrap_or(usize::MAX);
            let entry = &entries[index(nr.get())];
            let bits = model.section(nr).subsections.words().first().copied().unwrap_or(0);
            // Relaxed, both: nobody reads yet.
            entry.memmap.store(page.as_ptr().wrapping_sub(index(first.get())), Ordering::Relaxed);
            entry.valid.store(bits, Ordering::Relaxed);
        }
        Self(entries)
    }

    /// The checked lookup.
    #[inline]
    fn lookup(&self, pfn: Pfn) -> Option<NonNull<Page>> {
        let entry = self.0.get(usize::try_from(pfn.section::<X86_64>().get()).ok()?)?;
        // Acquire, both: a writer would store the memmap before the bits.
        let valid = entry.valid.load(Ordering::Acquire);
        let memmap = entry.memmap.load(Ordering::Acquire);
        if valid >> pfn.subsection::<X86_64>().get() & 1 == 0 {
            return None;
        }
        NonNull::new(memmap.wrapping_add(usize::try_from(pfn.get()).unwrap_or(usize::MAX)))
    }

    /// Its checked lookup as a subject, of the family of the model that it was copied from.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        let family = format!("{}, hot-added", MODELS[0]);
        Subject::page(CHECKED_LATER, INLINE, &family, move |pfn| self.lookup(pfn))
    }
}
