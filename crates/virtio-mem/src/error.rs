//! The reasons why an operation of the driver failed.

use sparsemem_core::{ByteLen, PageCount, PfnRange, PhysRange};
use sparsemem_hotplug::{AddMemoryError, PartError};

use crate::{DeviceRefused, Fault, Refusal, State};

/// The reason why a driver cannot be made for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// One request cannot name all blocks of a subsection.
    #[error("the device has blocks of {block}: one request cannot name all of a subsection of {subsection}")]
    TinyBlocks {
        /// The device's blocks.
        block: ByteLen,
        /// A subsection.
        subsection: ByteLen,
    },
    /// No whole unit of the region can be memory of this machine.
    #[error(
        "{region} has no memory that this machine can use: it addresses {addressable}, in units of {unit}"
    )]
    NothingUsable {
        /// The device's region.
        region: PhysRange,
        /// The frames that the machine can address.
        addressable: PfnRange,
        /// Frames that are plugged together: a block of the device, or a subsection.
        unit: PageCount,
    },
}

/// The reason why the driver did not do what it was asked for.
///
/// An operation on one range has changed nothing then. [`resize`](crate::VirtioMem::resize) and
/// [`unplug_all`](crate::VirtioMem::unplug_all) consist of many such operations: those before the failing one stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device does not tell its configuration.
    #[error(transparent)]
    Config(#[from] Fault),
    /// The device changed what must not change while a driver has it.
    #[error("the device has its region at {now}, and had it at {then}, or other blocks; make a new driver")]
    Changed {
        /// The region when the driver was made.
        then: PhysRange,
        /// The region now.
        now: PhysRange,
    },
    /// The device refuses.
    #[error(transparent)]
    Device(#[from] DeviceRefused),
    /// The kernel does not take the memory, or does not let it go.
    #[error(transparent)]
    Kernel(#[from] PartError),
    /// The range is not what the driver plugs.
    #[error(
        "{frames} is not in the usable part of {region}, or not of whole units of {unit} that one request can name"
    )]
    NotUnits {
        /// The range that was given.
        frames: PfnRange,
        /// The frames that the driver may plug.
        region: PfnRange,
        /// Frames that are plugged together.
        unit: PageCount,
    },
    /// Device and model do not have the same memory.
    #[error("{frames} is {device} in the device, and {model} in the model")]
    Disagree {
        /// The lowest frames in which they differ.
        frames: PfnRange,
        /// The state in the model.
        model: State,
        /// The state in the device.
        device: State,
    },
    /// Device and model do not have the same amount of memory.
    #[error("the device has {device} plugged, and the model {model}; compare them with `verify`")]
    Sizes {
        /// The bytes in the model.
        model: ByteLen,
        /// The bytes in the device.
        device: ByteLen,
    },
    /// The model refused to retire frames after it had said that it would. The device has them no more, and the
    /// allocator does not either; the model still has descriptors of them.
    #[error("{frames} is unplugged and could not be removed from the model, which breaks its contract")]
    Stranded {
        /// The frames.
        frames: PfnRange,
    },
}

impl Error {
    /// True if the same call may succeed later, without anybody changing anything: the device is busy, or another
    /// operation has the model.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        match self {
            Self::Device(refused) => matches!(refused.why, Refusal::Busy),
            Self::Kernel(why) => why.is_busy(),
            _ => false,
        }
    }

    /// True if other frames may still be plugged or unplugged: these are those of another owner, or stay in use.
    pub(crate) const fn is_about_frames(&self) -> bool {
        match self {
            Self::Kernel(PartError::Add(why)) => {
                matches!(why, AddMemoryError::Block(_) | AddMemoryError::Resource(_))
            }
            Self::Kernel(PartError::Offline(_) | PartError::Remove(_)) => !self.is_busy(),
            _ => false,
        }
    }
}
