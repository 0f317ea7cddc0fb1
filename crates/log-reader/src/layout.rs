//! The result: physical ranges, each of one kind and on one node; and which of two kinds counts where ranges overlap.
//!
//! # Invariants
//!
//! 1. Ranges are sorted, do not overlap, are not empty, and neighbours differ in kind or node.
//! 2. Only kinds that a node can own ([`RangeKind::has_node`]) carry one.
//! 3. A layout has two views. [`Layout::ranges`] is the map as the firmware (or whoever edited it last) gave it.
//!    [`Layout::kernel_view`] is the map as a kernel takes it over; [`Layout::memory_ranges`] always uses that one.
//! 4. The order of the variants of [`RangeKind`] is the precedence: where ranges overlap, the greater kind wins. It
//!    follows Linux, which lets the higher e820 type win, with the kinds that e820 does not know put where they do no
//!    harm. In e820-style tables the types themselves decide ([`MapEntry::e820_type`](crate::MapEntry::e820_type)), so
//!    that a type without a name has the precedence of its number.
//! 5. A window is the least of all, so that it never hides the memory that fills it.

use std::collections::BTreeSet;

use sparsemem_core::{ByteLen, NodeId, PhysAddr, PhysRange, Region, RegionKind};

/// A physical range of one kind on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayoutRange {
    /// Its addresses.
    pub range: PhysRange,
    /// Its kind.
    pub kind: RangeKind,
    /// The node it belongs to, if the text names one.
    pub node: Option<NodeId>,
}

/// The physical layout of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    firmware: Vec<LayoutRange>,
    kernel: Vec<LayoutRange>,
    nodes: BTreeSet<NodeId>,
}

impl Layout {
    /// A layout of ranges that satisfy the invariants.
    pub(crate) fn new(firmware: Vec<LayoutRange>, kernel: Vec<LayoutRange>, nodes: BTreeSet<NodeId>) -> Self {
        Self { firmware, kernel, nodes }
    }

    /// The map in force before the kernel's own edits, lowest address first.
    #[must_use]
    pub fn ranges(&self) -> &[LayoutRange] {
        &self.firmware
    }

    /// The layout as a kernel takes it over:
    ///
    /// - edits that a log shows (`e820: update`, `e820: remove`) are applied, and so are the two that Linux makes on
    ///   every PC, the first page reserved and 640 KiB to 1 MiB removed, also when the log does not show them;
    /// - RAM is cut down to whole frames, of the size that the log gives evidence of, otherwise of 4 KiB; the rest is in no
    ///   range;
    /// - device tree reservations inside RAM are RAM: Linux keeps descriptors for them.
    #[must_use]
    pub fn kernel_view(&self) -> Self {
        Self { firmware: self.kernel.clone(), kernel: self.kernel.clone(), nodes: self.nodes.clone() }
    }

    /// RAM as a kernel would register it (see [`kernel_view`](Self::kernel_view)), lowest address first; neighbours on
    /// the same node are one range. A range without a node is node 0's.
    pub fn memory_ranges(&self) -> impl Iterator<Item = (PhysRange, NodeId)> + Clone + '_ {
        self.kernel
            .iter()
            .filter(|entry| entry.kind == RangeKind::Ram)
            .map(|entry| (entry.range, entry.node.unwrap_or_default()))
    }

    /// The layout as a kernel takes it over, as regions for [`Regions::what_is`](sparsemem_core::Regions::what_is): one truth
    /// of the table, the edits, the reservations and the affinity table. Windows in which nothing is plugged are holes.
    ///
    /// ```
    /// use sparsemem_core::{PhysAddr, PhysRange, Regions, WhatIs};
    /// use sparsemem_log_reader::{Mode, parse};
    ///
    /// let log = "\
    /// BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable
    /// BIOS-e820: [mem 0x0000000000100000-0x000000001fffffff] usable
    /// BIOS-e820: [mem 0x0000000020000000-0x00000000200fffff] ACPI NVS
    /// ";
    /// let regions = parse(log, Mode::Strict)?.layout.regions();
    /// let regions = Regions::new(&regions).unwrap();
    /// let what = |start, end| regions.what_is(PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap());
    /// assert_eq!(what(0x10_0000, 0x2000_0000), WhatIs::Ram);
    /// assert_eq!(what(0, 0x2000), WhatIs::Mixed); // every PC keeps its first page
    /// assert_eq!(what(0x2000_0000, 0x2000_1000), WhatIs::Reserved);
    /// assert_eq!(what(0xa_0000, 0x10_0000), WhatIs::Hole);
    /// # Ok::<(), sparsemem_log_reader::ParseErrors>(())
    /// ```
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        let region = |entry: &LayoutRange| Some(Region { range: entry.range, kind: entry.kind.region()? });
        self.kernel.iter().filter_map(region).collect()
    }

    /// Every node that the text names and the kernel did not reject, also one without memory; node 0 alone if the text
    /// names none.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().copied()
    }

    /// The bytes of [`ranges`](Self::ranges) that are of this kind.
    #[must_use]
    pub fn bytes_of(&self, kind: RangeKind) -> ByteLen {
        let ranges = self.firmware.iter().filter(|entry| entry.kind == kind);
        ByteLen::new(ranges.fold(0u64, |sum, entry| sum.saturating_add(entry.range.count().get())))
    }

    /// The first address above everything in [`ranges`](Self::ranges), or `None` if there are no ranges.
    #[must_use]
    pub fn end(&self) -> Option<PhysAddr> {
        self.firmware.last().map(|entry| entry.range.end())
    }
}

