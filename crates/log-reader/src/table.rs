//! Tables as they stand in the text, and their notations.
//!
//! # Invariants
//!
//! 1. A [`Notation`] says how the reader treats its tables, and nothing about other notations. The table in
//!    `notations/mod.rs` says which notation is preferred to which.

use sparsemem_core::{NodeId, PhysRange};

use crate::RangeKind;

/// A notation of a memory map.
///
/// A kernel log often has maps in several notations. One table gives the layout, of the first notation that is there:
///
/// 1. e820-style tables of any origin, of which the one that begins **last** counts: Linux prints the firmware's table,
///    then the one with the loader's data marked, then the user's, then the modified one, each made from those before
///    it;
/// 2. the EFI memory map;
/// 3. the early node ranges, which are what a kernel without an e820 registered;
/// 4. a dump of the boot allocator;
/// 5. `/proc/iomem`;
/// 6. `lsmem`;
/// 7. the memory blocks of sysfs;
/// 8. the ACPI affinity table alone (ranges without `hotplug` are RAM then).
///
/// ```
/// use sparsemem_log_reader::{Mode, Notation, parse};
///
/// let text = "\
/// BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable
/// user: [mem 0x0000000000100000-0x000000001fffffff] usable
/// 00100000-3fffffff : System RAM
/// ";
/// let parsed = parse(text, Mode::Strict)?;
/// assert_eq!(parsed.notation, Notation::USER_E820);
/// assert_eq!(parsed.tables.len(), 3);
/// # Ok::<(), sparsemem_log_reader::ParseErrors>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Notation {
    name: &'static str,
    edits: KernelEdits,
}

/// The edits that Linux makes to a table before it registers the memory in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum KernelEdits {
    /// Linux makes none.
    None,
    /// Linux makes those that its log shows.
    Logged,
    /// Linux makes those that its log shows, and two that it makes on every PC without a line in the log.
    LoggedAndUsual,
}

impl Notation {
    /// A notation whose tables are not e820-style.
    pub(crate) const fn other(name: &'static str) -> Self {
        Self { name, edits: KernelEdits::None }
    }

    /// The e820 of a PC.
    pub(crate) const fn e820_of_pc(name: &'static str) -> Self {
        Self { name, edits: KernelEdits::LoggedAndUsual }
    }

    /// The e820 of a machine under Xen, which has no BIOS area to protect.
    pub(crate) const fn e820_of_xen(name: &'static str) -> Self {
        Self { name, edits: KernelEdits::Logged }
    }

    /// The name that reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// True for an e820-style table.
    #[must_use]
    pub const fn is_e820_style(self) -> bool {
        !matches!(self.edits, KernelEdits::None)
    }

    /// True for a table that is made of the firmware's, as the command line or the kernel changed it.
    #[must_use]
    pub(crate) fn is_of_user(self) -> bool {
        [Self::USER_E820, Self::MODIFIED_E820].contains(&self)
    }

    /// True if Linux on a PC takes the table through its own early edits (see [`E820Edit`]). Under Xen there is no BIOS
    /// area to protect.
    #[must_use]
    pub const fn is_edited_by_linux(self) -> bool {
        matches!(self.edits, KernelEdits::LoggedAndUsual)
    }
}

impl std::fmt::Display for Notation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One line of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// Its addresses. May be empty, and may overlap others.
    pub range: PhysRange,
    /// Its kind.
    pub kind: RangeKind,
    /// The number of its e820 type: in e820-style tables always, elsewhere never. Where ranges overlap, the higher one
    /// counts.
    pub e820_type: Option<u32>,
    /// The node, if the line names one.
    pub node: Option<NodeId>,
}

impl MapEntry {
    /// An entry of a table that is not e820-style.
    pub(crate) const fn new(range: PhysRange, kind: RangeKind, node: Option<NodeId>) -> Self {
        Self { range, kind, e820_type: None, node }
    }
}

/// A memory map of one notation, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapTable {
    /// The notation.
    pub notation: Notation,
    /// Its lines; of an iomem listing, the disjoint ranges that follow from its nesting.
    pub entries: Vec<MapEntry>,
    /// Number of the first line, counted from 1.
    pub first_line: usize,
    /// Number of the last line, counted from 1.
    pub last_line: usize,
}

/// A change that a kernel made to its e820 table, as the log shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum E820Edit {
    /// `e820: update [mem ..] from ==> to`.
    Update {
        /// The addresses of the change.
        range: PhysRange,
        /// The kind that changes.
        from: RangeKind,
        /// The kind that it becomes.
        to: RangeKind,
    },
    /// `e820: remove [mem ..] kind`.
    Remove {
        /// The addresses of the change.
        range: PhysRange,
        /// The kind that the kernel removes; `None` for every kind.
        kind: Option<RangeKind>,
    },
    /// The addition after `e820: remove [mem ..]` without a kind, which no kernel prints: the place of the kernel itself
    /// becomes RAM.
    Add {
        /// The addresses of the change.
        range: PhysRange,
        /// The kind that they get.
        kind: RangeKind,
    },
}
