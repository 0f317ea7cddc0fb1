//! The C twins: loops compiled by the C compiler, over tables with the same contents as the Rust models'.

use core::marker::PhantomData;
use core::ptr::NonNull;

use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{MemoryModel, Page, Pfn, SectionFlags, SectionNr, SectionShape};

use super::Subject;
use crate::ground::{Mapping, Pages};

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

/// Where the tables are, as C takes it.
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

/// The functions of one lookup.
#[derive(Debug)]
pub struct Functions {
    model: &'static str,
    bench: &'static str,
    look: Loop,
    touch: Option<Loop>,
    sum: Sum,
}

/// The tables and loops of one geometry.
pub trait TwinLoops {
    /// Sections of the geometry.
    const NR_SECTIONS: u64;
    /// Its lookups.
    const LOOPS: &'static [Functions];
}

/// 46 bits of physical address.
#[derive(Debug)]
pub struct Geometry46;
/// 52 bits.
#[derive(Debug)]
pub struct Geometry52;

macro_rules! loops {
    ($geometry:ident of $preset:ty: $($model:literal $bench:literal $look:ident $sum:ident $($touch:ident)?),+ $(,)?) => {
        unsafe extern "C" {
            $(
                fn $look(tables: &Tables, items: *const u64, count: usize);
                fn $sum(tables: &Tables, items: *const u64, count: usize) -> u64;
                $(fn $touch(tables: &Tables, items: *const u64, count: usize);)?
            )+
        }

        impl TwinLoops for $geometry {
            const NR_SECTIONS: u64 = <$preset>::NR_SECTIONS;
            const LOOPS: &'static [Functions] = &[$(Functions {
                model: $model,
                bench: $bench,
                look: $look,
                touch: loops!(@touch $($touch)?),
                sum: $sum,
            }),+];
        }
    };
    (@touch $touch:ident) => { Some($touch as Loop) };
    (@touch) => { None };
}

loops!(Geometry46 of X86_64:
    "classic-sparse" "unchecked" c_classic_unchecked_x86_64 c_classic_unchecked_sum_x86_64 c_classic_unchecked_touch_x86_64,
    "classic-sparse" "checked" c_classic_checked_x86_64 c_classic_checked_sum_x86_64 c_classic_checked_touch_x86_64,
    "classic-sparse" "valid" c_classic_valid_x86_64 c_classic_valid_sum_x86_64,
    "classic-sparse" "pfn_of" c_classic_pfn_of_x86_64 c_classic_pfn_of_sum_x86_64,
    "sparse-extreme" "unchecked" c_extreme_unchecked_x86_64 c_extreme_unchecked_sum_x86_64 c_extreme_unchecked_touch_x86_64,
    "sparse-extreme" "checked" c_extreme_checked_x86_64 c_extreme_checked_sum_x86_64 c_extreme_checked_touch_x86_64,
    "sparse-extreme" "valid" c_extreme_valid_x86_64 c_extreme_valid_sum_x86_64,
    "sparse-extreme" "pfn_of" c_extreme_pfn_of_x86_64 c_extreme_pfn_of_sum_x86_64,
    "vmemmap" "unchecked" c_vmemmap_unchecked_x86_64 c_vmemmap_unchecked_sum_x86_64 c_vmemmap_unchecked_touch_x86_64,
    "vmemmap" "checked" c_vmemmap_checked_x86_64 c_vmemmap_checked_sum_x86_64 c_vmemmap_checked_touch_x86_64,
    "vmemmap" "valid" c_vmemmap_valid_x86_64 c_vmemmap_valid_sum_x86_64,
    "vmemmap" "pfn_of" c_vmemmap_pfn_of_x86_64 c_vmemmap_pfn_of_sum_x86_64,
);
loops!(Geometry52 of X86_64La57:
    "classic-sparse" "unchecked" c_classic_unchecked_la57 c_classic_unchecked_sum_la57,
    "classic-sparse" "checked" c_classic_checked_la57 c_classic_checked_sum_la57,
    "classic-sparse" "valid" c_classic_valid_la57 c_classic_valid_sum_la57,
    "classic-sparse" "pfn_of" c_classic_pfn_of_la57 c_classic_pfn_of_sum_la57,
    "sparse-extreme" "unchecked" c_extreme_unchecked_la57 c_extreme_unchecked_sum_la57,
    "sparse-extreme" "checked" c_extreme_checked_la57 c_extreme_checked_sum_la57,
    "sparse-extreme" "valid" c_extreme_valid_la57 c_extreme_valid_sum_la57,
    "sparse-extreme" "pfn_of" c_extreme_pfn_of_la57 c_extreme_pfn_of_sum_la57,
    "vmemmap" "unchecked" c_vmemmap_unchecked_la57 c_vmemmap_unchecked_sum_la57,
    "vmemmap" "checked" c_vmemmap_checked_la57 c_vmemmap_checked_sum_la57,
    "vmemmap" "valid" c_vmemmap_valid_la57 c_vmemmap_valid_sum_la57,
    "vmemmap" "pfn_of" c_vmemmap_pfn_of_la57 c_vmemmap_pfn_of_sum_la57,
);

