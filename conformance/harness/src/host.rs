//! A simulated machine for one scenario: it takes the author's model and runs the scenario on it.

#![allow(unsafe_code, reason = "an unsafe constructor promises the memory that can be plugged")]

use sparsemem_altmap::AltmapModel;
use sparsemem_bootmem_registration::BootmemTag;
use sparsemem_core::{
    BootModel, DeferredModel, MemoryModel, MemoryRange, MetadataModel, PhysRange, VirtAddr,
};
use sparsemem_machine::{Addresses, Machine, MachineConfig};
use sparsemem_replay::{Inside, Recording, Replay, ReplayError, replay, replay_registered};
use sparsemem_suite::{
    ArrayFacts, Booting, Capabilities, Deferring, Ended, Failure, Pair, Place, Scenario, Scratch, Shape,
    Spare, Subject, run,
};

use crate::recorded::{not_applicable, verdict};
use crate::{HostWorld, Room, TestMachine};

/// The end of a scenario on a machine.
pub type Verdict = Result<Ended, Failure>;

/// A simulated machine on which one scenario waits for a model.
///
/// The function that is given to [`tests!`](crate::tests) gets one for each scenario and each machine, and gives it a
/// fresh model. The simulated machine is the model's environment: it has memory to allocate from, page tables, and a
/// window of addresses for a virtual array.
#[derive(Clone, Copy, Debug)]
pub struct Host(Waiting);

/// The work that waits for a model.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// A scenario on one of the machines.
    Scenario(Bench),
    /// A recording, which has a machine of its own.
    Recording(Inside),
}

/// A machine and the scenario that runs on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench {
    machine: TestMachine,
    /// The scenario.
    pub(crate) scenario: &'static Scenario,
}

impl Host {
    /// The machine for a scenario.
    #[must_use]
    pub const fn new(machine: TestMachine, scenario: &'static Scenario) -> Self {
        Self(Waiting::Scenario(Bench { machine, scenario }))
    }

    /// The machine of a recording.
    pub(crate) const fn of_recording(inside: Inside) -> Self {
        Self(Waiting::Recording(inside))
    }

    /// Runs the scenario on a model to which memory can be added and from which it can be removed. `make` makes it,
    /// for the machine that it will be on, and says what it can do.
    ///
    /// The model gets the frames that scenarios may add as a [reserve](MemoryModel::reserve).
    ///
    /// # Errors
    ///
    /// The first expectation that the model did not meet.
    pub fn hotplug<M, F>(self, make: F) -> Verdict
    where
        M: AltmapModel<Machine, Page: Scratch>,
        F: FnOnce(&Machine) -> (Box<M>, Capabilities),
    {
        match self.0 {
            Waiting::Recording(inside) => replayed(inside, |recording| replay(recording, make)),
            Waiting::Scenario(bench) => {
                bench.with(make, |model, world, run| run(&mut Pair::new(model, world)))
            }
        }
    }

    /// Runs the scenario as [`Host::hotplug`] does, with a model that says where its metadata lies ([`MetadataModel`]):
    /// in recordings of Linux the tags of boot's metadata are compared, too.
    ///
    /// # Errors
    ///
    /// The first expectation that the model did not meet.
    pub fn hotplug_with_metadata<M, F>(self, make: F) -> Verdict
    where
        M: AltmapModel<Machine, Page: Scratch + BootmemTag> + MetadataModel<Machine>,
        F: FnOnce(&Machine) -> (Box<M>, Capabilities),
    {
        match self.0 {
            Waiting::Recording(inside) => replayed(inside, |recording| replay_registered(recording, make)),
            Waiting::Scenario(_) => self.hotplug(make),
        }
    }

    /// Runs the scenario as [`Host::hotplug`] does, with a model whose boots can wait; the scenarios `deferred/*` apply
    /// if it [says so](Capabilities::bring_up).
    ///
    /// # Errors
    ///
    /// The first expectation that the model did not meet.
    pub fn deferring<M, F>(self, make: F) -> Verdict
    where
        M: AltmapModel<Machine, Page: Scratch> + DeferredModel<Machine>,
        F: FnOnce(&Machine) -> (Box<M>, Capabilities),
    {
        match self.0 {
            Waiting::Recording(inside) => replayed(inside, |recording| replay(recording, make)),
            Waiting::Scenario(bench) => {
                bench.with(make, |model, world, run| run(&mut Deferring::new(model, world)))
            }
        }
    }

