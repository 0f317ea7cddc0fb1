//! Tests of hotplug, on every backend.

mod bad_input;
mod boot_memory;
mod calls_back;
mod common;
mod descriptors;
mod device_ram;
mod failures;
mod hosting;
mod listeners;
mod lost_blocks;
mod nodes;
mod order;
mod parts;
mod random;
mod send;
mod tables;
mod texts;
mod unwinding;
mod vectors;
mod withheld;
