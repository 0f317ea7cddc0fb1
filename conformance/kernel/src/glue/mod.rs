//! What a kernel writes to run on a memory model: its parts by name, where metadata comes from, and how readers are
//! protected. The backend is chosen by a feature of the `sparsemem` crate, and appears nowhere here.

mod config;
mod grace;
mod provider;

pub(crate) use config::{Array, Kernel, MODEL};
pub(crate) use grace::{Guard, OneProcessor};
pub(crate) use provider::Provider;
