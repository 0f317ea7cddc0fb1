//! What can be done to a plugged model, and how it can fail.

use sparsemem_altmap::AltmapError;
use sparsemem_core::{LostBlocks, PfnRange};
use sparsemem_hotplug::{AddDeviceError, AddMemoryError, OfflineError, OnlineError, RemoveError};

/// Where the memmap of what is added comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memmap {
    /// From RAM.
    Ram,
    /// From the altmap of the world's device.
    Altmap,
}

/// One operation on a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// RAM comes, offline.
    AddMemory(PfnRange, Memmap),
    /// RAM that is offline goes.
    RemoveMemory(PfnRange, Memmap),
    /// RAM goes online.
    Online(PfnRange),
    /// RAM goes offline.
    Offline(PfnRange),
    /// A device comes.
    AddDevice(PfnRange, Memmap),
    /// A device goes.
    RemoveDevice(PfnRange, Memmap),
}

impl Step {
    /// The step that leads back.
    #[must_use]
    pub const fn back(self) -> Self {
        match self {
            Self::AddMemory(frames, memmap) => Self::RemoveMemory(frames, memmap),
            Self::RemoveMemory(frames, memmap) => Self::AddMemory(frames, memmap),
            Self::Online(frames) => Self::Offline(frames),
            Self::Offline(frames) => Self::Online(frames),
            Self::AddDevice(frames, memmap) => Self::RemoveDevice(frames, memmap),
            Self::RemoveDevice(frames, memmap) => Self::AddDevice(frames, memmap),
        }
    }

    /// Whether metadata goes back, which may come again from elsewhere.
    #[must_use]
    pub const fn is_removal(self) -> bool {
        matches!(self, Self::RemoveMemory(..) | Self::RemoveDevice(..))
    }
}

/// Why a step was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlugError {
    /// RAM did not come.
    #[error(transparent)]
    AddMemory(#[from] AddMemoryError),
    /// A device did not come.
    #[error(transparent)]
    AddDevice(#[from] AddDeviceError),
    /// Memory did not go.
    #[error(transparent)]
    Removal(#[from] RemoveError),
    /// RAM did not go online.
    #[error(transparent)]
    Online(#[from] OnlineError),
    /// RAM did not go offline.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The altmap does not fit what is added.
    #[error(transparent)]
    Altmap(#[from] AltmapError),
    /// The world has no device.
    #[error("there is no device to take an altmap from")]
    NoDevice,
    /// It happened, but the environment did not take metadata back.
    #[error("it went{0}")]
    Lost(LostBlocks),
}
