//! Scenarios in which every operation fails at each point where it can fail. They compare the complete state before
//! and after.
//!
//! # Invariants
//!
//! 1. Each operation is made to fail at its first request, at its second, and so on, until it completes. If there are
//!    many requests, the later ones are tested less and less densely.
//! 2. The comparison covers the whole [`Snapshot`].

use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::PfnRange;

use super::compound::Device;
use super::descriptors::lead_to_frames;
use super::life::{mappings_agree, take};
use super::plugged::NOTIFIERS;
use super::refusals::refuses;
use super::{Memmap, Obstacle, Places, Plug, Snapshot, Step};
use crate::failure::{Place, expect};
use crate::shortage::after;
use crate::{Failure, Fault, Setting, Shape, Tally, range};

/// Tests every operation with its memmap in RAM.
pub(crate) fn with_ram(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    setting.plug(&mut |plug, places, notes| {
        let mut sweep = Sweep { plug, watched: places.watched(), tally: &mut notes.tally };
        let ram = places.ram(2);
        for step in [
            Step::AddMemory(ram, Memmap::Ram),
            Step::Online(ram),
            Step::Offline(ram),
            Step::RemoveMemory(ram, Memmap::Ram),
        ] {
            sweep.every_failure(step)?;
        }
        for device in devices(&shape, places) {
            sweep.every_failure(Step::AddDevice(device, Memmap::Ram))?;
            sweep.every_failure(Step::RemoveDevice(device, Memmap::Ram))?;
        }
        mappings_agree(sweep.plug)
    })
}

/// Devices that begin and end inside sections: one across a border, one in the hole of a section of boot.
fn devices(shape: &Shape, places: &Places) -> Vec<PfnRange> {
    let half = shape.subsections().div_ceil(2);
    let over_a_border = places.subsections(half, shape.subsections());
    [Some(over_a_border), places.hole()].into_iter().flatten().collect()
}

/// Tests every operation with its memmap in the added memory.
pub(crate) fn with_altmap(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    setting.plug(&mut |plug, places, notes| {
        let Some(device) = places.device() else {
            notes.is_skipped("the world has no device to plug");
            return Ok(());
        };
        let first = device.start().get();
        let section = range(first, first + shape.section_frames());
        let mut sweep = Sweep { plug, watched: places.watched(), tally: &mut notes.tally };
        for step in [Step::AddDevice(section, Memmap::Altmap), Step::AddMemory(section, Memmap::Altmap)] {
            sweep.every_failure(step)?;
            sweep.every_failure(step.back())?;
        }
        mappings_agree(sweep.plug)
    })
}

/// Tests the addition and the removal of a device with large pages.
pub(crate) fn with_compounds(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let facts = setting.facts;
    setting.plug(&mut |plug, places, notes| {
        let Some(device) = Device::new(&facts, places, notes) else { return Ok(()) };
        if !device.is_added() {
            return refuses(plug, &places.watched(), device.add(), "cannot be folded");
        }
        let mut sweep = Sweep { plug, watched: places.watched(), tally: &mut notes.tally };
        sweep.every_failure(device.add())?;
        take(sweep.plug, device.add().back())?;
        mappings_agree(sweep.plug)
    })
}

/// A plugged model whose operations are made to fail.
struct Sweep<'p> {
    plug: &'p mut dyn Plug,
    watched: Vec<u64>,
    tally: &'p mut Tally,
}

impl Sweep<'_> {
    /// Makes a step fail in every possible manner, then takes it.
    fn every_failure(&mut self, step: Step) -> Result<(), Failure> {
        let during = |failure: Failure| failure.during(format!("{step:?}"));
        self.there_and_back(step).map_err(during)?;
        for fault in faults(self.plug) {
            self.each_request(step, fault).map_err(during)?;
        }
        for obstacle in obstacles(step) {
            self.obstructed(step, obstacle).map_err(during)?;
        }
        take(self.plug, step)
    }

    /// Takes a step and its opposite. Removed memory that is added again may get other metadata; only after that is
    /// there a state to compare with.
    fn there_and_back(&mut self, step: Step) -> Result<(), Failure> {
        take(self.plug, step)?;
        if let Step::Online(frames) | Step::AddDevice(frames, _) = step {
            lead_to_frames(self.plug, frames)?;
        }
        take(self.plug, step.back())
    }

    /// Everything that can be observed, without the counters that only grow.
    fn seen(&self) -> Snapshot {
        self.plug.snapshot(&self.watched).timeless()
    }

    /// Refuses the first request of a step, the second, and so on to the last.
    fn each_request(&mut self, step: Step, fault: fn(u64) -> Fault) -> Result<(), Failure> {
        let mut nth = 1;
        while self.refused(step, fault(nth))? {
            nth = after(nth);
        }
        Ok(())
    }

    /// Takes a step while a fault is armed, and compares. Returns whether a request was refused.
    fn refused(&mut self, step: Step, fault: Fault) -> Result<bool, Failure> {
        let before = self.seen();
        self.plug.world_mut().arm(fault);
        let result = self.plug.apply(step);
        let refused = self.plug.world_mut().heal();
        self.tally.failure_points += u64::from(refused > 0);
        let during = |failure: Failure| failure.during(format!("{fault:?}"));
        match result {
            // No request was refused, or the model used another mapping: base pages where a large one was refused.
            Ok(()) => take(self.plug, step.back()).map_err(during)?,
            Err(error) => expect(refused > 0, Place::Model, "outcome", "success", error).map_err(during)?,
        }
        before.is_still(&self.seen()).map_err(during)?;
        Ok(refused > 0)
    }

    /// Takes a step while the allocator or a notifier refuses, and compares.
    fn obstructed(&mut self, step: Step, obstacle: Obstacle) -> Result<(), Failure> {
        let before = self.plug.snapshot(&self.watched);
        self.plug.obstruct(Some(obstacle));
        let result = self.plug.apply(step);
        self.plug.obstruct(None);
        self.tally.failure_points += 1;
        let during = |failure: Failure| failure.during(format!("{obstacle:?} refuses"));
        expect(result.is_err(), Place::Model, "outcome", "a refusal", result).map_err(during)?;
        before.is_still(&self.plug.snapshot(&self.watched)).map_err(during)
    }
}

/// The faults that a world can simulate.
fn faults(plug: &dyn Plug) -> Vec<fn(u64) -> Fault> {
    let mut faults: Vec<fn(u64) -> Fault> = Vec::from([Fault::NthAllocation as fn(u64) -> Fault, runs_out]);
    if plug.view().world().can_refuse_links() {
        faults.push(Fault::NthLink);
    }
    faults
}

/// A fault: memory runs out before the n-th allocation.
const fn runs_out(nth: u64) -> Fault {
    Fault::AllocationsAfter(nth - 1)
}

/// The obstacles that can refuse a step.
fn obstacles(step: Step) -> Vec<Obstacle> {
    let own: &[Obstacle] = match step {
        Step::Online(_) => &[Obstacle::Give],
        Step::Offline(_) => &[Obstacle::Isolate, Obstacle::Evacuate],
        _ => return Vec::new(),
    };
    (0..NOTIFIERS.len()).map(Obstacle::Notifier).chain(own.iter().copied()).collect()
}
