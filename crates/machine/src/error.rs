//! The reasons why a machine cannot be made.

use sparsemem_core::{PhysAddr, PhysRange};

/// A request to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostCall {
    /// Create a shared memory object.
    #[error("create a memory object")]
    CreateMemory,
    /// Set the size of that object.
    #[error("size the memory object")]
    SizeMemory,
    /// Reserve a range of virtual addresses.
    #[error("reserve addresses")]
    Reserve,
    /// Map memory.
    #[error("map memory")]
    Map,
}

/// The reason why a machine cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Two ranges of the configuration share bytes.
    #[error("{second} overlaps {first}")]
    Overlap {
        /// The range with the lower start.
        first: PhysRange,
        /// The range with the higher start.
        second: PhysRange,
    },
    /// Physical memory ends beyond what a process of the host can map.
    #[error("memory that ends at {end} does not fit the host's address space; use a smaller machine")]
    TooLarge {
        /// The end of the highest range.
        end: PhysAddr,
    },
    /// The window is larger than the address space of a process.
    #[error("a window of {bytes:#x} bytes does not fit the host's address space; use a smaller one")]
    WindowTooLarge {
        /// The requested size in bytes.
        bytes: u64,
    },
    /// The host refused.
    #[error("the host did not {call} of {bytes:#x} bytes (error number {errno})")]
    Host {
        /// The request.
        call: HostCall,
        /// The number of bytes of the request.
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
