//! The size of a memory block: the unit in which RAM is added, removed, and switched online and offline.
//!
//! # Invariants
//!
//! 1. A block is a power of two of bytes and at least one section, so it consists of whole sections.

use core::fmt;
use core::marker::PhantomData;

use sparsemem_core::{ByteLen, Geometry, PageCount, Pfn, PfnRange, PhysAddr, SectionShape};

/// Bytes of the largest block that Linux chooses without an operator's request.
const LARGEST: u64 = 2 << 30;
/// Bytes of RAM from which on Linux chooses blocks larger than a section.
const LARGE_MACHINE: u64 = 64 << 30;

/// The reason why a number of bytes is not a block size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockSizeError {
    /// The size is not a power of two.
    #[error("a memory block of {bytes} is not a power of two")]
    NotPowerOfTwo {
        /// The size that was given.
        bytes: ByteLen,
    },
    /// The size is smaller than a section.
    #[error("a memory block of {bytes} is smaller than a section of {section}")]
    SmallerThanSection {
        /// The size that was given.
        bytes: ByteLen,
        /// The size of a section.
        section: ByteLen,
    },
    /// The size is larger than all physical memory of the geometry.
    #[error("a memory block of {bytes} is larger than the {maximum} that physical memory can have")]
    LargerThanMemory {
        /// The size that was given.
        bytes: ByteLen,
        /// The bytes that the geometry's physical addresses can name.
        maximum: ByteLen,
    },
}

/// Says whether the kernel runs on hardware or in a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// The kernel runs without a hypervisor.
    BareMetal,
    /// The kernel is the guest of a hypervisor.
    Virtual,
}

/// The facts that the choice of a block size depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizeHints {
    /// The size that the operator asks for; if there is one, nothing else counts.
    pub requested: Option<ByteLen>,
    /// The first address past the RAM of boot.
    pub end_of_ram: PhysAddr,
    /// Hardware or a virtual machine.
    pub platform: Platform,
    /// The largest size that firmware advises, because its hotplug windows have that alignment: a power of two.
    pub advised: Option<ByteLen>,
}

/// The size of a memory block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlockSize<G> {
    frames: u64,
    geometry: PhantomData<fn() -> G>,
}

impl<G: Geometry> BlockSize<G> {
    /// One section: the smallest possible block.
    pub const SECTION: Self = Self { frames: G::PAGES_PER_SECTION, geometry: PhantomData };

    /// A block of `bytes`.
    ///
    /// # Errors
    ///
    /// [`BlockSizeError`] if `bytes` is not a power of two, is smaller than a section, or exceeds the geometry's
    /// maximum. Differs from Linux: `memory_dev_init` panics.
    pub const fn new(bytes: ByteLen) -> Result<Self, BlockSizeError> {
        if !bytes.get().is_power_of_two() {
            return Err(BlockSizeError::NotPowerOfTwo { bytes });
        }
        if bytes.get() < G::SECTION_SIZE {
            return Err(BlockSizeError::SmallerThanSection { bytes, section: ByteLen::new(G::SECTION_SIZE) });
        }
        let maximum = ByteLen::new(1 << G::MAX_PHYSMEM_BITS);
        if bytes.get() > maximum.get() {
            return Err(BlockSizeError::LargerThanMemory { bytes, maximum });
        }
        Ok(Self { frames: bytes.get() >> G::PAGE_SHIFT, geometry: PhantomData })
    }

