//! The state of models on a machine, as the command `inspect` prints it.

use std::collections::BTreeMap;

use serde::Serialize;

/// A machine, and the state of each backend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Name of the machine.
    #[serde(skip)]
    pub machine: String,
    /// Name of the geometry that it was booted with.
    #[serde(skip)]
    pub geometry: &'static str,
    /// Bytes of a section.
    #[serde(skip)]
    pub section_bytes: u64,
    /// Bytes of a subsection.
    #[serde(skip)]
    pub subsection_bytes: u64,
    /// Bytes of RAM.
    #[serde(skip)]
    pub ram_bytes: u64,
    /// The physical layout.
    pub ranges: Vec<InspectedRange>,
    /// Figures or lines of the machine's file that disagree with the map, one sentence each.
    pub contradictions: Vec<String>,
    /// The figures of the file that its map agrees with, the strongest evidence first.
    pub agreements: Vec<String>,
    /// The backends, by name.
    pub backends: BTreeMap<&'static str, InspectedBackend>,
}

/// A physical range of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedRange {
    /// First address.
    pub start: u64,
    /// The first address past the range.
    pub end: u64,
    /// Its node, if the machine file names one.
    pub node: Option<u32>,
    /// Its kind: `ram`, `persistent`, `reserved`, and others.
    pub kind: &'static str,
}

/// A machine, booted on one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedBackend {
    /// The present sections, lowest first.
    pub sections: Vec<InspectedSection>,
    /// The events that boot reported: sections that were lost, shared by nodes, or beyond the maximum.
    #[serde(skip)]
    pub events: Vec<String>,
    /// Bytes of the section table.
    pub table_bytes: u64,
    /// Bytes of usages.
    pub usage_bytes: u64,
    /// Bytes of descriptors.
    pub memmap_bytes: u64,
    /// Bytes of page tables that lead to the descriptors.
    pub page_table_bytes: u64,
}

impl InspectedBackend {
    /// All metadata bytes.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.table_bytes + self.usage_bytes + self.memmap_bytes + self.page_table_bytes
    }
}

/// A present section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedSection {
    /// Its number.
    pub nr: u64,
    /// Flag bits of the section word, as a number.
    pub flags: u8,
    /// Its populated subsections: hexadecimal, highest first, 16 digits per 64 subsections.
    pub subsections: String,
}
