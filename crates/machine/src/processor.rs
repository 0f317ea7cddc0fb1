//! The processors that a machine can have: how each reads its page tables, and what it may remember of them.
//!
//! This is written from the manuals and shares no code with the formats that models write.
//!
//! Source: Intel SDM volume 3, "4-level paging and 5-level paging"; Arm ARM (DDI 0487 K.a) D8.2, D8.3 and D8.16; RISC-V
//! privileged architecture (20211203) 4.3.1 and 4.4.1.

use sparsemem_core::{PagingDepth, PhysAddr, VirtAddr};

use crate::Mismatch;

/// A processor, as far as page tables show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// x86_64.
    X86_64,
    /// arm64, whose root table translates the first addresses (`TTBR0_EL1`): a process of the host has no others.
    Aarch64 {
        /// The size of a page is 2 to this power: 12, 14 or 16.
        page_shift: u32,
        /// The size of addresses: 48, or 52 with `FEAT_LPA2` or `FEAT_LPA` in use.
        address_bits: u32,
    },
    /// riscv64.
    Riscv64,
}

/// The meaning of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Absent,
    Table {
        at: PhysAddr,
        writable: bool,
    },
    Leaf {
        to: PhysAddr,
        writable: bool,
    },
    /// A combination of bits that the processor reserves.
    Reserved,
    /// A leaf that is not aligned to its size.
    Misaligned,
}

const fn bit(entry: u64, number: u32) -> bool {
    entry >> number & 1 != 0
}

/// The bits from `low` up to and without `end`.
const fn field(low: u32, end: u32) -> u64 {
    (1 << end) - (1 << low)
}

impl Processor {
    /// Bytes of a page, and of a table.
    pub(crate) const fn page_bytes(self) -> u64 {
        1 << self.page_shift()
    }

    /// A page, the smallest mapping, has 2 to this power bytes, and so has a table.
    #[must_use]
    pub const fn page_shift(self) -> u32 {
        match self {
            Self::Aarch64 { page_shift, .. } => page_shift,
            _ => 12,
        }
    }

    /// An entry of a table of `level`, counted from 1 at the leaves, translates 2 to this power bytes.
    pub(crate) const fn shift(self, level: u32) -> u32 {
        self.page_shift() + (self.page_shift() - 3) * (level - 1)
    }

    /// Entries of a table that is not the root.
    pub(crate) const fn entries(self) -> u64 {
        self.page_bytes() / 8
    }

    /// The addresses from zero on that tables of this depth translate.
    pub(crate) fn low_end(self, depth: PagingDepth) -> u64 {
        let whole = self.shift(root_level(depth) + 1);
        match self {
            // Half of them are at the high end of the address space.
            Self::X86_64 | Self::Riscv64 => 1 << (whole - 1),
            Self::Aarch64 { address_bits, .. } => 1 << whole.min(address_bits),
        }
    }

    /// True if memory that was just mapped may be used before the environment was told.
    pub(crate) const fn sees_at_once(self) -> bool {
        matches!(self, Self::X86_64)
    }

    /// True if an entry that is in use must become empty, and be forgotten, before it maps something else.
    pub(crate) const fn breaks_before_make(self) -> bool {
        matches!(self, Self::Aarch64 { .. })
    }

    /// Reads an entry of a table of `level`.
    pub(crate) fn decode(self, entry: u64, level: u32) -> Decoded {
        match self {
            Self::X86_64 => self.decode_x86_64(entry, level),
            Self::Aarch64 { page_shift, address_bits } => {
                self.decode_aarch64(entry, level, page_shift, address_bits)
            }
            Self::Riscv64 => self.decode_riscv64(entry, level),
        }
    }

    fn decode_x86_64(self, entry: u64, level: u32) -> Decoded {
        let (at, writable) = (entry & field(12, 52), bit(entry, 1));
        match (bit(entry, 0), level, bit(entry, 7)) {
            (false, ..) => Decoded::Absent,
            (_, 1, _) => self.leaf(at, writable, level),
            // Bit 12 chooses the memory type.
            (_, 2 | 3, true) => self.leaf(at & !(1 << 12), writable, level),
            (_, _, true) => Decoded::Reserved,
            _ => Decoded::Table { at: PhysAddr::new(at), writable },
        }
    }

    fn decode_aarch64(self, entry: u64, level: u32, page_shift: u32, address_bits: u32) -> Decoded {
        let is_lpa2 = address_bits == 52 && page_shift < 16;
        let (at, zeros) = match (address_bits, is_lpa2) {
            (48, _) => (entry & field(page_shift, 48), field(12, page_shift) | field(48, 50)),
            (_, true) => {
                (entry & field(page_shift, 50) | (entry & field(8, 10)) << 42, field(12, page_shift))
            }
            (_, false) => (entry & field(16, 48) | (entry & field(12, 16)) << 36, field(48, 50)),
        };
        let more = u32::from(page_shift == 12) + u32::from(address_bits == 52);
        let (table_or_page, accessed) = (bit(entry, 1), bit(entry, 10));
        if !bit(entry, 0) {
            return Decoded::Absent;
        }
        if entry & zeros != 0 {
            return Decoded::Reserved;
        }
        if level > 1 && table_or_page {
            return Decoded::Table { at: PhysAddr::new(at), writable: !bit(entry, 62) };
        }
        // Level 1 has pages only, others blocks as far as the granule has them. Without AF an access faults, users must
        // not have it, and one shareability is reserved.
        let is_leaf = (level == 1) == table_or_page && level <= 2 + more;
        let shareable = is_lpa2 || entry & field(8, 10) == field(8, 10);
        if !is_leaf || !accessed || bit(entry, 6) || !shareable {
            return Decoded::Reserved;
        }
        self.leaf(at, !bit(entry, 7), level)
    }

    fn decode_riscv64(self, entry: u64, level: u32) -> Decoded {
        let at = (entry & field(10, 54)) << 2;
        let [valid, read, write, execute, user] = [0, 1, 2, 3, 4].map(|number| bit(entry, number));
        let (accessed, dirty) = (bit(entry, 6), bit(entry, 7));
        if !valid {
            return Decoded::Absent;
        }
        if entry >> 54 != 0 || user || write && !read {
            return Decoded::Reserved;
        }
        if read || execute {
            // Without A the first load may fault, and without D the first store, if it may be made.
            return if accessed && (dirty || !write) {
                self.leaf(at, write, level)
            } else {
                Decoded::Reserved
            };
        }
        if level == 1 || accessed || dirty {
            Decoded::Reserved
        } else {
            Decoded::Table { at: PhysAddr::new(at), writable: true }
        }
    }

    fn leaf(self, to: u64, writable: bool, level: u32) -> Decoded {
        let to = PhysAddr::new(to);
        if to.is_aligned(1 << self.shift(level)) {
            Decoded::Leaf { to, writable }
        } else {
            Decoded::Misaligned
        }
    }
}

/// The level of the root table of tables of this depth.
pub(crate) const fn root_level(depth: PagingDepth) -> u32 {
    match depth {
        PagingDepth::Two => 2,
        PagingDepth::Three => 3,
        PagingDepth::Four => 4,
        PagingDepth::Five => 5,
    }
}

impl Decoded {
    /// The error that an entry for `at` is, if it is one.
    pub(crate) const fn error(self, at: VirtAddr, entry: u64) -> Option<Mismatch> {
        match self {
            Self::Reserved => Some(Mismatch::Malformed { at, entry }),
            Self::Misaligned => Some(Mismatch::Misaligned { at, entry }),
            _ => None,
        }
    }
}
