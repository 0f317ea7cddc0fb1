//! The notations, and which of them is preferred.
//!
//! # Invariants
//!
//! 1. A line belongs to the first source in [`SOURCES`] that knows it. No line of a real log is known to two, so the
//!    order decides only which notation gives the map.

pub(crate) mod clusters;
mod device_tree;
pub(crate) mod e820;
pub(crate) mod efi;
pub(crate) mod iomem;
pub(crate) mod lsmem;
pub(crate) mod memblock;
mod memory_blocks;
pub(crate) mod registered;
mod srat;

use std::cmp::Reverse;

use crate::Notation;
use crate::line::Line;
use crate::statement::{Answer, Source};

/// Every source, the preferred one first. A text often has maps in several notations, and one of them gives the layout.
const SOURCES: [Source; 10] = [
    // The map that the kernel worked with, after the changes of the loader, the user and the kernel itself.
    e820::SOURCE,
    // The firmware's map on Alpha, whose kernels print no other one.
    clusters::SOURCE,
    // The firmware's own map, from which the loader makes an e820: whole, and without the later changes.
    efi::SOURCE,
    // The memory that the kernel registered, exact, and without the ranges that are not memory.
    registered::EARLY_NODE_RANGES,
    // The memory that the boot allocator has, possibly at a later moment, when the kernel has taken some of it away.
    memblock::SOURCE,
    // The resources of the running system, to which hotplug may have added memory, and of which people paste parts.
    iomem::SOURCE,
    // Memory in whole blocks that are online, with their addresses.
    lsmem::SOURCE,
    // Memory in whole blocks, so that neither the borders nor the holes are exact.
    memory_blocks::SOURCE,
    // Which node an address has if there is memory. Ranges without a flag are likely to be memory.
    srat::SOURCE,
    // No map: its lines keep ranges of another map back, so its place decides nothing.
    device_tree::SOURCE,
];

/// Offers a line to every source.
pub(crate) fn read(line: &Line<'_>) -> Answer {
    SOURCES.iter().find_map(|source| source.read(line))
}

/// The preference of a notation: of two tables the one with the greater preference counts.
pub(crate) fn preference(notation: Notation) -> Reverse<usize> {
    let place = SOURCES.iter().position(|source| source.notations.contains(&notation));
    Reverse(place.unwrap_or(SOURCES.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts in `conformance/machines`: maps, the facts about them, and notes.
    fn texts() -> impl Iterator<Item = String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/machines");
        let paths =
            std::fs::read_dir(folder).expect("conformance/machines").map(|entry| entry.unwrap().path());
        paths.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn no_line_of_a_real_log_is_known_to_two_sources() {
        let mut known_lines = 0;
        for text in texts() {
            for raw in text.lines() {
                let line = Line::new(raw);
                let known = SOURCES.iter().filter(|source| source.read(&line).is_some()).count();
                assert!(known <= 1, "{raw}");
                known_lines += known;
            }
        }
        assert!(known_lines > 1000, "{known_lines}");
    }

    #[test]
    fn each_notation_has_one_place_and_a_name_of_its_own() {
        let notations: Vec<Notation> = SOURCES.iter().flat_map(|source| source.notations).copied().collect();
        let names: std::collections::BTreeSet<_> = notations.iter().map(|notation| notation.name()).collect();
        assert_eq!(names.len(), notations.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')));
    }

    #[test]
    fn the_preferred_notation_is_the_earlier_one() {
        assert!(preference(Notation::EFI) > preference(Notation::IOMEM));
        assert_eq!(preference(Notation::BIOS_E820), preference(Notation::LINUX_ON_XEN));
    }
}