    /// Chooses the size as Linux does on x86. The operator's request decides if there is one. Machines with less than
    /// 64 GiB of RAM get blocks of one section. Larger machines get blocks of 2 GiB on bare metal if firmware advises
    /// nothing. In a guest, and wherever firmware advises a size, they get the largest size that divides the end of
    /// RAM, limited to 2 GiB and to the advice. An advice of less than a section counts as one section.
    ///
    /// Source: Linux x86 `probe_memory_block_size`, and `memory_block_advise_max_size` for advice that is not a power
    /// of two.
    ///
    /// # Errors
    ///
    /// [`BlockSizeError`] if the operator asks for a size that is not a block size, or if the operator asks for
    /// nothing and firmware advises a size that is not a power of two.
    ///
    /// # Examples
    ///
    /// ```
    /// use sparsemem_core::{ByteLen, PhysAddr, presets::X86_64};
    /// use sparsemem_hotplug::{BlockSize, BlockSizeHints, Platform};
    ///
    /// let guest = BlockSizeHints {
    ///     requested: None,
    ///     end_of_ram: PhysAddr::new(65 << 30),
    ///     platform: Platform::Virtual,
    ///     advised: None,
    /// };
    /// assert_eq!(BlockSize::<X86_64>::choose(&guest)?.bytes(), ByteLen::new(1 << 30));
    /// # Ok::<(), sparsemem_hotplug::BlockSizeError>(())
    /// ```
    pub fn choose(hints: &BlockSizeHints) -> Result<Self, BlockSizeError> {
        if let Some(bytes) = hints.requested {
            return Self::new(bytes);
        }
        if let Some(bytes) = hints.advised.filter(|bytes| !bytes.get().is_power_of_two()) {
            return Err(BlockSizeError::NotPowerOfTwo { bytes });
        }
        Self::new(ByteLen::new(Self::probe(hints)))
    }

    /// Chooses the size, in bytes, for the machine's RAM and its firmware.
    fn probe(hints: &BlockSizeHints) -> u64 {
        let (end, section) = (hints.end_of_ram.get(), G::SECTION_SIZE);
        if end < LARGE_MACHINE {
            return section;
        }
        let largest = LARGEST.max(section);
        let limit = match (hints.advised, hints.platform) {
            (Some(advised), _) => advised.get().clamp(section, largest),
            (None, Platform::Virtual) => largest,
            (None, Platform::BareMetal) => return largest,
        };
        (1 << end.trailing_zeros()).clamp(section, limit)
    }

    /// The whole blocks in a range: the start is rounded up, the end down. So much of a device's memory can become RAM.
    ///
    /// # Examples
    ///
    /// ```
    /// use sparsemem_core::{Pfn, PfnRange, presets::X86_64};
    /// use sparsemem_hotplug::BlockSize;
    ///
    /// let device = PfnRange::new(Pfn::new(0x10_0200), Pfn::new(0x11_a000))?;
    /// let blocks = BlockSize::<X86_64>::SECTION.whole_blocks(device);
    /// assert_eq!(blocks, PfnRange::new(Pfn::new(0x10_8000), Pfn::new(0x11_8000))?);
    /// # Ok::<(), sparsemem_core::ReversedRange>(())
    /// ```
    #[must_use]
    pub fn whole_blocks(self, range: PfnRange) -> PfnRange {
        let start = range.start().get().checked_next_multiple_of(self.frames);
        let end = range.end().get() & !(self.frames - 1);
        let whole = start.and_then(|start| PfnRange::new(Pfn::new(start), Pfn::new(end)).ok());
        whole.unwrap_or(PfnRange::empty_at(range.start()))
    }

    /// Frames of a block.
    #[must_use]
    pub const fn frames(self) -> PageCount {
        PageCount::new(self.frames)
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn bytes(self) -> ByteLen {
        ByteLen::new(self.frames << G::PAGE_SHIFT)
    }
}

impl<G> fmt::Debug for BlockSize<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockSize({} frames)", self.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparsemem_core::presets::{Tiny, X86_64};

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn hints(end: u64, platform: Platform) -> BlockSizeHints {
        BlockSizeHints { requested: None, end_of_ram: PhysAddr::new(end), platform, advised: None }
    }

    fn chosen(hints: &BlockSizeHints) -> u64 {
        BlockSize::<X86_64>::choose(hints).unwrap().bytes().get()
    }

    #[test]
    fn the_worked_vectors_of_linux() {
        // The sizes that Linux chooses (T-16).
        use Platform::{BareMetal, Virtual};
        assert_eq!(chosen(&hints(63 * GIB, BareMetal)), 128 * MIB);
        assert_eq!(chosen(&hints(64 * GIB, BareMetal)), 2 * GIB);
        assert_eq!(chosen(&hints(64 * GIB, Virtual)), 2 * GIB);
        assert_eq!(chosen(&hints(65 * GIB, Virtual)), GIB);
        assert_eq!(chosen(&hints(65 * GIB + 512 * MIB, Virtual)), 512 * MIB);
        assert_eq!(chosen(&hints(66 * GIB + 128 * MIB, Virtual)), 128 * MIB);
        // RAM of a guest ends in the middle of a section.
        assert_eq!(chosen(&hints(66 * GIB + MIB, Virtual)), 128 * MIB);
    }