    /// Runs the scenario on a model that boots and is torn down: it need not be able to install or retire memory, and
    /// its readers need not have a grace period.
    ///
    /// # Errors
    ///
    /// The first expectation that the model did not meet.
    pub fn boot_only<M, F>(self, make: F) -> Verdict
    where
        M: BootModel<Machine, Page: Scratch>,
        F: FnOnce(&Machine) -> (Box<M>, Capabilities),
    {
        self.on_bench("recordings add and remove memory, and the model boots only (Life::Boot)", |bench| {
            bench.with(make, |model, world, run| run(&mut Booting::new(model, world)))
        })
    }

    /// Lets `run` run the scenario; a recording does not apply, for this reason.
    pub(crate) fn on_bench(self, why: &str, run: impl FnOnce(Bench) -> Verdict) -> Verdict {
        match self.0 {
            Waiting::Recording(_) => not_applicable(why),
            Waiting::Scenario(bench) => run(bench),
        }
    }
}

/// Replays a recording of the package.
fn replayed(inside: Inside, replay: impl FnOnce(&Recording) -> Result<Replay, ReplayError>) -> Verdict {
    let recording = inside.read().map_err(|error| {
        Failure::new(Place::Model, "the recording", "one that can be read", error.to_string())
    })?;
    verdict(inside, replay(&recording))
}

impl Bench {
    /// The machine's memory, for a model.
    pub(crate) fn memory<M: MemoryModel>(self) -> Vec<MemoryRange> {
        self.machine
            .memory()
            .map(|(range, node)| MemoryRange::from_bytes::<M::Geometry>(range, node))
            .collect()
    }

    /// The room beside the machine's memory, for a model.
    pub(crate) fn room<M: MemoryModel>(self) -> Room {
        let ranges = self.machine.memory().map(|(range, _)| range);
        Room::beside(ranges, &Shape::of::<M::Geometry>(), size_of::<M::Page>() as u64)
    }

    /// Makes machine and model, and runs the scenario on the subject that `lend` makes of them.
    fn with<M: MemoryModel, F>(
        self,
        make: F,
        lend: impl FnOnce(&mut M, &mut HostWorld, &mut dyn FnMut(&mut dyn Subject) -> Verdict) -> Verdict,
    ) -> Verdict
    where
        F: FnOnce(&Machine) -> (Box<M>, Capabilities),
    {
        let room = self.room::<M>();
        let _addresses = Addresses::take(room.addresses());
        let machine = Machine::new(&config(self.machine, room))
            .map_err(|error| Failure::new(Place::Model, "the simulated machine", "one", error.to_string()))?;
        let (mut model, capabilities) = make(&machine);
        if let Some(mut writer) = model.write() {
            writer.reserve(room.plugged().whole_frames::<M::Geometry>());
        }
        let memory = self.memory::<M>();
        let mut world = HostWorld::new(machine, room.device.map(spare));
        lend(&mut model, &mut world, &mut |subject| run(self.scenario, subject, capabilities, &memory))
    }
}

fn config(machine: TestMachine, room: Room) -> MachineConfig {
    let mut config = MachineConfig::new().vmemmap_bytes(room.window_bytes);
    config.memory = machine.memory().collect();
    room.device.into_iter().fold(config, MachineConfig::unmanaged)
}

/// The device of a machine that was configured with it.
fn spare(device: PhysRange) -> Spare {
    // SAFETY: the machine has this memory and never gives it out (`config`); its direct map is one mapping of all its
    // memory, aligned as that is.
    unsafe { Spare::new(device) }
}

/// The window of a machine, as the virtual array of a model that maps its descriptors there.
#[must_use]
pub fn window(machine: &Machine) -> ArrayFacts {
    ArrayFacts {
        start: VirtAddr::new(machine.window_ptr().addr().get() as u64),
        len_bytes: machine.window().count().get(),
    }
}
