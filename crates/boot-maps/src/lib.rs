//! Makes the ranges that a memory model boots from out of what boot protocols say of memory.
//!
//! A boot loader or firmware hands over a list of ranges, in any order, with overlaps, in bytes, with types of its own. A
//! [`BootMap`] collects such lists, of one protocol or of several, in memory of the kernel's choice, and answers from all
//! of them: which frames are RAM, on which node; which of these are free; and what lies at an address.
//!
//! | feature | method | crate of its types |
//! |---|---|---|
//! | `uefi` | `add_uefi` | `uefi-raw`, as `uefi` re-exports it |
//! | `limine` | `add_limine` | `limine` |
//! | `bootloader_api` | `add_bootloader` | `bootloader_api` |
//! | `multiboot2` | `add_multiboot2` | `multiboot2` |
//! | `linux` | `add_boot_params`, `add_pvh` | none: bytes, by the boot protocols' documents |
//! | `device-tree` | `add_device_tree` | `dtoolkit` |
//! | `srat` | `add_srat` | none: bytes, by the ACPI specification |
//!
//! # The rules, for all protocols
//!
//! 1. **Overlaps**: of what is said about a byte, the most careful counts: reserved before device before taken before free.
//!    (Linux, for the table of a PC: the higher type.)
//! 2. **Taken**: RAM that the loader, the kernel or the boot allocator has is RAM, with descriptors, but not free.
//!    [`BootMap::take`] makes free memory taken, and changes nothing else.
//! 3. **Rounding**: RAM is whole frames after all of it is joined, so a frame that is half free and half taken is RAM and not
//!    free; a frame of which any byte is neither is none.
//! 4. **Nodes**: a frame's node is that of its first byte, by the first range that has it, and node 0 if none has. Ranges of
//!    nodes are no RAM: a table of nodes also has ranges for memory that may be plugged later.
//! 5. **Order**: ranges are added in any order and come out lowest first, apart, and joined where they touch.
//! 6. **Nothing is lost silently**: a range that wraps around, a table that is cut off, and a map that is full are errors,
//!    after which the map is as it was before the call.
//!
//! ```
//! use sparsemem_boot_maps::{BootMap, Entry, Use};
//! use sparsemem_core::{NodeId, PhysAddr, PhysRange, presets::X86_64};
//!
//! let mut storage = [Entry::EMPTY; 64];
//! let mut map = BootMap::new(&mut storage);
//! map.add(PhysAddr::new(0), 0x9_fc00, Use::Free)?;
//! map.add(PhysAddr::new(0x9_fc00), 0x400, Use::Reserved)?;
//! map.add(PhysAddr::new(0x10_0000), 0x1ff0_0000, Use::Free)?;
//! map.take(PhysRange::new(PhysAddr::new(0x10_0000), PhysAddr::new(0x30_0000))?)?; // the kernel's image
//!
//! let ram: Vec<_> = map.ram::<X86_64>().map(|range| range.frames.count().get()).collect();
//! assert_eq!(ram, [0x9f, 0x1ff00], "the last frame below 640 KiB is partly reserved");
//! let free = map.free::<X86_64>().last().unwrap();
//! assert_eq!((free.frames.start().get(), free.node), (0x300, NodeId::new(0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(test)]
extern crate std;

#[cfg(feature = "device-tree")]
mod device_tree;
mod error;
#[cfg(feature = "linux")]
mod linux;
#[cfg(any(feature = "limine", feature = "bootloader_api", feature = "uefi"))]
mod loaders;
mod map;
#[cfg(feature = "multiboot2")]
mod multiboot2;
#[cfg(feature = "srat")]
mod srat;

pub use error::MapError;
#[cfg(feature = "linux")]
pub use linux::pvh_table;
pub use map::{BootMap, Entry, Use};
