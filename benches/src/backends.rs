//! The models that are measured: no other file tells them apart.
//!
//! # Invariants
//!
//! 1. Lists of models have the order of [`MODELS`], those of C as well (`c/sweeps.c`).
//! 2. A virtual array lies at a place that is a constant, as in a kernel, unless its name says otherwise.

use core::ptr::NonNull;

use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_compressed_index::CompressedIndex;
use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{
    ArrayPlace, BootModel, DeferredModel, InstallModel, MarkModel, MemoryModel, NeverReclaim, Page,
    PageDescriptor, Pfn, PlaceClaim, RetireModel, SectionShape, ZeroIsNew,
};
use sparsemem_flat::Flat;
use sparsemem_section::FlatPlanes;
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{ConstBase, DynamicBase, Native, Vmemmap};

use crate::environment::{Environment, Pages};
use crate::instance::{ArrayMemory, Coming, Instance};
use crate::maps::Map;
use crate::reclaim::Counted;
use crate::subjects::{Compared, Lookups, TwinLoops};

/// The models, by the names that reports use.
pub const MODELS: [&str; 3] = ["classic-sparse", "sparse-extreme", "vmemmap"];
/// The beginnings of the names of their probes.
pub const PROBES: [&str; 3] = ["classic", "extreme", "vmemmap"];
/// The model with an array on 4 KiB pages of the host.
pub const ON_BASE_PAGES: &str = "vmemmap on 4 KiB pages";
/// The model with planes of validity bits that are part of it, not in roots on demand.
pub const WITH_PLANES: &str = "vmemmap, flat planes";
/// The model whose array lies where it is told at boot, as with address-space randomisation.
pub const PLACED: &str = "vmemmap placed at boot";
/// The model with descriptors whose initialised form is zero.
pub const OF_ZEROS: &str = "vmemmap, descriptors of zeros";

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
    /// The place of arrays on large pages.
    OnHuge = 0x2000_0000_0000, 1 << 40
}
array_place! {
    /// The place of arrays on small pages.
    OnBase = 0x2200_0000_0000, 1 << 40
}
array_place! {
    /// The place of arrays of the large geometry.
    OfLa57 = 0x2400_0000_0000, 1 << 44
}
array_place! {
    /// The place of arrays whose models are made and torn down again and again. Valgrind lets programs map memory there.
    OfSlowPaths = 0x0800_0000_0000, 1 << 40
}

/// Sections and roots of both geometries.
const SECTIONS: usize = X86_64::NR_SECTIONS_LEN;
const ROOTS: usize = X86_64::NR_ROOTS_LEN;
const LA57_SECTIONS: usize = X86_64La57::NR_SECTIONS_LEN;
const LA57_ROOTS: usize = X86_64La57::NR_ROOTS_LEN;

/// The models, of a geometry with `N` sections or roots.
type Classic<G, R, const N: usize> = ClassicSparse<G, Page, R, N>;
type Extreme<G, R, const N: usize> = SparseExtreme<G, Page, R, N>;
type Fixed<G, R, A, const N: usize> = Vmemmap<G, Page, R, ConstBase<A>, N>;
type Placed = Vmemmap<X86_64, Page, NeverReclaim, DynamicBase, ROOTS>;

