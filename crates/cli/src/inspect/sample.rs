//! Made-up inspections for the tests of the drawing.

use std::collections::BTreeMap;

use crate::inspection::{InspectedBackend, InspectedRange, InspectedSection, Inspection};

/// A range.
pub(crate) fn range(start: u64, end: u64, kind: &'static str, node: Option<u32>) -> InspectedRange {
    InspectedRange { start, end, node, kind }
}

/// A present section with these subsections.
pub(crate) fn section(nr: u64, bits: u64) -> InspectedSection {
    InspectedSection { nr, flags: 0b1111, subsections: format!("{bits:016x}") }
}

/// A machine with sections of 128 MiB, on one backend that takes a MiB for its table and 64 bytes for a frame.
pub(crate) fn machine(ranges: Vec<InspectedRange>, sections: Vec<InspectedSection>) -> Inspection {
    let ram = ranges.iter().filter(|range| range.kind == "ram").map(|range| range.end - range.start);
    let ram_bytes = ram.sum();
    let backend = InspectedBackend {
        memmap_bytes: sections.len() as u64 * (2 << 20),
        sections,
        events: vec![],
        table_bytes: 1 << 20,
        plane_bytes: 0,
        usage_bytes: 0,
        page_table_bytes: 0,
        deferred_bytes: Some(1 << 20),
        device: None,
    };
    Inspection {
        machine: "made-up.dmesg".to_owned(),
        geometry: "x86_64",
        section_bytes: 128 << 20,
        subsection_bytes: 2 << 20,
        ram_bytes,
        ranges,
        contradictions: vec![],
        agreements: vec![],
        backends: BTreeMap::from([("a-table", backend)]),
    }
}

/// The same machine on a second backend, which takes page tables instead of the table.
pub(crate) fn with_an_array(mut inspection: Inspection) -> Inspection {
    let mut second = inspection.backends["a-table"].clone();
    second.table_bytes = 16 << 10;
    second.page_table_bytes = 12 << 10;
    second.deferred_bytes = None;
    inspection.backends.insert("b-array", second);
    inspection
}
