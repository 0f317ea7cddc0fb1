//! Why a machine cannot be made.

use sparsemem_core::{PhysAddr, PhysRange};

/// What the host was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostCall {
    /// A shared memory object.
    #[error("create a memory object")]
    CreateMemory,
    /// The size of that object.
    #[error("size the memory object")]
    SizeMemory,
    /// A range of virtual addresses.
    #[error("reserve addresses")]
    Reserve,
    /// A mapping of memory.
    #[error("map memory")]
    Map,
}

/// Why a machine cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Two ranges of the configuration share bytes.
    #[error("{second} overlaps {first}")]
    Overlap {
        /// The range with the lower start.
        first: PhysRange,
        /// The other one.
        second: PhysRange,
    },
    /// Physical memory ends beyond what a process of the host can map.
    #[error("memory that ends at {end} does not fit the host's address space")]
    TooLarge {
        /// The end of the highest range.
        end: PhysAddr,
    },
    /// The window is larger than the address space of a process.
    #[error("a window of {bytes:#x} bytes does not fit the host's address space")]
    WindowTooLarge {
        /// The size that was asked for.
        bytes: u64,
    },
    /// The host refused.
    #[error("the host did not {call} of {bytes:#x} bytes (error number {errno})")]
    Host {
        /// What it was asked for.
        call: HostCall,
        /// How many bytes it was about.
        bytes: u64,
        /// The host's error number.
        errno: i32,
    },
}

impl MachineError {
    /// The host's refusal of `call` for `bytes` bytes.
    pub(crate) fn host(call: HostCall, bytes: u64) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::Host { call, bytes, errno: errno.raw_os_error() }
    }
}
