//! The C twins: loops compiled by the C compiler, over tables with the same contents as the Rust models'.

use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{MemoryModel, Page, Pfn, SectionFlags, SectionNr, SectionShape};

use super::Subject;
use crate::environment::{Mapping, Pages};

/// A section as C has it; see `lookups.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct TwinSection {
    word: u64,
    usage: *mut TwinUsage,
}

/// A usage as C has it.
#[repr(C)]
struct TwinUsage {
    populated: u64,
    online: u64,
    rest: [u64; 9],
}

/// The addresses of the tables, as C takes them.
#[repr(C)]
#[derive(Debug)]
struct Tables {
    flat: *const TwinSection,
    roots: *const *mut TwinSection,
}

/// A loop of C.
type Loop = unsafe extern "C" fn(&Tables, *const u64, usize);
/// The same, adding the answers up.
type Sum = unsafe extern "C" fn(&Tables, *const u64, usize) -> u64;

/// The loops of one lookup, as C has them.
#[repr(C)]
#[derive(Debug)]
pub struct Loops {
    look: Loop,
    touch: Option<Loop>,
    sum: Sum,
}

/// The loops of a model, one for each of [`QUESTIONS`].
type LoopsOfModel = [Loops; 4];

/// The questions that C answers, in its order.
const QUESTIONS: [&str; 4] = ["unchecked", "checked", "valid", "pfn_of"];

unsafe extern "C" {
    static c_loops_x86_64: [LoopsOfModel; 3];
    static c_loops_la57: [LoopsOfModel; 3];
}

/// A geometry that C was compiled for.
pub trait TwinLoops: SectionShape {
    /// The loops of each model.
    fn loops() -> &'static [LoopsOfModel; 3];
}

impl TwinLoops for X86_64 {
    fn loops() -> &'static [LoopsOfModel; 3] {
        // SAFETY: C has the same type, and the value is a constant.
        unsafe { &c_loops_x86_64 }
    }
}

impl TwinLoops for X86_64La57 {
    fn loops() -> &'static [LoopsOfModel; 3] {
        // SAFETY: as above.
        unsafe { &c_loops_la57 }
    }
}

/// Sections of a root.
const PER_ROOT: u64 = X86_64::SECTIONS_PER_ROOT;

/// Tables of C with the contents of a model.
pub struct TwinTables<G> {
    tables: Tables,
    /// The tables' memory, and that of roots and usages.
    _memory: [Mapping; 4],
    /// The model's place among all models.
    at: usize,
    geometry: PhantomData<fn() -> G>,
}

impl<G: TwinLoops> TwinTables<G> {
    /// Copies the sections of a model whose memmaps stay where they are for as long as the tables are used.
    #[must_use]
    pub fn new<M: MemoryModel<Page = Page>>(at: usize, model: &M) -> Self {
        let sections = model.present_sections().count();
        let bytes = |count: u64, each: usize| usize::try_from(count).unwrap_or(usize::MAX) * each;
        let flat = Mapping::new(bytes(G::NR_SECTIONS, size_of::<TwinSection>()), Pages::Huge);
        let nr_roots = G::NR_SECTIONS / PER_ROOT;
        let roots = Mapping::new(bytes(nr_roots, size_of::<*mut TwinSection>()), Pages::Huge);
        // As large as the flat table, so that each root has a place; only what is used costs anything.
        let entries = Mapping::new(bytes(G::NR_SECTIONS, size_of::<TwinSection>()), Pages::Huge);
        let usages = Mapping::new(bytes(sections as u64 + 1, size_of::<TwinUsage>()), Pages::Huge);
        let tables = Tables { flat: flat.aligned().cast().as_ptr(), roots: roots.aligned().cast().as_ptr() };
        for (index, nr) in model.present_sections().enumerate() {
            // SAFETY: there is room for all sections that are present.
            let usage = unsafe { usages.aligned().cast::<TwinUsage>().add(index) };
            // SAFETY: the section is below `NR_SECTIONS`, and each of the tables has room for that many.
            unsafe { copy(model, nr, usage, [flat.aligned(), roots.aligned(), entries.aligned()]) };
        }
        Self { tables, _memory: [flat, roots, entries, usages], at, geometry: PhantomData }
    }

