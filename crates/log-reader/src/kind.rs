//! What a physical range is, and which of two overlapping answers counts.
//!
//! # Invariants
//!
//! 1. The order of the variants of [`Kind`] is the precedence: where ranges overlap, the greater kind wins. It follows
//!    Linux, which lets the higher e820 type win, with the kinds that e820 does not know put where they do no harm. In
//!    e820-style tables the types themselves decide ([`Entry::e820_type`](crate::Entry::e820_type)), so that a type without
//!    a name has the precedence of its number.
//! 2. A window is the least of all, so that it never hides what fills it.

/// What a physical range is.
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
pub enum Kind {
    /// An address range where memory may be plugged and none is now.
    HotplugWindow,
    /// Ordinary memory.
    Ram,
    /// Registers or memory of a device.
    Device,
    /// Kept by the firmware, or for a device.
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

impl Kind {
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

    /// Whether a range of this kind belongs to a NUMA node.
    #[must_use]
    pub const fn has_node(self) -> bool {
        matches!(self, Self::HotplugWindow | Self::Ram | Self::Persistent | Self::SoftReserved)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_precedence_table_is_the_order_of_the_variants() {
        assert!(Kind::PRECEDENCE.is_sorted_by(|weak, strong| weak < strong));
        assert_eq!(Kind::PRECEDENCE.len(), 10);
    }

    #[test]
    fn names_are_kebab_case_and_differ() {
        let names: std::collections::BTreeSet<_> = Kind::PRECEDENCE.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::PRECEDENCE.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    }
}
