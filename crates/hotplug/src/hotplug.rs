//! One value that holds all records of physical memory and keeps them consistent.
//!
//! # Invariants
//!
//! 1. All memory of a memory block lies in resources of kind [`ResourceKind::SystemRam`].
//! 2. Every device lies in a resource of kind [`ResourceKind::Device`] of exactly its range.

use core::fmt;

use sparsemem_core::{
    Geometry, MemoryModel, NodeId, Pfn, PfnRange, PhysRange, SectionNr, SectionShape, SubsectionBits,
};

use crate::{
    BlockError, BlockNr, BlockSpan, Blocks, Chain, ChainError, Direction, Limits, MemoryBlock, MemoryChange,
    MemoryKind, NodeChange, Notifier, Ram, Registration, Request, RequestError, Resource, ResourceError,
    ResourceKind, Resources,
};

/// The memory that the tables lie in. Earlier contents of the slots are dropped.
#[derive(Debug)]
pub struct Storage<'a> {
    /// One slot for each memory block that exists at the same time.
    pub blocks: &'a mut [Option<MemoryBlock>],
    /// One slot for each notifier.
    pub notifiers: &'a mut [Option<Registration<'a>>],
    /// One slot for each resource; removing memory from the middle of a resource needs one more.
    pub resources: &'a mut [Option<Resource>],
}

/// The reason why memory of boot cannot be registered. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// Part of the range lies beyond the geometry's maximum.
    #[error(
        "cannot register {range}: {beyond} is beyond the last possible frame; register only the memory below"
    )]
    BeyondMaximum {
        /// The range that was given.
        range: PhysRange,
        /// The frames beyond the maximum.
        beyond: PfnRange,
    },
    /// Part of the range is not online in the model.
    #[error(
        "cannot register {range}: {frames} of section {section} is not online in the model; boot lost the section, or \
         was given less memory; register the memory around it"
    )]
    NotBooted {
        /// The range that was given.
        range: PhysRange,
        /// The lowest section with frames that are absent or offline.
        section: SectionNr,
        /// The frames of the range in that section.
        frames: PfnRange,
    },
    /// The resource tree refuses the range.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The memory blocks cannot be registered.
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// A memory model with memory blocks, notifiers and resources.
///
/// Readers use the model as before. All changes go through this type, one at a time: every operation holds the
/// model's [`Writer`](sparsemem_core::Writer) from its beginning to its end, so that no other writer can act between
/// its steps or prevent it from being undone. The price is that a long operation excludes other writers, as Linux'
/// `mem_hotplug_lock` does.
///
/// Processors can share it in a lock:
///
/// ```
/// use sparsemem_core::MemoryModel;
/// use sparsemem_hotplug::Hotplug;
///
/// fn needs_send<T: Send>() {}
/// fn in_a_static_lock<M: MemoryModel + 'static>() {
///     needs_send::<Hotplug<'static, M>>();
/// }
/// ```
pub struct Hotplug<'a, M: MemoryModel> {
    pub(crate) model: &'a M,
    pub(crate) limits: Limits<M::Geometry>,
    pub(crate) blocks: Blocks<'a>,
    pub(crate) chain: Chain<'a>,
    pub(crate) resources: Resources<'a>,
}

impl<'a, M: MemoryModel> Hotplug<'a, M> {
    /// Starts with empty tables; register the memory of boot next ([`Hotplug::adopt_boot`]).
    #[must_use]
    pub fn new(model: &'a M, limits: Limits<M::Geometry>, storage: Storage<'a>) -> Self {
        let Storage { blocks, notifiers, resources } = storage;
        Self {
            model,
            limits,
            blocks: Blocks::new(blocks),
            chain: Chain::new(notifiers),
            resources: Resources::new(resources),
        }
    }

    /// Registers a range of RAM that the model was booted with: its blocks are online.
    ///
    /// A block in which several nodes have memory belongs to no single node and cannot go offline (H-32). Borders
    /// need no alignment; partial frames belong to the resource and to no block. Source: Linux `memory_dev_init`.
    /// Differs from Linux: RAM that boot lost ([`BootEvent`](sparsemem_core::BootEvent)) is not registered, because
    /// it can be neither used nor removed; a block exists as soon as one of its sections does.
    ///
    /// # Errors
    ///
    /// [`AdoptError`]; nothing has changed then.
    pub fn adopt_boot(&mut self, range: PhysRange, node: NodeId) -> Result<(), AdoptError> {
        let resource = self.resources.vacancy(Ram::default().resource(range))?;
        let frames = range.whole_frames::<M::Geometry>();
        check_booted(self.model, range, frames)?;
        self.blocks.adopt(touched_blocks(frames, &self.limits), node)?;
        resource.commit();
        Ok(())
    }

