//! A model to which the operations of a recording are applied.
//!
//! # Invariants
//!
//! 1. After boot, only [`Hotplug`] changes the model.

use sparsemem_altmap::{AltmapSpec, MemmapRule};
use sparsemem_core::{
    BootEvent, MemoryModel, MemoryRange, MetadataMemory, NodeId, PfnRange, Retired, SectionNr,
};
use sparsemem_fixture::Agreeable;
use sparsemem_hotplug::{BlockSize, Hotplug, Limits, MemoryBlock, Ram, Resource, Storage};
use sparsemem_machine::Machine;

use super::altmaps::{self, Altmaps};
use super::bootmem::{self, Bootmem, NodeData, Records};
use super::facts::Facts;
use super::look::{self, View};
use super::model::{Model, Notes};
use super::recorded::Scope;
use super::script::{Geo, Op, Script, Step};

/// The node of devices. Recordings do not state it, and no compared fact depends on it.
const DEVICE_NODE: NodeId = NodeId::new(0);
/// The name of devices.
const DEVICE: &str = "namespace";

/// The memory of the tables that do not allocate.
pub(super) struct Tables {
    blocks: Vec<Option<MemoryBlock>>,
    resources: Vec<Option<Resource>>,
    words: Vec<Vec<u64>>,
    records: Records,
}

impl Tables {
    /// As much memory as a recording needs.
    pub(super) fn new(script: &Script) -> Self {
        let frames = |op: &Op| op.frames().unwrap_or_default();
        let added = script.steps.iter().flat_map(|step| &step.ops).map(frames);
        let boot = script.memory.iter().map(|(range, _)| range.whole_frames::<Geo>());
        let sections: usize = boot.chain(added).map(|it| it.by_section::<Geo>().count()).sum();
        let ops: usize = script.steps.iter().map(|step| step.ops.len()).sum();
        Self {
            blocks: vec![None; sections],
            resources: vec![None; script.memory.len() + 2 * ops],
            words: altmaps::words(script),
            records: Records::new(script, sections),
        }
    }
}

/// A model, its machine, and all records of memory.
pub(super) struct System<'m> {
    model: &'m Model,
    machine: &'m mut Machine,
    script: &'m Script,
    hotplug: Hotplug<'m, Model>,
    altmaps: Altmaps<'m>,
    rule: MemmapRule,
    empty_table: u64,
    records: Option<&'m mut Records>,
    bootmem: Option<Bootmem<'m, 'm>>,
    data: NodeData,
}

impl<'m> System<'m> {
    /// A system before boot.
    pub(super) fn new(
        model: &'m Model,
        machine: &'m mut Machine,
        script: &'m Script,
        rule: MemmapRule,
        tables: &'m mut Tables,
    ) -> Self {
        let Tables { blocks, resources, words, records } = tables;
        let storage = Storage { blocks, notifiers: &mut [], resources };
        Self {
            model,
            empty_table: model.footprint().table_bytes,
            machine,
            script,
            hotplug: Hotplug::new(model, Limits::new(BlockSize::SECTION), storage),
            altmaps: Altmaps::new(words),
            rule,
            records: Some(records),
            bootmem: None,
            data: NodeData::new(),
        }
    }

    /// Applies an operation; the error states why it is not possible.
    pub(super) fn apply(&mut self, op: Op) -> Result<(), String> {
        let (hotplug, machine) = (&mut self.hotplug, &mut *self.machine);
        match op {
            Op::Boot => return self.boot(),
            Op::AddMemory { frames, node } => {
                words(hotplug.add_memory(machine, frames, node, Ram::default()))
            }
            Op::RemoveMemory(frames) => all_back(hotplug.remove_memory(machine, frames)),
            Op::Online(frames) => words(hotplug.online(&mut Agreeable, frames)),
            Op::Offline(frames) => words(hotplug.offline(&mut Agreeable, frames)),
            Op::AddDevice { frames, altmap: None } => {
                words(hotplug.add_device(machine, frames, DEVICE_NODE, DEVICE))
            }
            Op::AddDevice { frames, altmap: Some(spec) } => return self.add_with_altmap(frames, spec),
            Op::RemoveDevice(frames) => return self.remove_device(frames),
        }?;
        if let Some(bootmem) = &mut self.bootmem {
            bootmem.follow();
        }
        Ok(())
    }

