//! Virtual arrays on page tables of the simulated machine, which no processor uses.

#![allow(dead_code, unreachable_pub, reason = "shared by tests, each of which uses what it needs")]
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    AddressSpace, InstallError, NodeId, Page, PageCount, PageDescriptor, PagingDepth, Pfn, PfnRange,
    PhysAddr, PhysRange, SectionLoss, SectionNr, SectionShape, VirtRange, forward_to_field,
};
use sparsemem_machine::{HostRcu, Machine, MachineConfig, place};
use sparsemem_section::{InRoots, RootedTable};
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

pub const NODE: NodeId = NodeId::new(0);
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
/// Bytes that the array's page tables below one entry of the top-level table translate.
pub const BLOCK: u64 = 512 * GIB;
/// A block of the upper half: addresses that this program does not have.
pub const UPPER: u64 = 0xffff_eb00_0000_0000;

pub struct Readers;
pub type Rcu = HostRcu<Readers>;
pub type Table = RootedTable<X86_64, Page, { X86_64::NR_ROOTS_LEN }, InRoots>;
pub type PlacedOf<P> = Vmemmap<X86_64, P, Rcu, DynamicBase, { X86_64::NR_ROOTS_LEN }>;
pub type Placed = PlacedOf<Page>;

/// The machine's memory, with page tables that no processor uses.
pub struct OnPaper(pub Machine);

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl [] PhysMap for OnPaper => 0);

// SAFETY: the machine's own blocks.
forward_to_field!(unsafe impl [] MetadataMemory for OnPaper => 0);

// SAFETY: tables of the machine; there is no processor that could use them.
unsafe impl AddressSpace for OnPaper {
    fn root(&self) -> PhysAddr {
        self.0.root()
    }

    fn depth(&self) -> PagingDepth {
        self.0.depth()
    }

    fn flush(&mut self, _range: VirtRange) {}
}

/// A machine with this much memory, and half a GiB of addresses for each of two arrays.
pub fn machine(bytes: u64) -> Machine {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(bytes)).unwrap();
    Machine::new(&MachineConfig::new().memory(memory, NODE).vmemmap_bytes(GIB)).unwrap()
}

pub fn on_paper() -> OnPaper {
    OnPaper(machine(256 * MIB))
}

pub fn section(nr: u64) -> PfnRange {
    let pages = X86_64::PAGES_PER_SECTION;
    PfnRange::from_start_count(Pfn::new(nr * pages), PageCount::new(pages)).unwrap()
}

pub fn why<T: core::fmt::Debug>(result: Result<T, InstallError>) -> SectionLoss {
    match result {
        Err(InstallError::NoMetadata { why, lost, .. }) if lost.is_empty() => why,
        other => panic!("{other:?}"),
    }
}

/// A descriptor of 56 bytes, as Linux' often has: a section's descriptors do not fill leaves.
#[repr(C)]
pub struct Odd(pub [AtomicU64; 7]);

// SAFETY: integers; zero is valid, and there is nothing to drop.
unsafe impl PageDescriptor for Odd {
    unsafe fn initialise(&self, _: Pfn, _: SectionNr) {}
}

/// An array of half a GiB, for whose addresses no processor asks.
pub fn upper_array(start: u64) -> Box<Placed> {
    upper_array_of(start, GIB / 2)
}

/// The same, of any descriptors and length.
pub fn upper_array_of<P: PageDescriptor>(start: u64, bytes: u64) -> Box<PlacedOf<P>> {
    let model = place::<PlacedOf<P>>();
    let start = usize::try_from(start).unwrap();
    let start = NonNull::new(core::ptr::without_provenance_mut(start)).unwrap();
    // SAFETY: nothing of this program uses addresses of the upper half. Where a test breaks the promise to be alone in the
    // block, it is about what the model then finds, on tables that no processor uses.
    unsafe { model.placement().base().reserve(start, bytes) };
    model
}

/// The address of a descriptor.
pub fn address_of<P>(page: &P) -> sparsemem_core::VirtAddr {
    sparsemem_core::VirtAddr::new(core::ptr::from_ref(page).addr() as u64)
}
