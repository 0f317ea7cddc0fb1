//! The processor and its board: all that differs between the processors that this kernel boots on.
//!
//! The target chooses one folder. Every folder has the same items, and no other file of this kernel asks for the
//! target:
//!
//! | item | what it is |
//! |---|---|
//! | `Sizes` | the geometry of the model |
//! | `DIRECT_MAP`, `MAPPED_AT_ENTRY` | where the direct map begins, and which physical addresses entry code maps there |
//! | `ARRAY`, `SCENARIOS_ARRAY` | where the arrays of a virtual memmap begin: the kernel's, and that of the scenarios' model |
//! | `page_table` | the root table, the bits of entries, and the processor's cache of translations |
//! | `trap` | traps, and loads and stores that may fault |
//! | `processors` | which processor runs, how others are started, interrupted, and made to forget translations |
//! | `serial` | the serial port |
//! | `firmware` | what loader and firmware hand over |
//! | `hotplug` | the registers of slots for DIMMs, and the place of DIMMs that firmware says nothing of |
//! | `pci` | the configuration of PCI devices |
//! | `exit`, `ticks` | the end of the emulator, and a clock |
//! | `firmware_call`, `ticks_per_second` | where firmware starts processors: the call by which it does, and the clock's speed |
//!
//! Entry code, in assembly, prepares page tables and a stack, and then calls `kernel_main`; on every other processor it
//! calls `secondary_main`.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;

#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "riscv64")]
pub(crate) use riscv64::*;

/// Shared by all of them.
mod may_fault;

/// Shared by the boards that have one.
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
pub(crate) mod device_tree;

/// Shared by the boards where firmware starts processors.
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
mod by_firmware;

/// Shared by the boards whose PCI devices the kernel does not use.
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
pub(crate) mod no_pci;
