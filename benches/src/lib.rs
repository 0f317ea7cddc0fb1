//! What the measurements run on: the three models, up on one simulated machine each, and frames to look up.
//!
//! Run `cargo bench --package sparsemem-benches`.
//!
//! # Invariants
//!
//! 1. All models describe the same memory, and the frames of a pattern are valid on all of them.

use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootModel, MemoryRange, NeverReclaim, NodeId, Page, PageCount, Pfn, PfnRange, PhysAddr, PhysRange,
    SectionShape, initialise,
};
use sparsemem_machine::{Machine, MachineConfig, place};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

/// The geometry of all measurements.
pub type Geometry = X86_64;
/// classic-sparse, with readers that cost nothing.
pub type Classic = ClassicSparse<X86_64, Page, NeverReclaim, { X86_64::NR_SECTIONS_LEN }>;
/// sparse-extreme, likewise.
pub type Extreme = SparseExtreme<X86_64, Page, NeverReclaim, { X86_64::NR_ROOTS_LEN }>;
/// vmemmap at a place that is found out at run time, likewise.
pub type Virtual = Vmemmap<X86_64, Page, NeverReclaim, DynamicBase, { X86_64::NR_ROOTS_LEN }>;

/// A model that is up, and the machine that its metadata lies in.
pub struct Up<M> {
    /// The model.
    pub model: Box<M>,
    /// Its machine; descriptors are gone with it.
    pub machine: Machine,
}

/// Memory of the machine. Units: bytes, from address zero.
pub const MEMORY_BYTES: u64 = 8 << 30;

/// classic-sparse, up.
#[must_use]
pub fn classic() -> Up<Classic> {
    up(place(), machine())
}

/// sparse-extreme, up.
#[must_use]
pub fn extreme() -> Up<Extreme> {
    up(place(), machine())
}

/// vmemmap, up.
#[must_use]
pub fn vmemmap() -> Up<Virtual> {
    let (model, machine) = (place::<Virtual>(), machine());
    let len_bytes = machine.window().count().get();
    // SAFETY: the window of the machine is set aside for a memmap, and this is the only model on it.
    unsafe { model.placement().base().reserve(machine.window_ptr(), len_bytes) };
    up(model, machine)
}

/// Valid frames all over the machine, in no order that a prefetcher knows.
#[must_use]
pub fn random_frames(count: usize) -> Vec<Pfn> {
    let frames = MEMORY_BYTES / X86_64::PAGE_SIZE;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // xorshift64: the sequence is the same in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Pfn::new(state % frames)
    };
    (0..count).map(|_| next()).collect()
}

/// A machine of one node.
fn machine() -> Machine {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(MEMORY_BYTES)).unwrap_or_default();
    let config = MachineConfig::new().memory(memory, NodeId::new(0)).vmemmap_bytes(1 << 30);
    Machine::new(&config).expect("a process of the host has the addresses for 8 GiB")
}

/// Boots a model and initialises its descriptors.
fn up<M: BootModel<Machine>>(model: Box<M>, mut machine: Machine) -> Up<M> {
    let frames =
        PfnRange::from_start_count(Pfn::new(0), PageCount::new(MEMORY_BYTES / 4096)).unwrap_or_default();
    let memory = core::iter::once(MemoryRange { frames, node: NodeId::new(0) });
    let summary = model.boot(&mut machine, memory, &mut |_| {}).expect("a fresh model boots");
    assert_eq!((summary.sections, summary.lost), (MEMORY_BYTES / X86_64::SECTION_SIZE, 0));
    assert_eq!(initialise(&*model, frames), frames.count());
    Up { model, machine }
}
