//! An author's own environment as the world of scenarios.

use std::time::Instant;

use sparsemem_altmap::AltmapModel;
use sparsemem_core::{BootModel, LeafSize, MemoryModel, MetadataMemory, PagingDepth, VirtAddr, VirtRange};
use sparsemem_machine::{Access, probe};
use sparsemem_suite::{
    Balance, Booting, Capabilities, Fault, Leaf, Metered, Pair, Scratch, Subject, World,
    WorldWithEnvironment, run,
};

use crate::{Host, Verdict};

/// An environment `E` as a world: it gives the memory of models, counted, and refuses it when a scenario says so.
#[derive(Debug)]
pub struct OwnWorld<E> {
    env: Metered<E>,
    since: Instant,
}

impl<E> OwnWorld<E> {
    /// The world with an environment, nothing of which is outstanding.
    #[must_use]
    pub fn new(env: E) -> Self {
        Self { env: Metered::new(env), since: Instant::now() }
    }
}

impl Host {
    /// Runs the scenario with an environment of the author's own instead of the simulated machine, on a model to which
    /// memory can be added and from which it can be removed: so an environment is proved by the scenarios of the models.
    ///
    /// The environment has to give memory for the metadata of the machines of [`MACHINES`](crate::MACHINES): 160 MiB suffice
    /// for descriptors of 64 bytes in a model that takes memory by section. Nothing is plugged that holds its own
    /// descriptors, and scenarios see no page tables ([`check_flush`](crate::check_flush) does).
    ///
    /// # Errors
    ///
    /// The first expectation that was not met.
    ///
    /// ```
    /// use sparsemem_core::presets::X86_64;
    /// use sparsemem_core::{Page, SectionShape};
    /// use sparsemem_environments::StdHeap;
    /// use sparsemem_harness::{Capabilities, Host, HostRcu, Verdict, place};
    /// use sparsemem_sparse_extreme::SparseExtreme;
    ///
    /// enum Readers {}
    /// type Model = SparseExtreme<X86_64, Page, HostRcu<Readers>, { X86_64::NR_ROOTS_LEN }>;
    ///
    /// /// `StdHeap` stands for the environment that is to be proved.
    /// fn my_environment(host: Host) -> Verdict {
    ///     host.hotplug_in(StdHeap::default(), || (place::<Model>(), Capabilities::LEAST))
    /// }
    ///
    /// sparsemem_harness::tests!(my_environment);
    /// ```
    pub fn hotplug_in<E, M, F>(self, env: E, make: F) -> Verdict
    where
        E: MetadataMemory,
        M: AltmapModel<Metered<E>, Page: Scratch>,
        F: FnOnce() -> (Box<M>, Capabilities),
    {
        self.within(env, make, |model, world, run| run(&mut Pair::new(model, world)))
    }

    /// The same on a model that boots and is torn down.
    ///
    /// # Errors
    ///
    /// The first expectation that was not met.
    pub fn boot_only_in<E, M, F>(self, env: E, make: F) -> Verdict
    where
        E: MetadataMemory,
        M: BootModel<Metered<E>, Page: Scratch>,
        F: FnOnce() -> (Box<M>, Capabilities),
    {
        self.within(env, make, |model, world, run| run(&mut Booting::new(model, world)))
    }

    /// Runs the scenario on the subject that `lend` makes of model and world.
    fn within<E, M: MemoryModel>(
        self,
        env: E,
        make: impl FnOnce() -> (Box<M>, Capabilities),
        lend: impl FnOnce(&mut M, &mut OwnWorld<E>, &mut dyn FnMut(&mut dyn Subject) -> Verdict) -> Verdict,
    ) -> Verdict {
        self.on_bench("recordings are replayed on the simulated machine", |bench| {
            let (mut model, capabilities) = make();
            let room = bench.room::<M>();
            if let Some(mut writer) = model.write() {
                writer.reserve(room.plugged().whole_frames::<M::Geometry>());
            }
            let memory = bench.memory::<M>();
            let mut world = OwnWorld::new(env);
            lend(&mut model, &mut world, &mut |subject| run(bench.scenario, subject, capabilities, &memory))
        })
    }
}

impl<E: MetadataMemory> World for OwnWorld<E> {
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
        PagingDepth::Four
    }

    /// There are no page tables to walk: scenarios about them ask for a model with an array.
    fn leaf_at(&self, _: VirtAddr) -> Option<Leaf> {
        None
    }

    fn leaves(&self, _: VirtRange, _: &mut dyn FnMut(Leaf)) {}

    fn is_readable(&self, at: VirtAddr) -> bool {
        usize::try_from(at.get())
            .is_ok_and(|address| probe(std::ptr::without_provenance(address)) == Access::Readable)
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn ticks(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl<E: MetadataMemory> WorldWithEnvironment for OwnWorld<E> {
    type Env = Metered<E>;

    fn env(&self) -> &Metered<E> {
        &self.env
    }

    fn env_mut(&mut self) -> &mut Metered<E> {
        &mut self.env
    }
}
