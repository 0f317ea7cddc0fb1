//! Named facts about one moment of a replay. A recording has them, and the model has them.

use core::fmt;
use std::collections::BTreeMap;

/// The subject of a fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A property of a section.
    Section(u64, Aspect),
    /// The roots of the section table, by the first section of each.
    Roots,
    /// The number of usages.
    Usages,
    /// A run of equal mappings of the array, by its offset.
    Mapping(u64),
    /// A run of RAM in the resource tree, by its first address.
    Ram(u64),
    /// A device in the resource tree, by its first address.
    Device(u64),
    /// Pages that carry the tag of a section's memmap.
    SectionInfo(u64),
    /// Pages that carry the tag of a node's data, by the node.
    NodeInfo(u64),
    /// The types of tags that occur.
    TagTypes,
}

/// A property of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    /// The flags of its word.
    Flags,
    /// Its subsection map.
    Subsections,
    /// The presence of the section's memmap; with an array, its place.
    Memmap,
    /// The presence of the section's usage.
    Usage,
    /// The section's descriptors that lie in the memory of a device, and their places.
    Altmap,
    /// The number of different pages of physical memory that hold the section's descriptors.
    Pages,
}

impl Aspect {
    /// The property's name in lists of differences.
    const fn name(self) -> &'static str {
        match self {
            Self::Flags => "flags",
            Self::Subsections => "subsections",
            Self::Memmap => "memmap",
            Self::Usage => "usage",
            Self::Altmap => "altmap",
            Self::Pages => "pages",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(nr, aspect) => write!(f, "section {nr} {}", aspect.name()),
            Self::Roots => f.write_str("roots"),
            Self::Usages => f.write_str("usages"),
            Self::Mapping(offset) => write!(f, "vmemmap {offset:#x}"),
            Self::Ram(address) => write!(f, "ram {address:#x}"),
            Self::Device(address) => write!(f, "device {address:#x}"),
            Self::SectionInfo(nr) => write!(f, "section {nr} bootmem pages"),
            Self::NodeInfo(node) => write!(f, "node {node} bootmem pages"),
            Self::TagTypes => f.write_str("bootmem types"),
        }
    }
}

/// Facts about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts(BTreeMap<What, String>);

impl Facts {
    /// Adds a fact.
    pub(super) fn note(&mut self, what: What, value: impl fmt::Display) {
        self.0.insert(what, value.to_string());
    }

    /// The subjects of all facts.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &What> {
        self.0.keys()
    }

    /// The value of a fact, if there is one.
    pub(super) fn get(&self, what: &What) -> Option<&String> {
        self.0.get(what)
    }
}
