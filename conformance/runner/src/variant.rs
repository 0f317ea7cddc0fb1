//! Variants of a model's usual build: other descriptors, other mappings, another rule of what is valid.

use sparsemem_core::{LeafSize, PagingDepth};
use sparsemem_machine::Processor;

/// The build of a model and its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// 64-byte descriptors, four levels, leaves up to 2 MiB: as Linux on x86_64.
    Usual,
    /// 56-byte descriptors.
    OddPage,
    /// 16-byte descriptors.
    SmallPage,
    /// Base pages only.
    SmallLeaves,
    /// Leaves up to 1 GiB.
    HugeLeaves,
    /// Five levels of page tables.
    FiveLevels,
    /// Page tables of another processor.
    Tables(Tables),
    /// Holes of boot memory are not valid, and lookups read flat planes.
    Exact,
    /// Holes of boot memory are not valid, frame by frame, over every backend.
    ByFrame,
}

/// The page tables of another processor than x86_64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tables {
    /// arm64 with pages of 4 KiB, four levels.
    Arm4K,
    /// arm64 with pages of 16 KiB, four levels.
    Arm16K,
    /// arm64 with pages of 64 KiB, three levels.
    Arm64K,
    /// riscv64 with three levels, Sv39.
    Sv39,
    /// riscv64 with four levels, Sv48.
    Sv48,
    /// riscv64 with five levels, Sv57.
    Sv57,
}

impl Tables {
    const fn processor(self) -> Processor {
        match self {
            Self::Arm4K => Processor::Aarch64 { page_shift: 12, address_bits: 48 },
            Self::Arm16K => Processor::Aarch64 { page_shift: 14, address_bits: 48 },
            Self::Arm64K => Processor::Aarch64 { page_shift: 16, address_bits: 48 },
            Self::Sv39 | Self::Sv48 | Self::Sv57 => Processor::Riscv64,
        }
    }

    /// The most bytes that an array has addresses for: as many as the kernel's half of the addresses has for everything on
    /// Sv39, divided by what else lies there. Linux gives 4 GiB (`arch/riscv/include/asm/pgtable.h`, 6.12); here it is four
    /// times as many, so that sections are far enough from each other.
    pub(crate) const fn most_window_bytes(self) -> u64 {
        match self {
            Self::Sv39 => 16 << 30,
            _ => u64::MAX,
        }
    }
}

/// Scenarios that run in every variant, because variants change their subject.
const VARIED: &[&str] = &[
    "boot/words",
    "lookup/round-trip",
    "lookup/no-aliases",
    "lookup/fresh-zero",
    "memmap/mapped-iff-needed",
    "memmap/leaf-sizes",
    "memmap/footprint",
    "memmap/stray-access-faults",
    "teardown/everything-back",
];

/// Scenarios that run in variants in which sections share mappings or have many, because undoing a mapping is
/// different there.
const VARIED_FAULTS: &[&str] = &[
    "boot/no-memory-one-by-one",
    "boot/link-refused",
    "hotplug/in-parts",
    "hotplug/neighbours",
    "hotplug/every-failure",
];

impl Variant {
    /// The variants that have a suffix in the names of scenarios: first those that run every scenario, which are [`Self::MOST`];
    /// then those in which sections share mappings or have many, up to [`Self::MANY`]; then the others.
    const MARKED: [Self; 13] = [
        Self::Tables(Tables::Arm4K),
        Self::Tables(Tables::Arm16K),
        Self::Tables(Tables::Arm64K),
        Self::Tables(Tables::Sv39),
        Self::Tables(Tables::Sv48),
        Self::Tables(Tables::Sv57),
        Self::Exact,
        Self::ByFrame,
        Self::OddPage,
        Self::SmallLeaves,
        Self::HugeLeaves,
        Self::SmallPage,
        Self::FiveLevels,
    ];
    const MOST: usize = 8;
    const MANY: usize = 11;

