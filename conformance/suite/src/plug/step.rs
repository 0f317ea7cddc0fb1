//! The operations on a plugged model, and their errors.

use sparsemem_altmap::AltmapError;
use sparsemem_core::{CompoundOrder, LostBlocks, PfnRange, RefoldError};
use sparsemem_hotplug::{AddDeviceError, AddMemoryError, OfflineError, OnlineError, RemoveError};

/// The source of an added range's memmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memmap {
    /// RAM.
    Ram,
    /// The altmap of the world's device.
    Altmap,
}

/// One operation on a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Adds RAM, which is offline afterwards.
    AddMemory(PfnRange, Memmap),
    /// Removes RAM that is offline.
    RemoveMemory(PfnRange, Memmap),
    /// Brings RAM online.
    Online(PfnRange),
    /// Takes RAM offline.
    Offline(PfnRange),
    /// Adds a device.
    AddDevice(PfnRange, Memmap),
    /// Adds a device whose memory is used as compounds of an order, with its memmap from RAM.
    AddCompounds(PfnRange, CompoundOrder),
    /// Removes a device.
    RemoveDevice(PfnRange, Memmap),
    /// Folds compounds of an order, while their memory is up.
    Fold(PfnRange, CompoundOrder),
    /// Unfolds them.
    Unfold(PfnRange, CompoundOrder),
}

impl Step {
    /// The opposite step; a device that was removed comes back in base pages.
    #[must_use]
    pub const fn back(self) -> Self {
        match self {
            Self::AddMemory(frames, memmap) => Self::RemoveMemory(frames, memmap),
            Self::RemoveMemory(frames, memmap) => Self::AddMemory(frames, memmap),
            Self::Online(frames) => Self::Offline(frames),
            Self::Offline(frames) => Self::Online(frames),
            Self::AddDevice(frames, memmap) => Self::RemoveDevice(frames, memmap),
            Self::AddCompounds(frames, _) => Self::RemoveDevice(frames, Memmap::Ram),
            Self::RemoveDevice(frames, memmap) => Self::AddDevice(frames, memmap),
            Self::Fold(frames, order) => Self::Unfold(frames, order),
            Self::Unfold(frames, order) => Self::Fold(frames, order),
        }
    }

    /// True if the step gives metadata back, so that adding the memory again may use other metadata.
    #[must_use]
    pub const fn is_removal(self) -> bool {
        matches!(self, Self::RemoveMemory(..) | Self::RemoveDevice(..))
    }
}

/// The reason why a step was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlugError {
    /// RAM was not added.
    #[error(transparent)]
    AddMemory(#[from] AddMemoryError),
    /// A device was not added.
    #[error(transparent)]
    AddDevice(#[from] AddDeviceError),
    /// Memory was not removed.
    #[error(transparent)]
    Removal(#[from] RemoveError),
    /// RAM did not come online.
    #[error(transparent)]
    Online(#[from] OnlineError),
    /// RAM did not go offline.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// Compounds were not folded or unfolded.
    #[error(transparent)]
    Refold(#[from] RefoldError),
    /// Another writer has the model.
    #[error("another operation of the model is running")]
    Busy,
    /// The altmap does not fit the added memory.
    #[error(transparent)]
    Altmap(#[from] AltmapError),
    /// The world has no device.
    #[error("the world has no device for an altmap")]
    NoDevice,
    /// The memory was removed, but the environment did not take all metadata back.
    #[error("the memory was removed{0}")]
    Lost(LostBlocks),
}
