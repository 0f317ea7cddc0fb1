//! Named facts about one moment of a replay: those of the recording are compared with those of the model.
//!
//! # Invariants
//!
//! 1. A fact that only one side has counts as a difference, so neither side can omit a fact.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Whether the section has a memmap; with an array, its place.
    Memmap,
    /// Whether the section has a usage.
    Usage,
    /// The section's descriptors that lie in the memory of a device, and their places.
    Altmap,
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
            Self::TagTypes => f.write_str("bootmem types"),
        }
    }
}

/// Facts about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts(BTreeMap<What, String>);

/// A fact with different values on the two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disagreement {
    /// The subject of the fact.
    pub(super) what: String,
    /// The recorded value.
    pub(super) expected: String,
    /// The model's value.
    pub(super) found: String,
}

/// The value of a fact that one side does not have.
const NOTHING: &str = "nothing";

impl Facts {
    /// Adds a fact.
    pub(super) fn note(&mut self, what: What, value: impl fmt::Display) {
        self.0.insert(what, value.to_string());
    }

    /// All facts whose values differ between `self`, the expected ones, and `found`.
    pub(super) fn disagreements(&self, found: &Self) -> Vec<Disagreement> {
        let all: BTreeSet<&What> = self.0.keys().chain(found.0.keys()).collect();
        let value = |facts: &Self, what: &What| facts.0.get(what).map_or(NOTHING, String::as_str).to_owned();
        let compare = |what: &What| Disagreement {
            what: what.to_string(),
            expected: value(self, what),
            found: value(found, what),
        };
        all.into_iter().map(compare).filter(|it| it.expected != it.found).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Aspect, Facts, What};

    #[test]
    fn what_one_side_lacks_is_a_disagreement() {
        let (mut recorded, mut found) = (Facts::default(), Facts::default());
        recorded.note(What::Section(6, Aspect::Flags), "PRESENT");
        recorded.note(What::Roots, "0");
        found.note(What::Roots, "0");
        found.note(What::Mapping(0x20_0000), "to 0x400000");
        let said: Vec<_> = recorded.disagreements(&found).into_iter().map(|it| (it.what, it.found)).collect();
        let expected = [("section 6 flags", "nothing"), ("vmemmap 0x200000", "to 0x400000")];
        assert_eq!(said, expected.map(|(what, found)| (what.to_owned(), found.to_owned())));
    }
}
