//! The three models on a simulated machine, for the tests of this crate.

#![allow(dead_code, unreachable_pub, reason = "shared by tests, each of which uses what it needs")]

use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    GracePeriod, NodeId, Page, PageCount, Pfn, PfnRange, PhysAddr, PhysRange, SectionShape,
};
use sparsemem_machine::{Machine, MachineConfig, place};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

pub const NODE: NodeId = NodeId::new(0);
/// Frames of a subsection.
pub const SUBSECTION: u64 = X86_64::PAGES_PER_SUBSECTION;

pub type Classic<R> = ClassicSparse<X86_64, Page, R, { X86_64::NR_SECTIONS_LEN }>;
pub type Extreme<R> = SparseExtreme<X86_64, Page, R, { X86_64::NR_ROOTS_LEN }>;
pub type Virtual<R> = Vmemmap<X86_64, Page, R, DynamicBase, { X86_64::NR_ROOTS_LEN }>;

/// A model that is not booted yet, and its machine.
pub struct Bench<M> {
    pub model: Box<M>,
    pub machine: Machine,
}

/// A machine with 1 GiB for metadata, far more than the models are told of, and memory of devices at 4 GiB.
pub fn machine() -> Machine {
    let range = |start, end| PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap();
    let config = MachineConfig::new()
        .memory(range(0, 1 << 30), NODE)
        .unmanaged(range(4 << 30, 5 << 30))
        .vmemmap_bytes(1 << 30);
    Machine::new(&config).unwrap()
}

pub fn classic<R: GracePeriod>() -> Bench<Classic<R>> {
    Bench { model: place(), machine: machine() }
}

pub fn extreme<R: GracePeriod>() -> Bench<Extreme<R>> {
    Bench { model: place(), machine: machine() }
}

pub fn virtual_array<R: GracePeriod>() -> Bench<Virtual<R>> {
    let (machine, model) = (machine(), place::<Virtual<R>>());
    let bytes = machine.window().count().get();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(machine.window_ptr(), bytes) };
    Bench { model, machine }
}

/// Whole subsections, from one of a section on.
pub fn frames(section: u64, first: u64, count: u64) -> PfnRange {
    let start = Pfn::new(section * X86_64::PAGES_PER_SECTION + SUBSECTION * first);
    PfnRange::from_start_count(start, PageCount::new(SUBSECTION * count)).unwrap()
}

/// Tests, each on every model, in a domain of its own.
#[macro_export]
macro_rules! on_every_model {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            use sparsemem_machine::HostRcu;
            use $crate::common::{classic, extreme, virtual_array};

            #[test]
            fn classic_sparse() {
                struct Tag;
                $crate::$name(classic::<HostRcu<Tag>>());
            }

            #[test]
            fn sparse_extreme() {
                struct Tag;
                $crate::$name(extreme::<HostRcu<Tag>>());
            }

            #[test]
            fn vmemmap() {
                struct Tag;
                $crate::$name(virtual_array::<HostRcu<Tag>>());
            }
        })*
    };
}
