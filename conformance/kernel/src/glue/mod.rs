//! The code that a kernel writes to run on a memory model: its configuration, its environment, and its protection of
//! readers. A feature of the `sparsemem` crate selects the backend, which is not named here.

mod config;
mod grace;
mod provider;

pub(crate) use config::{Array, Kernel, MODEL};
pub(crate) use grace::{Guard, Readers};
pub(crate) use provider::{POISON, Provider};