    /// Adds a notifier. Notifiers of higher priority are called first, and those of equal priority in the order of
    /// registration.
    ///
    /// # Errors
    ///
    /// [`ChainError`].
    pub fn register_notifier(&mut self, priority: i32, notifier: &'a dyn Notifier) -> Result<(), ChainError> {
        self.chain.register(priority, notifier)
    }

    /// Removes the notifier of this name.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unknown`].
    pub fn unregister_notifier(&mut self, name: &str) -> Result<(), ChainError> {
        self.chain.unregister(name)
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &'a M {
        self.model
    }

    /// The limits of the machine.
    #[must_use]
    pub const fn limits(&self) -> &Limits<M::Geometry> {
        &self.limits
    }

    /// The memory blocks.
    #[must_use]
    pub const fn blocks(&self) -> &Blocks<'a> {
        &self.blocks
    }

    /// The notifiers.
    #[must_use]
    pub const fn notifiers(&self) -> &Chain<'a> {
        &self.chain
    }

    /// The resources.
    #[must_use]
    pub const fn resources(&self) -> &Resources<'a> {
        &self.resources
    }

    /// The resources, for registering the places that firmware describes: persistent memory, windows, reservations.
    /// Add and remove RAM and devices with the operations of [`Hotplug`]: an entry changed here cannot be removed by
    /// `remove_memory` or `remove_device`.
    pub const fn resources_mut(&mut self) -> &mut Resources<'a> {
        &mut self.resources
    }

    /// The innermost resource around a frame. It distinguishes RAM from a device where they share a section.
    #[must_use]
    pub fn resource_of(&self, pfn: Pfn) -> Option<&Resource> {
        self.resources.at(pfn.phys::<M::Geometry>()?)
    }

    /// True if a frame belongs to a device. Source: Linux `get_dev_pagemap`.
    #[must_use]
    pub fn is_device(&self, pfn: Pfn) -> bool {
        self.resource_of(pfn).is_some_and(|resource| resource.kind == ResourceKind::Device)
    }

    /// The bytes and blocks of RAM that is about to be switched.
    pub(crate) fn ram(&self, frames: PfnRange) -> Result<(PhysRange, BlockSpan), RequestError> {
        let request = Request::new(frames, NodeId::default(), MemoryKind::Ram, &self.limits)?;
        Ok((request.bytes(), request.blocks(self.limits.block)))
    }

    /// The change to announce to notifiers, for blocks that can all be switched in one direction.
    pub(crate) fn change(
        &self,
        span: BlockSpan,
        frames: PfnRange,
        direction: Direction,
    ) -> Result<MemoryChange, BlockError> {
        let node = self.blocks.check_begin(span, direction)?;
        let node_change = match direction {
            _ if self.blocks.node_is_online(node, span) => NodeChange::None,
            Direction::Online => NodeChange::First,
            Direction::Offline => NodeChange::Last,
        };
        Ok(MemoryChange { direction, frames, node, node_change })
    }
}

impl<M: MemoryModel> fmt::Debug for Hotplug<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hotplug")
            .field("model", &self.model.name())
            .field("limits", &self.limits)
            .field("blocks", &self.blocks)
            .field("notifiers", &self.chain)
            .field("resources", &self.resources)
            .finish()
    }
}

/// Refuses frames of boot that are not online in the model.
fn check_booted<M: MemoryModel>(model: &M, range: PhysRange, frames: PfnRange) -> Result<(), AdoptError> {
    let (_, beyond) = frames.split_at(Pfn::new(M::Geometry::MAX_PFN));
    if !beyond.is_empty() {
        return Err(AdoptError::BeyondMaximum { range, beyond });
    }
    for (section, frames) in frames.by_section::<M::Geometry>() {
        let wanted = SubsectionBits::touched::<M::Geometry>(frames).unwrap_or(SubsectionBits::EMPTY);
        if !wanted.difference(model.section(section).online).is_empty() {
            return Err(AdoptError::NotBooted { range, section, frames });
        }
    }
    Ok(())
}

/// The blocks that contain at least one of the frames.
fn touched_blocks<G: Geometry>(frames: PfnRange, limits: &Limits<G>) -> BlockSpan {
    let block = limits.block.frames().get();
    let first = frames.start().get() / block;
    let end = if frames.is_empty() { first } else { frames.end().get().div_ceil(block) };
    BlockSpan::new(BlockNr::new(first), end - first)
}

/// The bytes of frames below the maximum; empty if their addresses do not fit.
pub(crate) fn bytes_or_empty<G: Geometry>(frames: PfnRange) -> PhysRange {
    frames.bytes::<G>().unwrap_or_default()
}