/// Sections of a root.
const PER_ROOT: u64 = X86_64::SECTIONS_PER_ROOT;

/// Tables of C with the contents of a model.
pub struct TwinTables<L> {
    tables: Tables,
    /// The tables' memory, and that of roots and usages.
    _memory: [Mapping; 4],
    loops: PhantomData<fn() -> L>,
}

impl<L: TwinLoops> TwinTables<L> {
    /// Copies the sections of a model whose memmaps stay where they are for as long as the tables are used.
    #[must_use]
    pub fn new<M: MemoryModel<Page = Page>>(model: &M) -> Self {
        let sections = model.present_sections().count();
        let bytes = |count: u64, each: usize| usize::try_from(count).unwrap_or(usize::MAX) * each;
        let flat = Mapping::new(bytes(L::NR_SECTIONS, size_of::<TwinSection>()), Pages::Huge);
        let nr_roots = L::NR_SECTIONS / PER_ROOT;
        let roots = Mapping::new(bytes(nr_roots, size_of::<*mut TwinSection>()), Pages::Huge);
        // As large as the flat table, so that each root has a place; only what is used costs anything.
        let entries = Mapping::new(bytes(L::NR_SECTIONS, size_of::<TwinSection>()), Pages::Huge);
        let usages = Mapping::new(bytes(sections as u64 + 1, size_of::<TwinUsage>()), Pages::Huge);
        let tables = Tables { flat: flat.aligned().cast().as_ptr(), roots: roots.aligned().cast().as_ptr() };
        for (index, nr) in model.present_sections().enumerate() {
            // SAFETY: there is room for all sections that are present.
            let usage = unsafe { usages.aligned().cast::<TwinUsage>().add(index) };
            // SAFETY: the section is below `NR_SECTIONS`, and each of the tables has room for that many.
            unsafe { copy(model, nr, usage, [flat.aligned(), roots.aligned(), entries.aligned()]) };
        }
        Self { tables, _memory: [flat, roots, entries, usages], loops: PhantomData }
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

/// The subjects of C for one model, under the bench's usual or another name.
pub fn twins<'m, L: TwinLoops, M: MemoryModel<Page = Page>>(
    tables: &'m TwinTables<L>,
    model: &'m M,
    name: &str,
) -> Vec<Subject<'m>> {
    let own = L::LOOPS.iter().filter(|functions| functions.model == name);
    own.map(|functions| subject(tables, functions, model)).collect()
}

/// The checked lookup of C where sections came later.
#[must_use]
pub fn hot_added_twin<'m, L: TwinLoops>(tables: &'m TwinTables<L>, name: &str) -> Option<Subject<'m>> {
    let own = L::LOOPS.iter().find(|functions| functions.model == name && functions.bench == "checked")?;
    let mut subject = with_items(tables, own, |pfn: Pfn| pfn.get());
    subject.bench = super::CHECKED_LATER;
    subject.family = format!("{name}, hot-added");
    Some(subject)
}

fn subject<'m, L, M: MemoryModel<Page = Page>>(
    tables: &'m TwinTables<L>,
    functions: &'static Functions,
    model: &'m M,
) -> Subject<'m> {
    match functions.bench {
        "pfn_of" => with_items(tables, functions, |pfn| super::address(model.lookup(pfn))),
        _ => with_items(tables, functions, Pfn::get),
    }
}

fn with_items<'m, L>(
    tables: &'m TwinTables<L>,
    functions: &'static Functions,
    item: impl Fn(Pfn) -> u64 + 'm,
) -> Subject<'m> {
    let tables = &tables.tables;
    let call = move |function: Loop, items: &[u64]| {
        // SAFETY: the tables have every section of the frames, which are valid, and the items are as many as it says.
        unsafe { function(tables, items.as_ptr(), items.len()) }
    };
    let family = match functions.bench {
        "valid" | "pfn_of" => functions.bench,
        _ => functions.model,
    };
    // The way back reads what it has to.
    let touch = functions.touch.or((functions.bench == "pfn_of").then_some(functions.look));
    Subject {
        bench: functions.bench,
        name: format!("{} in C", functions.model),
        family: family.to_owned(),
        items: Box::new(move |frames| frames.iter().map(|pfn| item(*pfn)).collect()),
        look: Box::new(move |items| call(functions.look, items)),
        touch: touch.map(|touch| Box::new(move |items: &[u64]| call(touch, items)) as super::Sweep<'m>),
        checksum: Box::new(move |items| {
            // SAFETY: as above.
            unsafe { (functions.sum)(tables, items.as_ptr(), items.len()) }
        }),
    }
}
