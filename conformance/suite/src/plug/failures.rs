//! Every failure that an operation can meet, one by one, with everything compared before and after.
//!
//! # Invariants
//!
//! 1. Each operation is made to fail at its first request, its second, and so on, until it makes no more; where there
//!    are many, later ones less and less densely.
//! 2. What is compared is a [`Snapshot`], all of it.

use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::PfnRange;

use super::life::{mappings_agree, take};
use super::plugged::NOTIFIERS;
use super::way_back::leads_back;
use super::{Memmap, Obstacle, Plug, Site, Snapshot, Step};
use crate::failure::{Place, expect};
use crate::shortage::after;
use crate::{Failure, Fault, Shape, Stage, Tally, range};

/// Every operation with its memmap in RAM.
pub(crate) fn with_ram(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let shape = stage.facts.shape;
    stage.plug(&mut |plug, site, notes| {
        let mut sweep = Sweep { plug, watched: site.watched(), tally: &mut notes.tally };
        let ram = site.ram(2);
        for step in [
            Step::AddMemory(ram, Memmap::Ram),
            Step::Online(ram),
            Step::Offline(ram),
            Step::RemoveMemory(ram, Memmap::Ram),
        ] {
            sweep.every_failure(step)?;
        }
        for device in devices(&shape, site) {
            sweep.every_failure(Step::AddDevice(device, Memmap::Ram))?;
            sweep.every_failure(Step::RemoveDevice(device, Memmap::Ram))?;
        }
        mappings_agree(sweep.plug)
    })
}

/// Devices that begin and end inside sections: one over a border, one in the hole of a boot section.
fn devices(shape: &Shape, site: &Site) -> Vec<PfnRange> {
    let half = shape.subsections().div_ceil(2);
    let over_a_border = site.subsections(half, shape.subsections());
    [Some(over_a_border), site.hole()].into_iter().flatten().collect()
}

/// Every operation with its memmap in what is added.
pub(crate) fn with_altmap(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let shape = stage.facts.shape;
    stage.plug(&mut |plug, site, notes| {
        let Some(device) = site.device() else {
            notes.does_not_suit("the world has no device to plug");
            return Ok(());
        };
        let first = device.start().get();
        let section = range(first, first + shape.section_frames());
        let mut sweep = Sweep { plug, watched: site.watched(), tally: &mut notes.tally };
        for step in [Step::AddDevice(section, Memmap::Altmap), Step::AddMemory(section, Memmap::Altmap)] {
            sweep.every_failure(step)?;
            sweep.every_failure(step.back())?;
        }
        mappings_agree(sweep.plug)
    })
}

/// A plugged model to make operations fail on.
struct Sweep<'p> {
    plug: &'p mut dyn Plug,
    watched: Vec<u64>,
    tally: &'p mut Tally,
}

impl Sweep<'_> {
    /// Fails a step, which is possible now, in every way; then takes it.
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

    /// Takes a step and leads it back. What went and comes again may have got other metadata: only then is there a state
    /// to compare with.
    fn there_and_back(&mut self, step: Step) -> Result<(), Failure> {
        take(self.plug, step)?;
        if let Step::Online(frames) | Step::AddDevice(frames, _) = step {
            leads_back(self.plug, frames)?;
        }
        take(self.plug, step.back())
    }

    /// Everything that can be seen, but for what only grows.
    fn seen(&self) -> Snapshot {
        self.plug.snapshot(&self.watched).timeless()
    }

    /// Refuses the first, the second, .. the last request of a step.
    fn each_request(&mut self, step: Step, fault: fn(u64) -> Fault) -> Result<(), Failure> {
        let mut nth = 1;
        while self.refused(step, fault(nth))? {
            nth = after(nth);
        }
        Ok(())
    }

    /// Takes a step while a fault is armed, and compares. Whether something was refused.
    fn refused(&mut self, step: Step, fault: Fault) -> Result<bool, Failure> {
        let before = self.seen();
        self.plug.world_mut().arm(fault);
        let result = self.plug.apply(step);
        let refused = self.plug.world_mut().heal();
        self.tally.failure_points += u64::from(refused > 0);
        let during = |failure: Failure| failure.during(format!("{fault:?}"));
        match result {
            // Nothing was refused, or something else would do: base pages where a large one was refused.
            Ok(()) => take(self.plug, step.back()).map_err(during)?,
            Err(error) => expect(refused > 0, Place::Model, "outcome", "success", error).map_err(during)?,
        }
        before.is_still(&self.seen()).map_err(during)?;
        Ok(refused > 0)
    }

    /// Takes a step while somebody is in the way, and compares.
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

/// The faults that a world can be made to have.
fn faults(plug: &dyn Plug) -> Vec<fn(u64) -> Fault> {
    let mut faults: Vec<fn(u64) -> Fault> = Vec::from([Fault::NthAllocation as fn(u64) -> Fault, runs_out]);
    if plug.view().world().can_refuse_links() {
        faults.push(Fault::NthLink);
    }
    faults
}

/// Memory ends before the n-th allocation.
const fn runs_out(nth: u64) -> Fault {
    Fault::AllocationsAfter(nth - 1)
}

/// Who can refuse a step.
fn obstacles(step: Step) -> Vec<Obstacle> {
    let own: &[Obstacle] = match step {
        Step::Online(_) => &[Obstacle::Give],
        Step::Offline(_) => &[Obstacle::Isolate, Obstacle::Evacuate],
        _ => return Vec::new(),
    };
    (0..NOTIFIERS.len()).map(Obstacle::Notifier).chain(own.iter().copied()).collect()
}
