//! The state of models on a machine, as the command `inspect` prints it.

use std::collections::BTreeMap;

use serde::Serialize;

/// A machine, and the state of each backend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Inspection {
    /// Name of the machine.
    #[serde(skip)]
    pub(crate) machine: String,
    /// Name of the geometry that it was booted with.
    #[serde(skip)]
    pub(crate) geometry: &'static str,
    /// Bytes of a section.
    #[serde(skip)]
    pub(crate) section_bytes: u64,
    /// Bytes of a subsection.
    #[serde(skip)]
    pub(crate) subsection_bytes: u64,
    /// Bytes of RAM.
    #[serde(skip)]
    pub(crate) ram_bytes: u64,
    /// The physical layout.
    pub(crate) ranges: Vec<InspectedRange>,
    /// Figures or lines of the machine's file that disagree with the map, one sentence each.
    pub(crate) contradictions: Vec<String>,
    /// The figures of the file that its map agrees with, the strongest evidence first.
    pub(crate) agreements: Vec<String>,
    /// The backends, by name.
    pub(crate) backends: BTreeMap<&'static str, InspectedBackend>,
}

/// A physical range of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InspectedRange {
    /// First address.
    pub(crate) start: u64,
    /// The first address past the range.
    pub(crate) end: u64,
    /// Its node, if the machine file names one.
    pub(crate) node: Option<u32>,
    /// Its kind: `ram`, `persistent`, `reserved`, and others.
    pub(crate) kind: &'static str,
}

/// A machine, booted on one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InspectedBackend {
    /// The present sections, lowest first.
    pub(crate) sections: Vec<InspectedSection>,
    /// The events that boot reported: sections that were lost, shared by nodes, or beyond the maximum.
    #[serde(skip)]
    pub(crate) events: Vec<String>,
    /// Bytes of the section table.
    pub(crate) table_bytes: u64,
    /// Bytes of the planes in which lookups find what is valid and online.
    pub(crate) plane_bytes: u64,
    /// Bytes of usages.
    pub(crate) usage_bytes: u64,
    /// Bytes of descriptors.
    pub(crate) memmap_bytes: u64,
    /// Bytes of page tables that lead to the descriptors.
    pub(crate) page_table_bytes: u64,
    /// All metadata bytes after a boot that only marks sections; `None` if the backend has no such boots.
    pub(crate) deferred_bytes: Option<u64>,
    /// The memory that a device's descriptors take, if somebody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<InspectedDevice>,
}

/// The memory that the descriptors of a device take, with the page tables that lead to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InspectedDevice {
    /// Bytes of the device.
    pub(crate) bytes: u64,
    /// Bytes of its large pages.
    pub(crate) page_bytes: u64,
    /// Bytes of descriptors and tables if the device has base pages; `None` if the model does not add it.
    pub(crate) plain_bytes: Option<u64>,
    /// The same if it has large pages, whose tails share descriptors; `None` if the model refuses.
    pub(crate) folded_bytes: Option<u64>,
}

impl InspectedBackend {
    /// All metadata bytes.
    #[must_use]
    pub(crate) const fn total_bytes(&self) -> u64 {
        self.table_bytes + self.plane_bytes + self.usage_bytes + self.memmap_bytes + self.page_table_bytes
    }
}

/// A present section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InspectedSection {
    /// Its number.
    pub(crate) nr: u64,
    /// Flag bits of the section word, as a number.
    pub(crate) flags: u8,
    /// Its populated subsections: hexadecimal, highest first, 16 digits per 64 subsections.
    pub(crate) subsections: String,
}
