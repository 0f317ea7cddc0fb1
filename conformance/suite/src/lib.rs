//! Scenarios that every memory model has to pass.
//!
//! A scenario is a function over a [`Setting`]: a model that is down, the world around it, and a machine's memory. It
//! boots the model, inspects it, and compares it with an [`Oracle`] that knows only the memory ranges and the
//! geometry's raw numbers. [`ALL`] lists the scenarios, and [`run`] runs one. They need neither `std` nor a host: the
//! same scenarios run inside a kernel that has an `alloc` heap and a [`World`].
//!
//! # Invariants
//!
//! 1. A scenario never asks which backend it has: it asks [`Facts`] what the model says of itself.
//! 2. Every expectation that is not met becomes a [`Failure`] with place, checked value, expected value and found
//!    value.
//! 3. Unsafe code is in modules about one thing that says why: the unchecked lookups under test, the descriptors for
//!    tests, the device whose memory holds its own memmap, the blocks of an environment, and a promise.
//!
//! Numbers such as T-08 refer to the project's list of [facts about Linux][facts].
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod address_space;
mod boot;
mod capabilities;
mod deferred;
mod deferring;
mod facts;
mod failure;
mod lookup;
mod memmap;
mod metered;
mod oracle;
mod plug;
mod provider;
mod registry;
mod sample;
mod scratch;
mod setting;
mod shape;
mod shortage;
mod spare;
mod subject;
mod teardown;
mod unchecked;
mod unsuited;
mod view;
mod walk;
mod world;

pub use address_space::check_flush;
pub use capabilities::{
    ArrayFacts, BringUp, ByAddress, Capabilities, Compounds, Life, MemmapSource, MemoryBack, Reach,
    TableKind, Usages, WayBack,
};
pub use deferring::{Deferral, Deferring};
pub use facts::{Facts, NotRun, Reason, Suits, suits, touched_sections};
pub use failure::{Failure, Place, expect, expect_eq};
pub use metered::Metered;
pub use oracle::{Oracle, numbers, range};
pub use plug::{Memmap, Obstacle, Plug, PlugError, Snapshot, Step};
pub use provider::check_provider;
pub use registry::{ALL, Ended, Scenario, ScenarioFn, Tally, find, run};
pub use sample::{excerpt, frames as sample_frames, sections as sample_sections, spread, valid_frames};
pub use scratch::{OddPage, Scratch, SmallPage};
pub use setting::{Booted, Setting};
pub use shape::Shape;
pub use spare::Spare;
pub use subject::{Booting, NotUp, Pair, Subject};
pub use unsuited::unsuited;
pub use view::{Pages, View};
pub use world::{Balance, Fault, Held, Leaf, World, WorldWithEnvironment};