    /// The subjects of C, which have the answers of the model with this name.
    pub fn subjects<'m, M: MemoryModel<Page = Page>>(&'m self, name: &str, model: &'m M) -> Vec<Subject<'m>> {
        let answered = QUESTIONS.into_iter().zip(&G::loops()[self.at]);
        answered.map(|(question, loops)| self.subject(question, loops, name, model)).collect()
    }

    fn subject<'m, M: MemoryModel<Page = Page>>(
        &'m self,
        question: &'static str,
        loops: &'static Loops,
        name: &str,
        model: &'m M,
    ) -> Subject<'m> {
        let tables = &self.tables;
        let call = move |function: Loop, items: &[u64]| {
            // SAFETY: the tables have every section of the frames, which are valid, and the items are as many as it says.
            unsafe { function(tables, items.as_ptr(), items.len()) }
        };
        let is_way_back = question == "pfn_of";
        let item = move |pfn: &Pfn| if is_way_back { super::address(model.lookup(*pfn)) } else { pfn.get() };
        let family = if matches!(question, "valid" | "pfn_of") { question } else { name };
        Subject {
            question,
            name: format!("{name} in C"),
            family: family.to_owned(),
            items: Box::new(move |frames| frames.iter().map(item).collect()),
            look: Box::new(move |items| call(loops.look, items)),
            touch: loops
                .touch
                .map(|touch| Box::new(move |items: &[u64]| call(touch, items)) as super::Sweep<'m>),
            checksum: Box::new(move |items| {
                // SAFETY: as above.
                unsafe { (loops.sum)(tables, items.as_ptr(), items.len()) }
            }),
        }
    }
}

/// Writes one section into both tables.
///
/// # Safety
///
/// `usage` may be written, and the tables (flat, roots, entries of roots) have room for the section.
unsafe fn copy<M: MemoryModel<Page = Page>>(
    model: &M,
    nr: SectionNr,
    usage: NonNull<TwinUsage>,
    [flat, roots, entries]: [NonNull<u8>; 3],
) {
    let state = model.section(nr);
    let populated = state.subsections.words().first().copied().unwrap_or(0);
    let online = state.online.words().first().copied().unwrap_or(0);
    // SAFETY: the caller's promise.
    unsafe { usage.write(TwinUsage { populated, online, rest: [0; 9] }) };
    let section = TwinSection { word: word(model, nr, state.flags), usage: usage.as_ptr() };
    let number = |nr: u64| usize::try_from(nr).unwrap_or(usize::MAX);
    // SAFETY: the caller's promise.
    let place = unsafe { flat.cast::<TwinSection>().add(number(nr.get())) };
    // SAFETY: as above.
    unsafe { place.write(section) };
    // SAFETY: as above; roots lie one after the other.
    let root = unsafe { entries.cast::<TwinSection>().add(number(nr.get() / PER_ROOT * PER_ROOT)) };
    // SAFETY: as above.
    let slot = unsafe { roots.cast::<*mut TwinSection>().add(number(nr.get() / PER_ROOT)) };
    // SAFETY: as above.
    unsafe { slot.write(root.as_ptr()) };
    // SAFETY: as above.
    let place = unsafe { root.add(number(nr.get() % PER_ROOT)) };
    // SAFETY: as above.
    unsafe { place.write(section) };
}

/// The section word, as the model has it: found out from a descriptor.
fn word<M: MemoryModel<Page = Page>>(model: &M, nr: SectionNr, flags: SectionFlags) -> u64 {
    let frames = nr.frames::<M::Geometry>().unwrap_or_default();
    let Some(run) = model.next_valid(frames) else { return u64::from(flags.bits()) };
    let page = model.lookup(run.start()).map_or(0, |page| page.as_ptr().expose_provenance() as u64);
    page.wrapping_sub(run.start().get() * size_of::<Page>() as u64) | u64::from(flags.bits())
}