    #[test]
    fn the_operator_decides_and_firmware_limits() {
        let big = hints(64 * GIB, Platform::BareMetal);
        let advised = |bytes| BlockSizeHints { advised: Some(ByteLen::new(bytes)), ..big };
        assert_eq!(chosen(&advised(256 * MIB)), 256 * MIB);
        assert_eq!(chosen(&advised(4 * GIB)), 2 * GIB);
        let asked = BlockSizeHints { requested: Some(ByteLen::new(GIB)), ..advised(256 * MIB) };
        assert_eq!(chosen(&asked), GIB);
    }

    #[test]
    fn advice_is_clamped_and_then_aligned_to_the_end_of_ram() {
        let advised = |end, platform, bytes| BlockSizeHints {
            advised: Some(ByteLen::new(bytes)),
            ..hints(end, platform)
        };
        for platform in [Platform::BareMetal, Platform::Virtual] {
            // An advice of less than a section counts as a section.
            assert_eq!(chosen(&advised(128 * GIB, platform, 64 * MIB)), 128 * MIB);
            // Linux chooses at most 2 GiB, and the end of RAM limits the size further.
            assert_eq!(chosen(&advised(128 * GIB, platform, 64 * GIB)), 2 * GIB);
            assert_eq!(chosen(&advised(65 * GIB + 256 * MIB, platform, 2 * GIB)), 256 * MIB);
            assert_eq!(chosen(&advised(65 * GIB + 512 * MIB, platform, 256 * MIB)), 256 * MIB);
            assert_eq!(chosen(&advised(65 * GIB + MIB, platform, 2 * GIB)), 128 * MIB);
            // A small machine has blocks of one section, whatever firmware advises.
            assert_eq!(chosen(&advised(8 * GIB, platform, 2 * GIB)), 128 * MIB);
        }
    }

    #[test]
    fn advice_is_refused_only_if_it_is_no_power_of_two() {
        let big = hints(128 * GIB, Platform::BareMetal);
        for bytes in [0, 192 * MIB, u64::MAX].map(ByteLen::new) {
            let refused = BlockSize::<X86_64>::choose(&BlockSizeHints { advised: Some(bytes), ..big });
            assert_eq!(refused.unwrap_err(), BlockSizeError::NotPowerOfTwo { bytes });
            let requested = Some(ByteLen::new(GIB));
            assert_eq!(chosen(&BlockSizeHints { requested, advised: Some(bytes), ..big }), GIB);
        }
        for shift in 0..u64::BITS {
            let advised = Some(ByteLen::new(1 << shift));
            assert!(BlockSize::<X86_64>::choose(&BlockSizeHints { advised, ..big }).is_ok(), "2^{shift}");
        }
    }

    #[test]
    fn impossible_sizes_are_named() {
        let section = ByteLen::new(128 * MIB);
        let (odd, small) = (ByteLen::new(192 * MIB), ByteLen::new(64 * MIB));
        assert_eq!(BlockSize::<X86_64>::new(odd).unwrap_err(), BlockSizeError::NotPowerOfTwo { bytes: odd });
        let error = BlockSize::<X86_64>::new(small).unwrap_err();
        assert_eq!(error, BlockSizeError::SmallerThanSection { bytes: small, section });
        assert!(BlockSize::<X86_64>::new(ByteLen::new(0)).is_err());
        assert!(BlockSize::<Tiny>::new(ByteLen::new(1 << 18)).is_ok());
        assert!(matches!(
            BlockSize::<Tiny>::new(ByteLen::new(1 << 19)),
            Err(BlockSizeError::LargerThanMemory { .. })
        ));
        assert_eq!(BlockSize::<X86_64>::SECTION.bytes(), section);
        assert_eq!(BlockSize::<X86_64>::SECTION.frames().get(), 0x8000);
    }
}
