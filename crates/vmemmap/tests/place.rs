//! A place belongs to one model: a second one neither changes nor looks at what is mapped there.

use core::alloc::Layout;
use core::sync::atomic::AtomicBool;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    AddressSpace, ArrayPlace, Block, BootModel, Footprint, ForeignBlock, InstallError, InstallModel,
    MemoryRange, MetadataMemory, NodeId, OutOfMemory, Page, PageCount, PagingDepth, Pfn, PfnRange, PhysAddr,
    PhysRange, Rejected, SectionLoss, SectionShape, VirtRange, forward_to_field,
};
use sparsemem_machine::{HostRcu, Machine, MachineConfig, place};
use sparsemem_vmemmap::{ConstBase, Vmemmap};

const NODE: NodeId = NodeId::new(0);

/// Addresses that this program does not have: nothing here reaches a descriptor.
struct Far;

// SAFETY: nothing else of this program uses these addresses.
unsafe impl ArrayPlace for Far {
    const START: u64 = 0xffff_ea00_0000_0000;
    const BYTES: u64 = 1 << 40;

    fn claim() -> &'static AtomicBool {
        static CLAIM: AtomicBool = AtomicBool::new(false);
        &CLAIM
    }
}

struct Readers;
type Model = Vmemmap<X86_64, Page, HostRcu<Readers>, ConstBase<Far>, { X86_64::NR_ROOTS_LEN }>;

/// The machine's memory, with page tables that no processor uses.
struct OnPaper(Machine);

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl [] PhysMap for OnPaper => 0);

// SAFETY: the machine's own blocks.
unsafe impl MetadataMemory for OnPaper {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.0.alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.0.free(block)
    }
}

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

fn section(nr: u64) -> PfnRange {
    let pages = X86_64::PAGES_PER_SECTION;
    PfnRange::from_start_count(Pfn::new(nr * pages), PageCount::new(pages)).unwrap()
}

#[test]
fn a_second_model_keeps_away_from_a_place_that_is_taken() {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(256 << 20)).unwrap();
    let machine = Machine::new(&MachineConfig::new().memory(memory, NODE).vmemmap_bytes(1 << 21)).unwrap();
    let mut env = OnPaper(machine);
    let (first, second) = (place::<Model>(), place::<Model>());
    assert_eq!(second.footprint(&env).map(|all| (all.memmap_bytes, all.page_table_bytes)), Some((0, 0)));
    let range = MemoryRange { frames: section(0), node: NODE };
    let up = first.boot(&mut env, core::iter::once(range), &mut |event| panic!("{event:?}")).unwrap();
    assert_eq!(up.sections, 1);
    let of_first = first.footprint(&env).unwrap();
    assert_eq!(of_first.memmap_bytes, 2 << 20);
    let taken = second.install(&mut env, section(1), NODE);
    assert!(matches!(taken, Err(InstallError::NoMetadata { why: SectionLoss::PlaceTaken, .. })), "{taken:?}");
    let of_second = second.footprint(&env).unwrap();
    let seen = Footprint { memmap_bytes: 0, page_table_bytes: 0, ..of_second };
    assert_eq!(of_second, seen, "the first model's mappings are not the second's");
    assert_eq!(first.footprint(&env), Some(of_first));
}
