//! DIMMs that come and go: QEMU's memory hot-plug registers.
//!
//! The registers are what the ACPI tables' bytecode works with; a kernel without an interpreter can use them itself. A
//! slot that changed says so in a bit until the kernel clears it, so nothing is lost by looking now and then.
//!
//! Source: QEMU `docs/specs/acpi_mem_hotplug.rst`.
//!
//! # Invariants
//!
//! 1. There is one [`Slots`]: selecting a slot and reading its registers are two accesses, which nobody comes between.
//! 2. One write to the control register does one thing: the device looks at the first bit that it knows.

mod registers;
mod slot;

pub(crate) use slot::{Change, Dimm, SlotError, Slots};
