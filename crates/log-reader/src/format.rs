//! The notations that are understood, and which of them gives the map when a text has several.
//!
//! # Invariants
//!
//! 1. The order of the variants of [`Format`] is the choice, weakest first; among the e820-style tables, which all have
//!    the same weight, the one that begins last is taken, because each was made from those before it.

/// A notation of a memory map.
///
/// A kernel log often has several. One of them gives the layout; the rule, first that exists:
///
/// 1. the **last** e820-style table of any origin: Linux prints the firmware's, then the one with the loader's data
///    marked, then the user's, then the modified one, each made from those before it;
/// 2. the EFI memory map;
/// 3. the early node ranges, i.e. what a kernel without an e820 registered;
/// 4. a dump of the boot allocator;
/// 5. `/proc/iomem`;
/// 6. the memory blocks of sysfs;
/// 7. the ACPI affinity table alone (ranges without `hotplug` are RAM then).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// `SRAT: Node 0 PXM 0 [mem ..]`, with nothing else to go by.
    Srat,
    /// `node0 MemTotal .. kB memory blocks: 0-15 32-143`.
    MemoryBlocks,
    /// `/proc/iomem`.
    Iomem,
    /// `memory[0x0] [0x..-0x..]`, or the allocator's listing in debugfs.
    Memblock,
    /// `node 0: [mem 0x..-0x..]`, and its older form in frame numbers.
    EarlyNodeRanges,
    /// `efi: mem00: ..`.
    Efi,
    /// `(XEN) [start, end] (type)` or `(XEN) start - end (type)`: the hypervisor's own log.
    XenHypervisor,
    /// `Xen: ..`: Linux as a guest of Xen.
    LinuxOnXen,
    /// `BIOS-e801: ..` or `BIOS-88: ..`: the predecessors of e820.
    BiosE801,
    /// `BIOS-e820: ..`.
    BiosE820,
    /// `reserve setup_data: ..`: the firmware's map with the loader's data marked.
    ExtendedE820,
    /// `user: ..`: the map as the command line changed it.
    UserE820,
    /// `modified: ..`: the map as the kernel changed it.
    ModifiedE820,
}

impl Format {
    /// The name that reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Srat => "srat",
            Self::MemoryBlocks => "memory-blocks",
            Self::Iomem => "iomem",
            Self::Memblock => "memblock",
            Self::EarlyNodeRanges => "early-node-ranges",
            Self::Efi => "efi",
            Self::XenHypervisor => "xen-hypervisor",
            Self::LinuxOnXen => "linux-on-xen",
            Self::BiosE801 => "bios-e801",
            Self::BiosE820 => "bios-e820",
            Self::ExtendedE820 => "extended-e820",
            Self::UserE820 => "user-e820",
            Self::ModifiedE820 => "modified-e820",
        }
    }

    /// Whether it is an e820-style table.
    #[must_use]
    pub const fn is_e820_style(self) -> bool {
        self as u8 >= Self::XenHypervisor as u8
    }

    /// Whether Linux on a PC takes the table through its own early edits (see [`Edit`](crate::Edit)). Under Xen there is
    /// no BIOS area to protect.
    #[must_use]
    pub const fn is_edited_by_linux(self) -> bool {
        self as u8 >= Self::BiosE801 as u8
    }

    /// Weight of the format when a text has several; all e820-style tables weigh the same.
    pub(crate) const fn weight(self) -> u8 {
        if self.is_e820_style() { u8::MAX } else { self as u8 }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