    /// The suffix of its scenarios' names.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::OddPage => "@56-byte",
            Self::SmallPage => "@16-byte",
            Self::SmallLeaves => "@4k-leaves",
            Self::HugeLeaves => "@1g-leaves",
            Self::FiveLevels => "@5-level",
            Self::Exact => "@exact",
            Self::ByFrame => "@by-frame",
            Self::Tables(Tables::Arm4K) => "@aarch64-4k",
            Self::Tables(Tables::Arm16K) => "@aarch64-16k",
            Self::Tables(Tables::Arm64K) => "@aarch64-64k",
            Self::Tables(Tables::Sv39) => "@sv39",
            Self::Tables(Tables::Sv48) => "@riscv64",
            Self::Tables(Tables::Sv57) => "@sv57",
        }
    }

    /// The difference from the usual build, for lists.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::OddPage => " (with descriptors of 56 bytes)",
            Self::SmallPage => " (with descriptors of 16 bytes)",
            Self::SmallLeaves => " (with base pages only)",
            Self::HugeLeaves => " (with mappings up to 1 GiB)",
            Self::FiveLevels => " (with five levels of page tables)",
            Self::Exact => " (with holes that are not valid, and flat planes)",
            Self::ByFrame => " (with holes that are not valid, frame by frame)",
            Self::Tables(Tables::Arm4K) => " (with page tables of arm64, 4 KiB)",
            Self::Tables(Tables::Arm16K) => " (with page tables of arm64, 16 KiB)",
            Self::Tables(Tables::Arm64K) => " (with page tables of arm64, 64 KiB)",
            Self::Tables(Tables::Sv39) => " (with page tables of riscv64, Sv39)",
            Self::Tables(Tables::Sv48) => " (with page tables of riscv64, Sv48)",
            Self::Tables(Tables::Sv57) => " (with page tables of riscv64, Sv57)",
        }
    }

    /// The variants in which a scenario runs, in addition to the usual build: with the page tables of every processor, with the
    /// other rule of what is valid, and in the others if they change its subject.
    pub(crate) fn of(scenario: &str) -> &'static [Self] {
        match scenario {
            _ if VARIED.contains(&scenario) => &Self::MARKED,
            _ if VARIED_FAULTS.contains(&scenario) => &Self::MARKED[..Self::MANY],
            _ => &Self::MARKED[..Self::MOST],
        }
    }

    /// The scenario and the variant that a name stands for.
    pub(crate) fn split(name: &str) -> (&str, Self) {
        let found = Self::MARKED
            .into_iter()
            .find_map(|variant| Some((name.strip_suffix(variant.suffix())?, variant)));
        found.unwrap_or((name, Self::Usual))
    }

    /// Levels of the page tables.
    pub(crate) const fn depth(self) -> PagingDepth {
        match self {
            Self::FiveLevels | Self::Tables(Tables::Sv57) => PagingDepth::Five,
            Self::Tables(Tables::Arm64K | Tables::Sv39) => PagingDepth::Three,
            _ => PagingDepth::Four,
        }
    }

    /// The processor, which has the page tables.
    pub(crate) const fn processor(self) -> Processor {
        match self {
            Self::Tables(tables) => tables.processor(),
            _ => Processor::X86_64,
        }
    }

    /// The most bytes that its array has addresses for.
    pub(crate) const fn most_window_bytes(self) -> u64 {
        match self {
            Self::Tables(tables) => tables.most_window_bytes(),
            _ => u64::MAX,
        }
    }

    /// Bytes of the smallest leaves.
    pub(crate) const fn page_bytes(self) -> u64 {
        match self {
            Self::Tables(Tables::Arm16K) => 16 << 10,
            Self::Tables(Tables::Arm64K) => 64 << 10,
            _ => LeafSize::Size4KiB.bytes(),
        }
    }

    /// True if most leaves are of the smallest size.
    pub(crate) const fn has_small_leaves(self) -> bool {
        matches!(
            self,
            Self::SmallLeaves | Self::SmallPage | Self::Tables(Tables::Arm16K) | Self::Tables(Tables::Arm64K)
        )
    }

    /// The largest mapping.
    pub(crate) const fn largest_leaf(self) -> LeafSize {
        match self {
            Self::SmallLeaves => LeafSize::Size4KiB,
            Self::HugeLeaves => LeafSize::Size1GiB,
            _ => LeafSize::Size2MiB,
        }
    }

    /// True if most scenarios run in it, so that it is for small machines.
    pub(crate) const fn runs_most(self) -> bool {
        matches!(self, Self::Tables(_) | Self::Exact | Self::ByFrame)
    }

    /// True if it is made of a virtual array only: just the mappings differ from the usual build, or the rule of what
    /// is valid.
    pub(crate) const fn is_of_an_array(self) -> bool {
        matches!(
            self,
            Self::SmallLeaves | Self::HugeLeaves | Self::FiveLevels | Self::Tables(_) | Self::Exact
        )
    }
}
