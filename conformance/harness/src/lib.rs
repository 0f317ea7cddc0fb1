//! The conformance suite for a crate that defines a memory model: every scenario becomes a test of that crate.
//!
//! The README of this crate is the guide: it goes through the smallest complete model and the contracts one by one.
//!
//! ```
//! use sparsemem_core::presets::X86_64;
//! use sparsemem_core::Page;
//! use sparsemem_flat::Flat;
//! use sparsemem_harness::{Capabilities, Host, HostRcu, Verdict};
//!
//! /// The domain of the readers of the model under test.
//! enum Readers {}
//!
//! fn flat(host: Host) -> Verdict {
//!     host.hotplug(|_| (Box::<Flat<X86_64, Page, HostRcu<Readers>>>::default(), Capabilities::LEAST))
//! }
//!
//! // In `tests/conformance.rs`; `cargo test boot::` runs the scenarios of boot.
//! sparsemem_harness::tests!(flat);
//! ```
//!
//! [`Capabilities`] says what the model can do beside what every model must; each of them names the scenarios that depend
//! on it. The scenarios run on each of [`MACHINES`]; a scenario that does not apply prints why (`--nocapture`). The
//! recordings of Linux run on the machine that each was recorded on, for models that keep what Linux keeps for each
//! section ([`Capabilities::usages`]).
//! A failure names the contract that was broken, and the command that runs the test again.
#![deny(unsafe_code)]

mod check;
mod grace;
mod host;
mod machines;
mod own;
mod recorded;
mod room;
mod world;

pub use check::{check, check_recording};
pub use grace::check_grace_period;
pub use host::{Host, Verdict, window};
pub use machines::{MACHINES, TestMachine};
pub use own::OwnWorld;
pub use room::Room;
pub use sparsemem_machine::{HostRcu, Machine, place};
pub use sparsemem_suite::{
    ArrayFacts, BringUp, ByAddress, Capabilities, Failure, MemmapSource, MemoryBack, Metered, Reach, Scratch,
    TableKind, Usages, WayBack, check_flush, check_provider,
};
pub use world::HostWorld;

/// Used by [`tests!`].
#[doc(hidden)]
pub use {sparsemem_replay::each_recording, sparsemem_suite::each_scenario};

/// Declares a test for every scenario of the suite: `boot::words`, `hotplug::every_failure`, and so on, and for every recording of
/// Linux that is in the package: `linux::dimm_1g`. The argument is the name of a function that gives a model to a [`Host`].
#[macro_export]
macro_rules! tests {
    ($subject:ident) => {
        $crate::each_scenario!($crate::one_test_each { $subject });
        $crate::each_recording!($crate::one_test_per_recording { $subject });
    };
}

/// The tests of [`tests!`] from the list of scenarios.
#[doc(hidden)]
#[macro_export]
macro_rules! one_test_each {
    ({ $subject:ident } $($topic:ident { $($test:ident $name:literal)* })*) => {
        $(mod $topic {
            $(#[test]
            fn $test() {
                $crate::check($name, ::core::concat!(::core::module_path!(), "::", ::core::stringify!($test)), super::$subject);
            })*
        })*
    };
}

/// The tests of [`tests!`] from the list of recordings.
#[doc(hidden)]
#[macro_export]
macro_rules! one_test_per_recording {
    ({ $subject:ident } $($test:ident $name:literal)*) => {
        mod linux {
            $(#[test]
            fn $test() {
                let test = ::core::concat!(::core::module_path!(), "::", ::core::stringify!($test));
                $crate::check_recording($name, test, super::$subject);
            })*
        }
    };
}

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
