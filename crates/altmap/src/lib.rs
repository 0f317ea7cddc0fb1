//! Altmap: memory of a device, or of a memory module that is being added, that holds the memmap of that same memory.
//!
//! Without an altmap, a large device takes its descriptors from RAM: 16 GiB of RAM per TiB of device memory. With an
//! altmap they lie in the device itself, and hot-adding it takes RAM only for page tables, usages and roots. An
//! [`AltmapSpec`] names the frames that are set aside, an [`Altmap`] allocates from them, and [`WithAltmap`] wraps the
//! environment of a slow call with it, so that every model, not only the virtual one, has its descriptors there.
//!
//! Source: Linux `struct vmem_altmap`, 4.5 to 6.12 (A-01 to A-14). Fresh frames are given by the same rule, so they lie
//! at the same places. Differs from Linux: returned frames are given again, padding included; base pages are tried when
//! no large block is left; every model uses it; foreign and double frees, an altmap in use, and one that is too small
//! are refused, where Linux does not check.
//!
//! ```
//! use sparsemem_core::{PageCount, Pfn, PfnRange};
//! use sparsemem_altmap::{AltmapError, AltmapSpec};
//!
//! // 128 MiB at 4 GiB: two frames for the driver, then room for the memmap of a section and its alignment.
//! let device = PfnRange::from_start_count(Pfn::new(0x10_0000), PageCount::new(0x8000)).unwrap();
//! let spec = AltmapSpec::new(device.start(), PageCount::new(2), PageCount::new(1022))?;
//! spec.validate(device)?;
//! assert_eq!(spec.usable(device).start(), Pfn::new(0x10_0400));
//! # Ok::<(), AltmapError>(())
//! ```
//!
//! # Invariants
//!
//! 1. Frames that are given out lie in the altmap's free part, after the frames that the driver keeps.
//! 2. A frame is in at most one block, and a block is given back as a whole or not at all.
//! 3. The state depends on the blocks that are in use and on nothing else: giving a block and taking it back changes
//!    nothing.
//!
//! Numbers such as A-01 refer to the project's list of [facts about Linux][facts].
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
#![no_std]
#![allow(unsafe_code, reason = "zeroes frames of a device and makes blocks of them")]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod bits;
mod device;
mod environment;
mod pool;
mod room;
mod spec;

pub use device::{Altmap, StillInUse};
pub use environment::{AltmapModel, WithAltmap};
pub use pool::{FramePool, GiveBackError, TakeError, TooFewWords};
pub use room::{MemmapRule, room_needed};
pub use spec::{AltmapError, AltmapSpec};
