//! The description of the machine by a PVH loader and ACPI tables.

use sparsemem::{NodeId, PhysAddr, PhysRange};
use sparsemem_boot_maps::{BootMap, MapError};

use super::acpi::{self, TableError};
use super::start_info::{StartInfo, StartInfoError};
use crate::handover::CommandLine;
use crate::processors::HardwareId;

/// The source of the nodes of memory, in words.
pub(crate) const NODES: &str = "the SRAT";

/// The reason why the description of the machine is not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirmwareError {
    /// The loader's information is not valid.
    #[error(transparent)]
    StartInfo(#[from] StartInfoError),
    /// A table is broken.
    #[error("firmware: {0}; nothing is known for sure of memory and nodes then")]
    Table(#[from] TableError),
    /// The memory map or the SRAT is broken, or there are too many ranges.
    #[error("firmware: {0}; nothing is known for sure of memory and nodes then")]
    Map(#[from] MapError),
}

/// The description of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Firmware(StartInfo);

impl Firmware {
    /// Reads what the loader left, at the address that entry code got.
    ///
    /// # Errors
    ///
    /// [`FirmwareError`].
    pub(crate) fn read(handed_over: PhysAddr) -> Result<Self, FirmwareError> {
        Ok(Self(StartInfo::at(handed_over)?))
    }

    /// The command line; empty if there is none, or if it is not valid text.
    pub(crate) fn command_line(&self) -> CommandLine {
        self.0.command_line()
    }

    /// Adds the memory map, and the nodes if there are any.
    ///
    /// # Errors
    ///
    /// [`FirmwareError::Map`], [`FirmwareError::Table`] if a table on the path to the SRAT is broken.
    pub(crate) fn add_to(&self, map: &mut BootMap<'_>) -> Result<(), FirmwareError> {
        map.add_pvh(self.0.memory_map())?;
        let srat = self.0.rsdp().map_or(Ok(None), acpi::srat)?;
        srat.map_or(Ok(()), |table| map.add_srat(table)).map_err(Into::into)
    }

    /// The part of RAM that holds the description itself: none, because it lies below the image and outside RAM.
    #[allow(clippy::unused_self, reason = "other boards have theirs in RAM")]
    pub(crate) fn place(&self) -> PhysRange {
        PhysRange::default()
    }

    /// The first range of persistent memory, with its node.
    ///
    /// # Errors
    ///
    /// [`FirmwareError::Table`] if the NFIT is broken.
    pub(crate) fn persistent(&self) -> Result<Option<(PhysRange, NodeId)>, FirmwareError> {
        self.0.rsdp().map_or(Ok(None), acpi::nfit_persistent).map_err(Into::into)
    }

    /// Reports every processor, the calling one among them.
    ///
    /// # Errors
    ///
    /// [`FirmwareError::Table`] if the MADT is broken.
    pub(crate) fn processors(&self, report: &mut dyn FnMut(HardwareId)) -> Result<(), FirmwareError> {
        self.0.rsdp().map_or(Ok(()), |rsdp| acpi::madt_processors(rsdp, report)).map_err(Into::into)
    }
}
