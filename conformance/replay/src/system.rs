//! A model to which the operations of a recording are applied.
//!
//! # Invariants
//!
//! 1. After boot, only [`Hotplug`] changes the model.

use sparsemem_altmap::{Altmap, AltmapError, AltmapModel, AltmapSpec, MemmapRule};
use sparsemem_core::{
    BootEvent, ByteLen, Geometry, InstallError, InstallModel, MarkModel, MemoryModel, MemoryRange,
    MetadataMemory, NodeId, PageCount, PfnRange, ReadOnlyTails, RetireError, RetireModel, Retired,
    SectionLoss, SectionNr,
};
use sparsemem_hotplug::{
    AddDeviceError, BlockSize, BlockSizeError, Hotplug, Limits, MemoryBlock, Ram, RemoveError, Resource,
    Storage,
};
use sparsemem_machine::Machine;

use super::allocator::Agreeable;
use super::altmaps::{self, Altmaps};
use super::bootmem::{self, NodeData, Records, Register, Registered};
use super::facts::Facts;
use super::kernel::Geo;
use super::look::{self, View};
use super::recorded::Scope;
use super::script::{Op, Script, Step};

/// The node of devices. Recordings do not state it, and no compared fact depends on it.
const DEVICE_NODE: NodeId = NodeId::new(0);
/// The name of devices.
const DEVICE: &str = "namespace";

/// The reason why an operation was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The altmap has no room for the descriptors.
    TooSmall(AltmapError),
    /// The memory holds descriptors that others need.
    StillNeeded(RemoveError),
    /// The descriptors of large pages cannot share memory.
    Unfoldable(AddDeviceError),
    /// Any other reason.
    Other(String),
}

impl Refused {
    /// The reason in words.
    pub(super) fn why(&self) -> String {
        match self {
            Self::TooSmall(error) => error.to_string(),
            Self::StillNeeded(error) => error.to_string(),
            Self::Unfoldable(error) => error.to_string(),
            Self::Other(why) => why.clone(),
        }
    }
}

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
        let frames = |op: Op| op.frames().unwrap_or_default();
        let added = script.ops().map(frames);
        let boot = script.memory.iter().map(|(range, _)| range.whole_frames::<Geo>());
        let sections: usize = boot.chain(added).map(|it| it.by_section::<Geo>().count()).sum();
        let ops = script.ops().count();
        Self {
            blocks: vec![None; sections],
            resources: vec![None; script.memory.len() + 2 * ops],
            words: altmaps::words(script),
            records: Records::new(script, sections),
        }
    }
}

/// A model, its machine, and all records of memory.
pub(super) struct System<'m, M: MemoryModel> {
    model: &'m M,
    machine: &'m mut Machine,
    script: &'m Script,
    hotplug: Hotplug<'m, M>,
    altmaps: Altmaps<'m, M::Geometry>,
    rule: MemmapRule,
    empty_table: u64,
    records: Option<&'m mut Records>,
    register: Option<Register<M>>,
    bootmem: Option<Box<dyn Registered + 'm>>,
    data: NodeData,
    /// The operations that added what is there now.
    added: Vec<Op>,
}

impl<'m, M: AltmapModel<Machine>> System<'m, M> {
    /// A system before boot. `register` registers the metadata that boot makes.
    pub(super) fn new(
        model: &'m M,
        machine: &'m mut Machine,
        script: &'m Script,
        rule: MemmapRule,
        register: Option<Register<M>>,
        tables: &'m mut Tables,
    ) -> Result<Self, String> {
        let Tables { blocks, resources, words, records } = tables;
        let storage = Storage { blocks, notifiers: &mut [], resources };
        let block: BlockSize<M::Geometry> =
            block_size(script.memory_block).map_err(|error| error.to_string())?;
        Ok(Self {
            model,
            empty_table: model.footprint().table_bytes,
            machine,
            script,
            hotplug: Hotplug::new(model, Limits::new(block), storage),
            altmaps: Altmaps::new(words),
            rule,
            records: Some(records),
            register,
            bootmem: None,
            data: NodeData::new(),
            added: Vec::new(),
        })
    }

