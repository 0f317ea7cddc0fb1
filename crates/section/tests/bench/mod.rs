//! The bench of the loom tests: memory whose use is checked, domains of readers, and the scenarios.
//!
//! The tests of several crates include it by path: each brings models of its own ([`Subject`]) and gets every scenario
//! for them ([`scenarios!`](crate::scenarios)).

pub(crate) mod domain;
pub(crate) mod ledger;
pub(crate) mod mapping;
pub(crate) mod memory;
pub(crate) mod race;
pub(crate) mod scenarios;

use sparsemem_core::presets::Minute;
use sparsemem_core::{BootModel, GracePeriod, InstallModel, MarkModel, MemoryModel, RetireModel};

/// A model under test, with the environment that its slow calls get.
pub(crate) trait Subject: 'static {
    /// What slow calls get; several are several views of the same memory.
    type Env;
    /// The model.
    type Model: BootModel<Self::Env>
        + InstallModel<Self::Env>
        + MarkModel
        + MemoryModel<Geometry = Minute, Reclaim: GracePeriod>
        + RetireModel<Self::Env>
        + Send
        + Sync
        + 'static;

    /// A model without sections, at the beginning of an execution.
    fn model() -> Self::Model;

    /// An environment for it.
    fn env() -> Self::Env;
}

/// The domain of a subject's readers.
pub(crate) type DomainOf<S> = <<S as Subject>::Model as MemoryModel>::Reclaim;
