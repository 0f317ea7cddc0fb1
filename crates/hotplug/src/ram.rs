//! Adds RAM, in whole memory blocks. They are offline at first.

use sparsemem_core::{
    InstallError, InstallModel, MemoryModel, NodeId, PageCount, PfnRange, PhysRange, RetireModel, Writer,
};

use crate::{
    BlockError, Hotplug, MemoryKind, Merge, Request, RequestError, Resource, ResourceError, ResourceKind, add,
};

/// The name of RAM for which the caller gives none.
const NAME: &str = "System RAM";

/// A resource name that is not a name for RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is not a name for RAM; use the form \"System RAM (DRIVER)\", which tools look for")]
pub struct BadName {
    /// The name.
    pub name: &'static str,
}

/// The way in which added RAM is registered: its name, whether its resource merges, and the frames that host its
/// memmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ram {
    name: &'static str,
    merge: Merge,
    memmap: PageCount,
}

impl Default for Ram {
    /// The resource is called `System RAM` and does not merge.
    fn default() -> Self {
        Self { name: NAME, merge: Merge::Separate, memmap: PageCount::new(0) }
    }
}

impl Ram {
    /// RAM that belongs to a driver, by a name such as `System RAM (kmem)`.
    ///
    /// Source: Linux `add_memory_driver_managed` (H-10).
    ///
    /// # Errors
    ///
    /// [`BadName`] if the name does not have that form.
    ///
    /// # Examples
    ///
    /// ```
    /// use sparsemem_hotplug::Ram;
    ///
    /// assert!(Ram::driver_managed("System RAM (kmem)").is_ok());
    /// assert!(Ram::driver_managed("System RAM").is_err());
    /// ```
    pub fn driver_managed(name: &'static str) -> Result<Self, BadName> {
        let driver = name.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(" (")?.strip_suffix(')'));
        match driver {
            Some(driver) if !driver.is_empty() => Ok(Self { name, ..Self::default() }),
            _ => Err(BadName { name }),
        }
    }

    /// Allows the resource to merge with neighbours that allow it too.
    #[must_use]
    pub const fn merging(self) -> Self {
        Self { merge: Merge::Allowed, ..self }
    }

    /// RAM whose first `memmap` frames hold its own memmap, so that adding it takes almost no other RAM. No allocator
    /// gets these frames. The environment of the call must place the memmap there, as an environment with an altmap
    /// does; with any other environment the frames are unused.
    ///
    /// Such RAM is added block by block, each with its own memmap, so that each block can be removed without the
    /// others. Source: Linux `memmap_on_memory` (A-24, A-25).
    #[must_use]
    pub const fn hosting(self, memmap: PageCount) -> Self {
        Self { memmap, ..self }
    }

    /// The resource of a range.
    pub(crate) const fn resource(self, range: PhysRange) -> Resource {
        Resource { range, kind: ResourceKind::SystemRam, name: self.name, merge: self.merge }
    }
}

/// The reason why RAM was not added. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddMemoryError {
    /// Another writer has the model.
    #[error("cannot add {frames}: another operation of this model is running; try again when it has ended")]
    Busy {
        /// The range that was given.
        frames: PfnRange,
    },
    /// The range is not valid for RAM.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A resource has some of the addresses already.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// Some memory blocks exist already, or the table has no room.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// RAM that hosts its own memmap has more than one memory block.
    #[error(
        "{frames} cannot host its own memmap: it is not one memory block of {block}; add it block by block"
    )]
    SeveralHosts {
        /// The range that was given.
        frames: PfnRange,
        /// Frames of a block.
        block: PageCount,
    },
    /// The memmap would take all of the RAM that hosts it.
    #[error(
        "{frames} cannot host its own memmap: {memmap} for it leave no usable frame; keep the memmap elsewhere"
    )]
    NothingLeft {
        /// The range that was given.
        frames: PfnRange,
        /// Frames for the memmap.
        memmap: PageCount,
    },
    /// The model does not take the memory.
    #[error("cannot add {frames}: {why}")]
    Install {
        /// The range that was given.
        frames: PfnRange,
        /// The part that failed, and the reason.
        why: InstallError,
    },
}

/// Refuses RAM that is to host its own memmap and cannot.
fn check_hosting(ram: Ram, frames: PfnRange, block: PageCount) -> Result<(), AddMemoryError> {
    let memmap = ram.memmap;
    if memmap.get() > 0 && frames.count() != block {
        return Err(AddMemoryError::SeveralHosts { frames, block });
    }
    if memmap >= frames.count() {
        return Err(AddMemoryError::NothingLeft { frames, memmap });
    }
    Ok(())
}

impl<M: MemoryModel> Hotplug<'_, M> {
    /// Adds RAM: its blocks exist and are offline, its frames have descriptors, and lookups find them.
    ///
    /// Source: Linux `add_memory_resource` (H-11 to H-17). Differs from Linux: a failed call changes nothing; there
    /// the sections before the failing one stay (H-02).
    ///
    /// # Errors
    ///
    /// [`AddMemoryError`]; nothing has changed then.
    pub fn add_memory<E>(
        &mut self,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        ram: Ram,
    ) -> Result<(), AddMemoryError>
    where
        M: InstallModel<E> + RetireModel<E>,
    {
        let mut writer = self.model.write().ok_or(AddMemoryError::Busy { frames })?;
        self.add_ram(&mut writer, env, frames, node, ram)
    }

    /// [`add_memory`](Self::add_memory) for a caller that has the writer.
    pub(crate) fn add_ram<E>(
        &mut self,
        writer: &mut Writer<'_, M>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        ram: Ram,
    ) -> Result<(), AddMemoryError>
    where
        M: InstallModel<E> + RetireModel<E>,
    {
        let request = Request::new(frames, node, MemoryKind::Ram, &self.limits)?;
        check_hosting(ram, frames, self.limits.block.frames())?;
        let resource = self.resources.vacancy(ram.resource(request.bytes()))?;
        let blocks = self.blocks.vacancy(request.blocks(self.limits.block), node)?.hosting(ram.memmap);
        add(writer, env, &request).map_err(|why| AddMemoryError::Install { frames, why })?;
        blocks.commit();
        resource.commit();
        self.resources.merge(request.bytes());
        Ok(())
    }
}
