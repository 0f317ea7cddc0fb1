//! The memory of a device as RAM: the whole memory blocks of each of its ranges, all of them or none.
//!
//! A device's ranges begin and end anywhere, and RAM consists of memory blocks. What lies before the first whole block and
//! after the last one is left unused. Source: Linux `dev_dax_kmem_probe` and `dev_dax_kmem_remove`. Differs from Linux:
//! there a range that fails is left out if another one succeeded, and at the removal, ranges that are online stay alone.

use sparsemem_core::{
    InstallModel, LostBlocks, MemoryModel, NodeId, PageCount, PfnRange, RetireModel, Writer, trace_event,
};

use crate::{AddMemoryError, Hotplug, Ram, RemoveError, ResourceKind};

/// The reason why the memory of a device did not become RAM, or did not cease to be RAM. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceRamError {
    /// Another writer has the model.
    #[error(
        "cannot change the memory of a device: another operation of this model is running; try again when it has ended"
    )]
    Busy,
    /// No range has a whole memory block.
    #[error("the device has no whole memory block of {block}; keep its memory as a device's")]
    NoWholeBlock {
        /// Frames of a memory block.
        block: PageCount,
    },
    /// Two ranges share a memory block.
    #[error("{first} and {second} of the device share memory; give each frame once")]
    Overlap {
        /// One range.
        first: PfnRange,
        /// The other range.
        second: PfnRange,
    },
    /// A range does not become RAM.
    #[error(transparent)]
    Add(#[from] AddMemoryError),
    /// A range does not cease to be RAM.
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

impl<M: MemoryModel> Hotplug<'_, M> {
    /// Adds the whole memory blocks of a device's ranges as RAM. They are offline at first.
    ///
    /// The model must not have the memory as a device's at the same time: call
    /// [`remove_device`](Self::remove_device) before.
    ///
    /// # Errors
    ///
    /// [`DeviceRamError`]; nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use sparsemem_core::{InstallModel, NodeId, PfnRange, RetireModel};
    /// use sparsemem_hotplug::{DeviceRamError, Hotplug, Ram};
    ///
    /// /// A driver for memory that is slower than RAM, and better than none.
    /// fn bind<M, E>(hotplug: &mut Hotplug<'_, M>, env: &mut E, device: &[PfnRange]) -> Result<(), DeviceRamError>
    /// where
    ///     M: InstallModel<E> + RetireModel<E>,
    /// {
    ///     let ram = Ram::driver_managed("System RAM (kmem)").unwrap_or_default();
    ///     hotplug.add_device_ram(env, device, NodeId::new(1), ram)
    /// }
    /// ```
    pub fn add_device_ram<E>(
        &mut self,
        env: &mut E,
        device: &[PfnRange],
        node: NodeId,
        ram: Ram,
    ) -> Result<(), DeviceRamError>
    where
        M: InstallModel<E> + RetireModel<E>,
    {
        self.check_ranges(device)?;
        let mut writer = self.model.write().ok_or(DeviceRamError::Busy)?;
        let mut added = AddedRanges { hotplug: self, writer: &mut writer, env, device, count: 0 };
        for range in device {
            added.add(*range, node, ram)?;
        }
        added.count = 0;
        Ok(())
    }

    /// Removes the RAM that the same ranges became. All of it has to be offline.
    ///
    /// Returns the metadata blocks that the environment refused.
    ///
    /// # Errors
    ///
    /// [`DeviceRamError`], naming the obstacle; nothing has changed then.
    pub fn remove_device_ram<E>(
        &mut self,
        env: &mut E,
        device: &[PfnRange],
    ) -> Result<LostBlocks, DeviceRamError>
    where
        M: RetireModel<E>,
    {
        self.check_ranges(device)?;
        let mut writer = self.model.write().ok_or(DeviceRamError::Busy)?;
        let mut lost = LostBlocks::default();
        let mut wanted = 0;
        for blocks in self.whole_blocks(device) {
            wanted += self.check_removal(&mut writer, env, blocks)?;
        }
        self.resources.check_room(wanted).map_err(RemoveError::from)?;
        for blocks in self.whole_blocks(device) {
            let removed = self.remove_range(&mut writer, env, blocks, ResourceKind::SystemRam)?;
            lost.add(removed.lost);
        }
        Ok(lost)
    }

    /// The whole blocks of each range that has some.
    fn whole_blocks<'d>(
        &self,
        device: &'d [PfnRange],
    ) -> impl Iterator<Item = PfnRange> + Clone + use<'d, M> {
        let block = self.limits.block;
        device.iter().map(move |range| block.whole_blocks(*range)).filter(|blocks| !blocks.is_empty())
    }

    /// Refuses ranges without a whole block, and ranges that share one.
    fn check_ranges(&self, device: &[PfnRange]) -> Result<(), DeviceRamError> {
        let mut rest = self.whole_blocks(device);
        if rest.clone().next().is_none() {
            return Err(DeviceRamError::NoWholeBlock { block: self.limits.block.frames() });
        }
        while let Some(first) = rest.next() {
            if let Some(second) = rest.clone().find(|range| range.overlaps(first)) {
                return Err(DeviceRamError::Overlap { first, second });
            }
        }
        Ok(())
    }
}

/// Ranges that were added. Dropping this removes the first `count` of them, the last one first.
struct AddedRanges<'a, 'h, 'w, M: RetireModel<E>, E> {
    hotplug: &'a mut Hotplug<'h, M>,
    writer: &'a mut Writer<'w, M>,
    env: &'a mut E,
    device: &'a [PfnRange],
    count: usize,
}

impl<M: RetireModel<E>, E> AddedRanges<'_, '_, '_, M, E> {
    fn add(&mut self, range: PfnRange, node: NodeId, ram: Ram) -> Result<(), AddMemoryError>
    where
        M: InstallModel<E>,
    {
        let blocks = self.hotplug.limits.block.whole_blocks(range);
        if !blocks.is_empty() {
            self.hotplug.add_ram(self.writer, self.env, blocks, node, ram)?;
        }
        self.count += 1;
        Ok(())
    }
}

impl<M: RetireModel<E>, E> Drop for AddedRanges<'_, '_, '_, M, E> {
    fn drop(&mut self) {
        let Self { hotplug, writer, env, device, count } = self;
        for range in device.iter().take(*count).rev() {
            let blocks = hotplug.limits.block.whole_blocks(*range);
            if !blocks.is_empty() {
                let removed = hotplug.remove_range(writer, *env, blocks, ResourceKind::SystemRam);
                debug_assert!(removed.is_ok(), "RAM that was added under this writer: {removed:?}");
                let lost = removed.map(|removed| removed.lost).unwrap_or_default();
                if !lost.is_empty() {
                    trace_event!(WARN, "undoing an addition{lost}");
                }
            }
        }
    }
}
