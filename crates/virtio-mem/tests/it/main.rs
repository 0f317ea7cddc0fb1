//! Tests of the driver, on every backend, with the device of the simulated machine.

mod bad_devices;
mod broken_models;
mod common;
mod failures;
mod life;
mod must_stay;
mod recorded;

mod shapes;
mod unwinding;
