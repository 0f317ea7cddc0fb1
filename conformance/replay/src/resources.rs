//! RAM and devices in the lines of a resource tree.
//!
//! # Invariants
//!
//! 1. A line of a device's driver counts as a device only while the recorded section table has descriptors for its
//!    frames: the driver of a namespace holds a line for its own information block also when there is no device.

use sparsemem_core::{PfnRange, SubsectionBits};

use super::kernel::Geo;
use super::script::{ResourceRow, SectionRow};

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineKind {
    /// RAM, also RAM of a driver.
    Ram,
    /// A namespace of persistent memory: all of it, or its information block and its descriptors.
    Namespace,
    /// Memory that is used directly: the rest of a namespace, or a device of its own.
    Dax,
    /// Nothing that this project's resource tree has.
    Other,
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResourceLine {
    /// Whole frames.
    pub(super) frames: PfnRange,
    /// The kind.
    pub(super) kind: LineKind,
}

/// RAM and devices of a tree, beside the section table of the same moment. A namespace and the directly used memory
/// after it are one device; directly used memory that became RAM is none.
pub(super) fn rows(lines: &[ResourceLine], sections: &[SectionRow]) -> Vec<ResourceRow> {
    let ram = of(lines, LineKind::Ram).map(|frames| ResourceRow { frames, is_device: false });
    let dax: Vec<PfnRange> = of(lines, LineKind::Dax)
        .filter(|dax| !of(lines, LineKind::Ram).any(|ram| ram.overlaps(*dax)))
        .collect();
    let rest = |head: PfnRange| dax.iter().copied().find(|dax| dax.start() == head.end());
    let heads: Vec<PfnRange> = of(lines, LineKind::Namespace).collect();
    let whole = |head: PfnRange| {
        rest(head).and_then(|rest| PfnRange::new(head.start(), rest.end()).ok()).unwrap_or(head)
    };
    let alone = dax.iter().copied().filter(|dax| heads.iter().all(|head| head.end() != dax.start()));
    let devices = heads.iter().map(|head| whole(*head)).chain(alone);
    let devices = devices.filter(|device| has_descriptors(*device, sections));
    ram.chain(devices.map(|frames| ResourceRow { frames, is_device: true })).collect()
}

/// The frames of all lines of a kind.
fn of(lines: &[ResourceLine], kind: LineKind) -> impl Iterator<Item = PfnRange> {
    lines.iter().filter(move |line| line.kind == kind).map(|line| line.frames)
}

/// True if the section table has any subsection of some frames.
fn has_descriptors(frames: PfnRange, sections: &[SectionRow]) -> bool {
    frames.by_section::<Geo>().any(|(nr, part)| {
        let there = sections.iter().find(|row| row.nr == nr.get()).and_then(|row| row.subsections);
        let wanted = SubsectionBits::touched::<Geo>(part).unwrap_or_default();
        there.is_some_and(|there| !there.intersection(wanted).is_empty())
    })
}

#[cfg(test)]
mod tests {
    use sparsemem_core::{Pfn, SectionFlags};

    use super::*;

    const MIB: u64 = 256;

    fn line(kind: LineKind, start: u64, end: u64) -> ResourceLine {
        let frames = PfnRange::new(Pfn::new(start * MIB), Pfn::new(end * MIB)).unwrap();
        ResourceLine { frames, kind }
    }

    fn section(nr: u64, map: u64) -> SectionRow {
        let flags = SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP;
        let subsections = Some(SubsectionBits::from_words([map]));
        SectionRow { nr, flags, subsections, memmap: Some(0), has_usage: true }
    }

    /// Bounds in MiB, and whether the range is a device.
    fn seen(lines: &[ResourceLine], sections: &[SectionRow]) -> Vec<(u64, u64, bool)> {
        let row =
            |row: ResourceRow| (row.frames.start().get() / MIB, row.frames.end().get() / MIB, row.is_device);
        rows(lines, sections).into_iter().map(row).collect()
    }

    #[test]
    fn a_namespace_and_its_directly_used_memory_are_one_device() {
        let lines =
            [line(LineKind::Other, 0, 300), line(LineKind::Namespace, 0, 2), line(LineKind::Dax, 2, 256)];
        assert_eq!(seen(&lines, &[section(0, u64::MAX), section(1, u64::MAX)]), [(0, 256, true)]);
        assert!(seen(&lines, &[]).is_empty(), "no descriptors, no device");
    }

    #[test]
    fn directly_used_memory_that_became_ram_is_no_device() {
        let lines =
            [line(LineKind::Namespace, 0, 2), line(LineKind::Dax, 128, 256), line(LineKind::Ram, 128, 256)];
        assert_eq!(seen(&lines, &[section(1, u64::MAX)]), [(128, 256, false)]);
    }

    #[test]
    fn devices_without_a_namespace_count_too() {
        let lines = [line(LineKind::Dax, 128, 256), line(LineKind::Namespace, 300, 302)];
        assert_eq!(seen(&lines, &[section(1, 1), section(2, 1 << 22)]), [(300, 302, true), (128, 256, true)]);
    }
}