    /// Applies an operation.
    pub(super) fn apply(&mut self, op: Op) -> Result<(), Refused> {
        match op {
            Op::Boot => return self.boot().map_err(Refused::Other),
            Op::AddMemory { .. } | Op::AddDevice { .. } => {
                self.add(op)?;
                self.added.push(op);
            }
            Op::RemoveMemory(frames) | Op::RemoveDevice(frames) => {
                self.remove_hosts(op, frames)?;
                self.added.retain(|op| !op.added().is_some_and(|added| frames.contains_range(added)));
            }
            Op::Online(frames) => {
                words(self.hotplug.online(&mut Agreeable, frames)).map_err(Refused::Other)?;
            }
            Op::Offline(frames) => {
                words(self.hotplug.offline(&mut Agreeable, frames)).map_err(Refused::Other)?;
            }
        }
        if let Some(bootmem) = &mut self.bootmem {
            bootmem.follow();
        }
        Ok(())
    }

    /// True if the metadata of boot was registered.
    pub(super) const fn has_registry(&self) -> bool {
        self.register.is_some()
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
            bootmem.note(&mut facts, self.script);
        }
        Ok(facts)
    }

    /// Removes the memory that has descriptors in altmaps and the devices beside it, and gives the kernel's own blocks
    /// back. Afterwards the model can be torn down with the machine as its environment.
    pub(super) fn leave(mut self) -> Result<(), String> {
        // Devices without an altmap go first: one of them may have descriptors in the altmap of another device. Of the
        // others, the one that was added last has nothing that an earlier one needs.
        let devices = |op: &Op| matches!(op, Op::AddDevice { .. });
        let (hosted, others): (Vec<Op>, Vec<Op>) =
            self.added.iter().rev().partition(|op| op.altmap().is_some());
        for op in others.into_iter().filter(devices).chain(hosted) {
            let frames = op.added().unwrap_or_default();
            let removal = match op {
                Op::AddMemory { .. } => Op::RemoveMemory(frames),
                _ => Op::RemoveDevice(frames),
            };
            if removal == Op::RemoveMemory(frames) {
                // It may be offline already; if it is not afterwards, the removal says so.
                let _ = self.hotplug.offline(&mut Agreeable, frames);
            }
            self.apply(removal).map_err(|refused| refused.why())?;
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
        let mut writer = self.model.write().ok_or("another writer has the model")?;
        words(writer.boot(self.machine, ranges.clone(), &mut |event| {
            // A section that two nodes share is not lost.
            lost = lost.or(Some(event)).filter(|event| !matches!(event, BootEvent::SharedSection { .. }));
        }))?;
        drop(writer);
        if let Some(event) = lost {
            return Err(format!("the boot is not complete: {event:?}"));
        }
        self.machine.finish_boot();
        for (range, node) in &script.memory {
            words(self.hotplug.adopt_boot(*range, *node))?;
        }
        let (Some(_), Some(register), Some(records)) = (&script.tags, self.register, self.records.take())
        else {
            return Ok(());
        };
        let nodes = touched(ranges);
        self.bootmem = Some(register(self.model, self.machine, records, &nodes, &self.data)?);
        Ok(())
    }

    /// Adds memory, with its altmap if it has one.
    fn add(&mut self, op: Op) -> Result<(), Refused> {
        let Some((spec, frames)) = op.altmap().zip(op.added()) else {
            return add_to(&mut self.hotplug, self.machine, op);
        };
        let mut altmap: Altmap<'m, M::Geometry> =
            self.altmaps.claim(spec, self.machine).map_err(Refused::Other)?;
        altmap.check_add(self.model, self.rule, frames).map_err(|error| match error {
            AltmapError::TooSmall { .. } => Refused::TooSmall(error),
            other => Refused::Other(other.to_string()),
        })?;
        let mut env = altmaps::env(self.machine, &mut altmap);
        add_to(&mut self.hotplug, &mut env, op)?;
        self.altmaps.keep(altmap);
        Ok(())
    }

    /// Removes memory. Of RAM, every block that hosts its own descriptors is removed alone, as in Linux.
    fn remove_hosts(&mut self, op: Op, frames: PfnRange) -> Result<(), Refused> {
        if let Op::RemoveDevice(_) = op {
            return self.remove(op, frames);
        }
        let (block, mut rest) = (self.hotplug.limits().block.frames(), frames);
        while let Some(host) = self.altmaps.first_in(rest).map(AltmapSpec::base) {
            let (before, at) = rest.split_at(host);
            let (host, after) = at.split_at(host.saturating_add(block));
            for part in [before, host].into_iter().filter(|part| !part.is_empty()) {
                self.remove(op, part)?;
            }
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { self.remove(op, rest) }
    }

    /// Removes memory, with its altmap if it has one.
    fn remove(&mut self, op: Op, frames: PfnRange) -> Result<(), Refused> {
        let Some(mut altmap) = self.altmaps.take(frames) else {
            return all_back(remove_from(&mut self.hotplug, self.machine, op, frames));
        };
        let mut env = altmaps::env(self.machine, &mut altmap);
        let removed = all_back(remove_from(&mut self.hotplug, &mut env, op, frames));
        match removed {
            Ok(()) => words(altmap.release().map_err(|refused| refused.error)).map_err(Refused::Other),
            Err(refused) => {
                self.altmaps.keep(altmap);
                Err(refused)
            }
        }
    }
}

/// The size of memory blocks.
fn block_size<G: Geometry>(bytes: ByteLen) -> Result<BlockSize<G>, BlockSizeError> {
    BlockSize::new(bytes)
}

/// Adds memory with an environment.
fn add_to<M, E>(hotplug: &mut Hotplug<'_, M>, env: &mut E, op: Op) -> Result<(), Refused>
where
    M: InstallModel<E> + RetireModel<E> + MarkModel,
{
    match op {
        Op::AddMemory { frames, node, altmap } => {
            let memmap = altmap.map_or(PageCount::new(0), AltmapSpec::free);
            let added = hotplug.add_memory(env, frames, node, Ram::default().hosting(memmap));
            words(added).map_err(Refused::Other)
        }
        Op::AddDevice { frames, .. } => {
            let added = match op.compound() {
                None => hotplug.add_device(env, frames, DEVICE_NODE, DEVICE),
                Some(order) => {
                    #[expect(unsafe_code, reason = "a promise about this crate's own code")]
                    // SAFETY: the replay stores to no descriptor of a device.
                    let tails = unsafe { ReadOnlyTails::promise(order) };
                    hotplug.add_device_in_compounds(env, frames, DEVICE_NODE, DEVICE, tails)
                }
            };
            added.map_err(refused_device)
        }
        other => Err(Refused::Other(format!("{other} adds nothing"))),
    }
}

/// The reason why a device was refused.
fn refused_device(error: AddDeviceError) -> Refused {
    match error {
        AddDeviceError::Install {
            why: InstallError::NoMetadata { why: SectionLoss::Unfoldable(_), .. },
            ..
        } => Refused::Unfoldable(error),
        other => Refused::Other(other.to_string()),
    }
}

/// Removes memory with an environment.
fn remove_from<M, E>(
    hotplug: &mut Hotplug<'_, M>,
    env: &mut E,
    op: Op,
    frames: PfnRange,
) -> Result<Retired, RemoveError>
where
    M: RetireModel<E>,
{
    match op {
        Op::RemoveDevice(_) => hotplug.remove_device(env, frames),
        _ => hotplug.remove_memory(env, frames),
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
fn all_back(result: Result<Retired, RemoveError>) -> Result<(), Refused> {
    let Retired { lost, .. } = result.map_err(|error| match error {
        RemoveError::Retire { why: RetireError::HoldsMemmap { .. }, .. } => Refused::StillNeeded(error),
        other => Refused::Other(other.to_string()),
    })?;
    if lost.is_empty() { Ok(()) } else { Err(Refused::Other(format!("the memory was removed{lost}"))) }
}
