//! What a PVH loader and ACPI tables say of the machine.

use sparsemem::{NodeId, PhysAddr, PhysRange};

use super::acpi::{self, TableError};
use super::start_info::{StartInfo, StartInfoError};
use crate::handover::{CommandLine, MapEntry};

/// Where the nodes of memory are described, in words.
pub(crate) const NODES: &str = "the SRAT";

/// Why the description of the machine is not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirmwareError {
    /// The loader's information is not valid.
    #[error(transparent)]
    StartInfo(#[from] StartInfoError),
    /// A table is broken.
    #[error("firmware: {0}; nothing is known for sure of memory and nodes then")]
    Table(#[from] TableError),
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

    /// The memory map, without entries that are not ranges.
    pub(crate) fn memory_map(&self) -> impl Iterator<Item = MapEntry> + Clone {
        self.0.memory_map()
    }

    /// The part of RAM that holds the description itself: none, because it lies below the image and outside RAM.
    #[allow(clippy::unused_self, reason = "other boards have theirs in RAM")]
    pub(crate) fn place(&self) -> PhysRange {
        PhysRange::default()
    }

    /// Reports the node of each range for which there is one.
    ///
    /// # Errors
    ///
    /// [`FirmwareError::Table`] if the SRAT is broken.
    pub(crate) fn nodes(&self, report: &mut dyn FnMut(PhysRange, NodeId)) -> Result<(), FirmwareError> {
        self.0.rsdp().map_or(Ok(()), |rsdp| acpi::srat_memory(rsdp, report)).map_err(Into::into)
    }

    /// The first range of persistent memory, with its node.
    ///
    /// # Errors
    ///
    /// [`FirmwareError::Table`] if the NFIT is broken.
    pub(crate) fn persistent(&self) -> Result<Option<(PhysRange, NodeId)>, FirmwareError> {
        self.0.rsdp().map_or(Ok(None), acpi::nfit_persistent).map_err(Into::into)
    }
}
