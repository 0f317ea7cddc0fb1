//! The simulated machine as the world of scenarios.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use sparsemem_core::{AddressSpace, LeafSize, Origin, PagingDepth, VirtAddr, VirtRange};
use sparsemem_machine::{Access, Count, Machine, Which, probe};
use sparsemem_suite::{Balance, Fault, Held, Leaf, Spare, World, WorldWithEnvironment};

/// A machine with a clock.
#[derive(Debug)]
pub struct HostWorld {
    machine: Machine,
    spare: Option<Spare>,
    since: Instant,
}

impl HostWorld {
    /// The world around a machine, in which `spare` can be plugged.
    #[must_use]
    pub fn new(machine: Machine, spare: Option<Spare>) -> Self {
        Self { machine, spare, since: Instant::now() }
    }
}

/// A count as scenarios see it.
const fn held(count: Count) -> Held {
    Held { blocks: count.blocks, bytes: count.bytes }
}

/// A mapping as scenarios see it.
const fn leaf(leaf: sparsemem_machine::Leaf) -> Leaf {
    Leaf { at: leaf.at, to: leaf.to, size: leaf.size }
}

impl World for HostWorld {
    fn balance(&self) -> Balance {
        let balance = self.machine.balance();
        Balance {
            boot: held(balance.of(Origin::Boot)),
            runtime: held(balance.of(Origin::Runtime)),
            altmap: held(balance.of(Origin::Altmap)),
        }
    }

    fn arm(&mut self, fault: Fault) {
        self.machine.faults().heal();
        match fault {
            Fault::NthAllocation(nth) => self.machine.faults().fail_nth(Which::Blocks, nth.saturating_sub(1)),
            Fault::AllocationsAfter(granted) => self.machine.faults().fail_after(Which::Blocks, granted),
            Fault::NthLink(nth) => self.machine.faults().fail_nth(Which::Links, nth.saturating_sub(1)),
        }
    }

    fn heal(&mut self) -> u64 {
        let refused = self.machine.faults().refused();
        self.machine.faults().heal();
        refused
    }

    fn can_refuse_links(&self) -> bool {
        true
    }

    fn largest_leaf(&self) -> LeafSize {
        self.machine.largest_leaf()
    }

    fn table_shift(&self) -> u32 {
        self.machine.processor().page_shift()
    }

    fn depth(&self) -> PagingDepth {
        self.machine.depth()
    }

    /// `None` where tables are not well formed; [`World::check`] reports the error.
    fn leaf_at(&self, at: VirtAddr) -> Option<Leaf> {
        self.machine.translate(at).ok().flatten().map(leaf)
    }

    /// The leaves that the host has mapped; [`World::check`] compares them with the tables.
    fn leaves(&self, within: VirtRange, visit: &mut dyn FnMut(Leaf)) {
        self.machine.mirrored().filter(|found| found.range().overlaps(within)).map(leaf).for_each(visit);
    }

    fn is_readable(&self, at: VirtAddr) -> bool {
        usize::try_from(at.get())
            .is_ok_and(|address| probe(std::ptr::without_provenance(address)) == Access::Readable)
    }

    fn check(&self) -> Result<(), String> {
        self.machine.mirror_matches_tables().map_err(|mismatch| mismatch.to_string())
    }

    fn ticks(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn end_boot(&mut self) {
        self.machine.finish_boot();
    }

    fn spare(&self) -> Option<Spare> {
        self.spare
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.machine.state_digest().hash(&mut hasher);
        hasher.finish()
    }
}

impl WorldWithEnvironment for HostWorld {
    type Env = Machine;

    fn env(&self) -> &Machine {
        &self.machine
    }

    fn env_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}
