//! Variants of a model's usual build: other descriptors, other mappings.

use sparsemem_core::{LeafSize, PagingDepth};

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
const VARIED_FAULTS: &[&str] =
    &["boot/no-memory-one-by-one", "boot/link-refused", "hotplug/in-parts", "hotplug/every-failure"];

impl Variant {
    /// The variants that have a suffix in the names of scenarios.
    const MARKED: [Self; 5] =
        [Self::OddPage, Self::SmallPage, Self::SmallLeaves, Self::HugeLeaves, Self::FiveLevels];

    /// The suffix of its scenarios' names.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::OddPage => "@56-byte",
            Self::SmallPage => "@16-byte",
            Self::SmallLeaves => "@4k-leaves",
            Self::HugeLeaves => "@1g-leaves",
            Self::FiveLevels => "@5-level",
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
        }
    }

    /// Variants in which sections share mappings, or have many.
    const SHARED: [Self; 3] = [Self::OddPage, Self::SmallLeaves, Self::HugeLeaves];

    /// The variants in which a scenario runs, in addition to the usual build.
    pub(crate) fn of(scenario: &str) -> &'static [Self] {
        if VARIED.contains(&scenario) {
            return &Self::MARKED;
        }
        if VARIED_FAULTS.contains(&scenario) { &Self::SHARED } else { &[] }
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
            Self::FiveLevels => PagingDepth::Five,
            _ => PagingDepth::Four,
        }
    }

    /// The largest mapping.
    pub(crate) const fn largest_leaf(self) -> LeafSize {
        match self {
            Self::SmallLeaves => LeafSize::Size4KiB,
            Self::HugeLeaves => LeafSize::Size1GiB,
            _ => LeafSize::Size2MiB,
        }
    }

    /// Whether only the mappings differ from the usual build.
    pub(crate) const fn is_about_mappings(self) -> bool {
        matches!(self, Self::SmallLeaves | Self::HugeLeaves | Self::FiveLevels)
    }
}
