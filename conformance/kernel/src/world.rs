//! This kernel as the world of scenarios and stories: it counts outstanding memory, and simulates shortages on
//! request.

use alloc::string::String;

use sparsemem::{LeafSize, Origin, PagingDepth, PhysRange, VirtAddr, VirtRange};
use sparsemem_suite::{Balance, Fault, Leaf, Metered, Spare, World, WorldWithEnvironment};

use crate::arch::{self, trap};
use crate::frames::take_zeroed;
use crate::glue::Provider;
use crate::paging::{self, NoTable};

/// The world.
#[derive(Debug)]
pub(crate) struct KernelWorld {
    env: Metered<Provider>,
    spare: Option<Spare>,
    shared_tables: u64,
}

impl KernelWorld {
    /// A world without outstanding memory.
    pub(crate) fn new() -> Self {
        Self { env: Metered::new(Provider(Origin::Boot)), spare: None, shared_tables: 0 }
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
        self.set_origin(Origin::Boot);
    }

    /// Says what memory of the provider counts as from now on.
    const fn set_origin(&mut self, origin: Origin) {
        // SAFETY: it is the same provider afterwards.
        unsafe { self.env.inner_mut() }.0 = origin;
    }
}

impl World for KernelWorld {
    fn balance(&self) -> Balance {
        self.env.balance()
    }

    fn arm(&mut self, fault: Fault) {
        self.env.arm(fault);
    }

    fn heal(&mut self) -> u64 {
        self.env.heal()
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
        self.set_origin(Origin::Runtime);
    }
}

impl WorldWithEnvironment for KernelWorld {
    type Env = Metered<Provider>;

    fn env(&self) -> &Metered<Provider> {
        &self.env
    }

    fn env_mut(&mut self) -> &mut Metered<Provider> {
        &mut self.env
    }
}
