#![cfg_attr(feature = "transport", doc = include_str!("../README.md"))]
//!
//! # Invariants
//!
//! 1. **All or nothing.** Whatever is refused while a run of blocks is plugged or unplugged (an allocation, a mapping, a
//!    notifier, the allocator, the device), model, device and allocator have the same memory afterwards, and it is the
//!    memory that they had before.
//! 2. **Only plugged memory is accessed**, by this crate and by an allocator that [keeps off](KeepsOff). The device is
//!    asked to plug when all else is ready, and to unplug when nobody uses the memory.
//! 3. **One record.** A block is plugged if the model has its frames. When there was no answer from the device, the
//!    blocks are not used until it says what their state is.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod asking;
mod config;
mod device;
mod driver;
mod error;
mod protocol;
mod select;
#[cfg(feature = "transport")]
mod transport;

pub use asking::KeepsOff;
pub use config::{Config, ConfigError, Features, Field};
pub use device::{Device, DeviceRefused, Fault, Refusal};
pub use driver::{Kernel, Resized, VirtioMem};
pub use error::{AttachError, Error};
pub use protocol::{Answer, Garbled, Request, Run, State};
#[cfg(feature = "transport")]
pub use transport::VirtioDevice;