/// The kind of a physical range.
///
/// The variants stand in order of precedence, weakest first; in e820-style tables the number of the type decides:
///
/// | kind | name | e820 type | where it comes from |
/// |---|---|---|---|
/// | [`HotplugWindow`](Self::HotplugWindow) | `hotplug-window` | - | SRAT `hotplug`, CXL windows |
/// | [`Ram`](Self::Ram) | `ram` | 1 | `usable`, System RAM, EFI conventional memory |
/// | [`Device`](Self::Device) | `device` | - | everything else in an iomem listing, EFI memory-mapped I/O |
/// | [`Reserved`](Self::Reserved) | `reserved` | 2 | firmware's own, device tree reservations |
/// | [`AcpiTables`](Self::AcpiTables) | `acpi-tables` | 3 | `ACPI data`, reclaimable |
/// | [`AcpiNvs`](Self::AcpiNvs) | `acpi-nvs` | 4 | kept over sleep |
/// | [`Unusable`](Self::Unusable) | `unusable` | 5 | RAM with errors |
/// | [`Other`](Self::Other) | `other` | any other | `type 9`, `type 20`, .. |
/// | [`Persistent`](Self::Persistent) | `persistent` | 7, 12 | NVDIMMs, `memmap=..!..` |
/// | [`SoftReserved`](Self::SoftReserved) | `soft-reserved` | 0xefffffff | special-purpose memory |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RangeKind {
    /// An address range where memory may be plugged and none is now.
    HotplugWindow,
    /// Ordinary memory.
    Ram,
    /// Registers or memory of a device.
    Device,
    /// Memory that the firmware keeps, for itself or for a device.
    Reserved,
    /// ACPI tables; memory that is free once they were read.
    AcpiTables,
    /// ACPI storage that has to survive sleep.
    AcpiNvs,
    /// Memory that does not work.
    Unusable,
    /// An e820 type that has no name.
    Other,
    /// Persistent memory.
    Persistent,
    /// Memory set aside for a special purpose; a driver may hand it out.
    SoftReserved,
}

impl RangeKind {
    /// Every kind, weakest first.
    pub const PRECEDENCE: [Self; 10] = [
        Self::HotplugWindow,
        Self::Ram,
        Self::Device,
        Self::Reserved,
        Self::AcpiTables,
        Self::AcpiNvs,
        Self::Unusable,
        Self::Other,
        Self::Persistent,
        Self::SoftReserved,
    ];

    /// The name that reports and JSON use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HotplugWindow => "hotplug-window",
            Self::Ram => "ram",
            Self::Device => "device",
            Self::Reserved => "reserved",
            Self::AcpiTables => "acpi-tables",
            Self::AcpiNvs => "acpi-nvs",
            Self::Unusable => "unusable",
            Self::Other => "other",
            Self::Persistent => "persistent",
            Self::SoftReserved => "soft-reserved",
        }
    }

    /// The kind of region that a kernel has for a range of this kind; `None` for a window in which nothing is plugged.
    #[must_use]
    pub const fn region(self) -> Option<RegionKind> {
        match self {
            Self::HotplugWindow => None,
            Self::Ram => Some(RegionKind::Ram),
            Self::Reserved | Self::AcpiTables | Self::AcpiNvs | Self::Unusable | Self::Other => {
                Some(RegionKind::Reserved)
            }
            // Drivers hand persistent and special-purpose memory out.
            Self::Device | Self::Persistent | Self::SoftReserved => Some(RegionKind::Device),
        }
    }

    /// True if a range of this kind belongs to a NUMA node.
    #[must_use]
    pub const fn has_node(self) -> bool {
        matches!(self, Self::HotplugWindow | Self::Ram | Self::Persistent | Self::SoftReserved)
    }
}

impl std::fmt::Display for RangeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_precedence_table_is_the_order_of_the_variants() {
        assert!(RangeKind::PRECEDENCE.is_sorted_by(|weak, strong| weak < strong));
        assert_eq!(RangeKind::PRECEDENCE.len(), 10);
    }

    #[test]
    fn names_are_kebab_case_and_differ() {
        let names: std::collections::BTreeSet<_> =
            RangeKind::PRECEDENCE.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), RangeKind::PRECEDENCE.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    }
}