/// A model by a tag, with readers that cost nothing: the very model that is measured without the tag too.
#[derive(Clone, Copy, Debug)]
pub enum Tagged<'m> {
    /// A flat table.
    Flat(&'m Classic<X86_64, NeverReclaim, SECTIONS>),
    /// A table of roots.
    Rooted(&'m Extreme<X86_64, NeverReclaim, ROOTS>),
    /// An array.
    Array(&'m Placed),
}

impl Tagged<'_> {
    /// The checked lookup of the model inside.
    #[inline]
    #[must_use]
    pub fn lookup(&self, pfn: Pfn) -> Option<NonNull<Page>> {
        match self {
            Self::Flat(model) => model.lookup(pfn),
            Self::Rooted(model) => model.lookup(pfn),
            Self::Array(model) => model.lookup(pfn),
        }
    }
}

/// A model that can do everything, with readers that count.
pub trait Changing:
    BootModel<Environment, Geometry = X86_64, Page = Page, Reclaim = Counted>
    + DeferredModel<Environment>
    + InstallModel<Environment>
    + RetireModel<Environment>
    + MarkModel
    + ZeroIsNew
    + Send
    + Sized
    + 'static
{
    /// The model without memory, with all that it needs for the memory of `map` and some sections more.
    #[must_use]
    fn instance(map: &Map) -> Instance<Self> {
        Instance::new(map, Pages::Huge, None)
    }
}

/// classic-sparse.
pub type ChangingClassic = Classic<X86_64, Counted, SECTIONS>;
/// sparse-extreme.
pub type ChangingExtreme = Extreme<X86_64, Counted, ROOTS>;
/// vmemmap.
pub type ChangingFixed = Fixed<X86_64, Counted, OfSlowPaths, ROOTS>;

impl Changing for ChangingClassic {}
impl Changing for ChangingExtreme {}

impl Changing for ChangingFixed {
    fn instance(map: &Map) -> Instance<Self> {
        fixed::<OfSlowPaths, Self>(map, Pages::Huge)
    }
}

/// A function of each [`Changing`] model, as an array; with arguments, what it returns.
macro_rules! each_changing {
    ($function:ident) => {
        [
            $function::<$crate::backends::ChangingClassic>,
            $function::<$crate::backends::ChangingExtreme>,
            $function::<$crate::backends::ChangingFixed>,
        ]
    };
    ($function:ident($($argument:expr),*)) => {
        [
            $function::<$crate::backends::ChangingClassic>($($argument),*),
            $function::<$crate::backends::ChangingExtreme>($($argument),*),
            $function::<$crate::backends::ChangingFixed>($($argument),*),
        ]
    };
}
pub(crate) use each_changing;

/// A model at a constant place, without memory.
fn fixed<A: ArrayPlace, M: MemoryModel + ZeroIsNew>(map: &Map, pages: Pages) -> Instance<M> {
    // SAFETY: the model is made here, and an instance's array is dropped after its model.
    let array = unsafe { ArrayMemory::of_place::<A>(pages) };
    Instance::new(map, pages, Some(array))
}

/// All models for lookups on a machine, each with its twin in C.
#[must_use]
pub fn for_lookups(map: &Map, coming: Coming, pages: Pages) -> [Box<dyn Lookups>; 3] {
    type G = X86_64;
    let classic = Instance::<Classic<G, NeverReclaim, SECTIONS>>::new(map, pages, None);
    let extreme = Instance::<Extreme<G, NeverReclaim, ROOTS>>::new(map, pages, None);
    let vmemmap = fixed::<OnHuge, Fixed<G, NeverReclaim, OnHuge, ROOTS>>(map, pages);
    [
        Box::new(compared(0, classic.with_memory(map, coming)).chosen_by(|model| Tagged::Flat(model))),
        Box::new(compared(1, extreme.with_memory(map, coming)).chosen_by(|model| Tagged::Rooted(model))),
        Box::new(compared(2, vmemmap.with_memory(map, coming))),
    ]
}

/// The same for a machine with 52 bits of physical address.
#[must_use]
pub fn for_lookups_in_52_bits(map: &Map, pages: Pages) -> [Box<dyn Lookups>; 3] {
    type G = X86_64La57;
    let classic = Instance::<Classic<G, NeverReclaim, LA57_SECTIONS>>::new(map, pages, None);
    let extreme = Instance::<Extreme<G, NeverReclaim, LA57_ROOTS>>::new(map, pages, None);
    let vmemmap = fixed::<OfLa57, Fixed<G, NeverReclaim, OfLa57, LA57_ROOTS>>(map, pages);
    [
        Box::new(compared(0, classic.with_memory(map, Coming::Boot))),
        Box::new(compared(1, extreme.with_memory(map, Coming::Boot))),
        Box::new(compared(2, vmemmap.with_memory(map, Coming::Boot))),
    ]
}

/// The model [`PLACED`], with its memory from boot.
#[must_use]
pub fn placed(map: &Map, pages: Pages) -> Box<dyn Lookups> {
    let whole = 1 << 40;
    let array = ArrayMemory::anywhere(whole, pages);
    let start = array.start();
    let instance = Instance::<Placed>::new(map, pages, Some(array));
    // SAFETY: the mapping is for this model alone, on a 2 MiB border, and the model was just made.
    unsafe { instance.model.placement().base().reserve(start, whole as u64) };
    let instance = instance.with_memory(map, Coming::Boot);
    Box::new(Compared::new(PLACED, instance).chosen_by(|model| Tagged::Array(model)))
}

/// The model [`ON_BASE_PAGES`], with its memory from boot.
#[must_use]
pub fn on_base_pages(map: &Map) -> Box<dyn Lookups> {
    let instance = fixed::<OnBase, Fixed<X86_64, NeverReclaim, OnBase, ROOTS>>(map, Pages::Base);
    Box::new(Compared::new(ON_BASE_PAGES, instance.with_memory(map, Coming::Boot)))
}

/// The model [`WITH_PLANES`], with its memory added after boot.
#[must_use]
pub fn with_planes(map: &Map, pages: Pages) -> Box<dyn Lookups> {
    type Planes = Vmemmap<
        X86_64,
        Page,
        NeverReclaim,
        ConstBase<OnBase>,
        ROOTS,
        <X86_64 as Native>::Format,
        FlatPlanes<X86_64, SECTIONS>,
    >;
    let instance = fixed::<OnBase, Planes>(map, pages);
    Box::new(Compared::new(WITH_PLANES, instance.with_memory(map, Coming::Later)))
}

/// The models of one array, with their memory from boot: `None` if there can be no such array on the machine.
#[must_use]
pub fn bounded(map: &Map, pages: Pages) -> [Option<Box<dyn Lookups>>; 2] {
    [
        of_one_block::<Flat<X86_64, Page, NeverReclaim>>(map, pages),
        of_one_block::<CompressedIndex<X86_64, Page, NeverReclaim>>(map, pages),
    ]
}

fn of_one_block<M>(map: &Map, pages: Pages) -> Option<Box<dyn Lookups>>
where
    M: BootModel<Environment, Geometry = X86_64, Page = Page, Reclaim = NeverReclaim> + ZeroIsNew + 'static,
{
    let mut instance = Instance::<M>::of_one_block(map, pages)?;
    instance.boot(map);
    Some(Box::new(Compared::new(instance.model.name(), instance)))
}

/// The model [`OF_ZEROS`], with its memory from boot.
#[must_use]
pub fn of_zeros<P: PageDescriptor>(map: &Map) -> Instance<impl MemoryModel<Page = P>> {
    let instance =
        fixed::<OnHuge, Vmemmap<X86_64, P, NeverReclaim, ConstBase<OnHuge>, ROOTS>>(map, Pages::Huge);
    instance.with_memory(map, Coming::Boot)
}

/// The model at this place of [`MODELS`], beside C.
fn compared<M>(at: usize, instance: Instance<M>) -> Compared<M>
where
    M: MemoryModel<Page = Page, Geometry: TwinLoops>,
{
    Compared::new(MODELS[at], instance).beside_c(at)
}
