//! This kernel as the world of scenarios and stories: it counts outstanding memory, and simulates shortages on
//! request.

use alloc::string::String;
use core::alloc::Layout;

use sparsemem::{
    AddressSpace, Block, ForeignBlock, LeafSize, LinkRefused, MetadataMemory, NodeId, Origin, OutOfMemory,
    PagingDepth, PhysAddr, PhysRange, Rejected, VirtAddr, VirtRange, forward_to_field,
};
use sparsemem_suite::{Balance, Fault, Held, Leaf, Spare, World, WorldWithEnvironment};

use crate::arch::{self, trap};
use crate::frames::take_zeroed;
use crate::glue::Provider;
use crate::paging::{self, NoTable};

/// The provider, with counts of its outstanding memory.
#[derive(Debug)]
pub(crate) struct Metered {
    provider: Provider,
    balance: Balance,
    fault: Option<Fault>,
    refused: u64,
}

/// A request of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// A block of memory.
    Block,
    /// A mapping.
    Link,
}

impl Metered {
    /// Whether the armed fault refuses this request.
    fn is_refused(&mut self, request: Request) -> bool {
        let is_met = match (&mut self.fault, request) {
            (Some(Fault::NthAllocation(left)), Request::Block)
            | (Some(Fault::NthLink(left)), Request::Link) => {
                *left = left.saturating_sub(1);
                let is_met = *left == 0;
                self.fault = self.fault.filter(|_| !is_met);
                is_met
            }
            (Some(Fault::AllocationsAfter(0)), Request::Block) => true,
            (Some(Fault::AllocationsAfter(left)), Request::Block) => {
                *left -= 1;
                false
            }
            _ => false,
        };
        self.refused += u64::from(is_met);
        is_met
    }

    fn held(&mut self, origin: Origin) -> &mut Held {
        match origin {
            Origin::Boot => &mut self.balance.boot,
            Origin::Runtime => &mut self.balance.runtime,
            Origin::Altmap => &mut self.balance.altmap,
        }
    }
}

// SAFETY: the provider stays in its place.
forward_to_field!(unsafe impl [] PhysMap for Metered => provider);

// SAFETY: the blocks are the provider's; some requests are refused before they reach it.
unsafe impl MetadataMemory for Metered {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        if self.is_refused(Request::Block) {
            return Err(OutOfMemory::new(layout, node));
        }
        let block = self.provider.alloc_zeroed(layout, node)?;
        let held = self.held(block.origin());
        held.blocks += 1;
        held.bytes += layout.size() as u64;
        Ok(block)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let (origin, bytes) = (block.origin(), block.layout().size() as u64);
        self.provider.free(block)?;
        let held = self.held(origin);
        held.blocks -= 1;
        held.bytes -= bytes;
        Ok(())
    }
}

// SAFETY: everything is the provider's; some mappings are refused before they reach it.
unsafe impl AddressSpace for Metered {
    fn root(&self) -> PhysAddr {
        self.provider.root()
    }

    fn depth(&self) -> PagingDepth {
        self.provider.depth()
    }

    /// Hardware does not refuse mappings; this simulates a kernel that does.
    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        if self.is_refused(Request::Link) {
            return Err(LinkRefused { at });
        }
        self.provider.linked(at, to, size)
    }

    fn flush(&mut self, range: VirtRange) {
        self.provider.flush(range);
    }
}

/// The world.
#[derive(Debug)]
pub(crate) struct KernelWorld {
    env: Metered,
    spare: Option<Spare>,
    shared_tables: u64,
}

impl KernelWorld {
    /// A world without outstanding memory.
    pub(crate) fn new() -> Self {
        let provider = Provider(Origin::Boot);
        let env = Metered { provider, balance: Balance::default(), fault: None, refused: 0 };
        Self { env, spare: None, shared_tables: 0 }
    }

    /// Lends persistent memory to the scenarios, as a device to plug.
    ///
    /// # Errors
    ///
    /// [`NoTable`] if the direct map cannot reach it.
    pub(crate) fn lend(&mut self, persistent: PhysRange) -> Result<(), NoTable> {
        paging::map(persistent, &mut take_zeroed)?;
        // SAFETY: firmware describes it as memory, it was not reported to boot, and nothing else of this kernel uses
        // it; the direct map reaches it, at a distance that is a multiple of every large page (`direct_map`,
        // invariant 1).
        self.spare = Some(unsafe { Spare::new(persistent) });
        Ok(())
    }

    /// Records the tables that exist before the scenarios' array is made at `place`.
    pub(crate) fn expect_array(&mut self, place: VirtAddr) {
        self.shared_tables = paging::tables_towards(place);
    }

    /// Starts boot, for the next scenario.
    pub(crate) const fn begin_boot(&mut self) {
        self.env.provider.0 = Origin::Boot;
    }
}

impl World for KernelWorld {
    fn balance(&self) -> Balance {
        self.env.balance
    }

    fn arm(&mut self, fault: Fault) {
        self.env.fault = Some(fault);
        self.env.refused = 0;
    }

    fn heal(&mut self) -> u64 {
        self.env.fault = None;
        core::mem::take(&mut self.env.refused)
    }

    fn can_refuse_links(&self) -> bool {
        true
    }

    fn largest_leaf(&self) -> LeafSize {
        LeafSize::Size2MiB
    }

    fn depth(&self) -> PagingDepth {
        paging::depth()
    }

    fn shared_tables(&self) -> u64 {
        self.shared_tables
    }

    fn leaf_at(&self, at: VirtAddr) -> Option<Leaf> {
        paging::leaf_at(at)
    }

    fn leaves(&self, within: VirtRange, visit: &mut dyn FnMut(Leaf)) {
        paging::leaves(within, visit);
    }

    fn is_readable(&self, at: VirtAddr) -> bool {
        trap::read_byte(at.get()).is_some()
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn ticks(&self) -> u64 {
        arch::ticks()
    }

    fn spare(&self) -> Option<Spare> {
        self.spare
    }

    fn end_boot(&mut self) {
        self.env.provider.0 = Origin::Runtime;
    }
}

impl WorldWithEnvironment for KernelWorld {
    type Env = Metered;

    fn env(&self) -> &Metered {
        &self.env
    }

    fn env_mut(&mut self) -> &mut Metered {
        &mut self.env
    }
}