    /// The facts of the model after a step.
    pub(super) fn look(&self, step: &Step, scope: Scope) -> Result<Facts, String> {
        words(self.machine.mirror_matches_tables())?;
        let Self { model, machine, empty_table, .. } = self;
        let view = View { model, machine, altmaps: &step.altmaps, empty_table: *empty_table, scope };
        let mut facts = view.facts();
        if scope.resources {
            look::resources(&mut facts, self.hotplug.resources());
        }
        if let Some(bootmem) = self.bootmem.as_ref().filter(|_| scope.tags) {
            bootmem.note(&mut facts);
        }
        Ok(facts)
    }

    /// Removes the devices that hold their own descriptors, and gives the kernel's own blocks back. Afterwards the
    /// model can be torn down with the machine as its environment.
    pub(super) fn leave(mut self) -> Result<(), String> {
        let script = self.script;
        for altmap in script.steps.last().iter().flat_map(|step| &step.altmaps) {
            let device = self.script.device_of(*altmap);
            self.remove_device(device)?;
        }
        let Self { machine, data, .. } = self;
        data.into_values().try_for_each(|block| words(machine.free(block).map_err(|refused| refused.error)))
    }

    /// Boots, and registers the metadata that boot has made.
    fn boot(&mut self) -> Result<(), String> {
        let script = self.script;
        self.data = bootmem::node_data(script, self.machine)?;
        let ranges = script.memory.iter().map(|(range, node)| MemoryRange::from_bytes::<Geo>(*range, *node));
        let mut lost = None;
        let mut notes = Notes::new(self.machine);
        let mut writer = self.model.write().ok_or("another writer has the model")?;
        words(writer.boot(&mut notes, ranges.clone(), &mut |event| {
            // A section that two nodes share is not lost.
            lost = lost.or(Some(event)).filter(|event| !matches!(event, BootEvent::SharedSection { .. }));
        }))?;
        drop(writer);
        if let Some(event) = lost {
            return Err(format!("the boot is not complete: {event:?}"));
        }
        let usages = notes.into_blocks_of(look::usage_bytes(self.model));
        self.machine.finish_boot();
        for (range, node) in &script.memory {
            words(self.hotplug.adopt_boot(*range, *node))?;
        }
        let (Some(_), Some(records)) = (&script.tags, self.records.take()) else { return Ok(()) };
        let nodes = touched(ranges);
        let registered = Bootmem::register(self.model, self.machine, records, &nodes, &usages, &self.data)?;
        self.bootmem = Some(registered);
        Ok(())
    }

    /// Adds a device that holds its own descriptors.
    fn add_with_altmap(&mut self, frames: PfnRange, spec: AltmapSpec) -> Result<(), String> {
        let mut altmap = self.altmaps.claim(spec, self.machine)?;
        words(altmap.check_add(self.model, self.rule, frames))?;
        let mut env = altmaps::env(self.machine, &mut altmap);
        words(self.hotplug.add_device(&mut env, frames, DEVICE_NODE, DEVICE))?;
        self.altmaps.keep(altmap);
        Ok(())
    }

    /// Removes a device, with its altmap if it has one.
    fn remove_device(&mut self, frames: PfnRange) -> Result<(), String> {
        let Some(mut altmap) = self.altmaps.take(frames) else {
            return all_back(self.hotplug.remove_device(self.machine, frames));
        };
        let mut env = altmaps::env(self.machine, &mut altmap);
        all_back(self.hotplug.remove_device(&mut env, frames))?;
        words(altmap.release().map_err(|refused| refused.error))
    }
}

/// The sections in the order in which ranges first touch them, each with the node of that range. Boot marks them in
/// this order.
fn touched(ranges: impl Iterator<Item = MemoryRange>) -> Vec<(SectionNr, NodeId)> {
    let mut sections: Vec<(SectionNr, NodeId)> = Vec::new();
    for range in ranges {
        for (nr, _) in range.frames.by_section::<Geo>() {
            if sections.iter().all(|(known, _)| *known != nr) {
                sections.push((nr, range.node));
            }
        }
    }
    sections
}

/// An error in words.
fn words<T, E: std::error::Error>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

/// Refuses a removal that lost metadata.
fn all_back<E: std::error::Error>(result: Result<Retired, E>) -> Result<(), String> {
    let Retired { lost, .. } = result.map_err(|error| error.to_string())?;
    if lost.is_empty() { Ok(()) } else { Err(format!("the memory was removed{lost}")) }
}
