//! A machine's map in a log, and how tests read it.

#![allow(unreachable_pub, reason = "shared by tests")]

use sparsemem_core::NodeId;
use sparsemem_log_reader::{Layout, Mode, Parsed, parse};

/// The map of a PC with 4 GiB of RAM.
pub const TABLE: &str = "\
Linux version 6.1.0
BIOS-provided physical RAM map:
BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usable
BIOS-e820: [mem 0x0000000100000000-0x000000013fffffff] usable
";

/// The affinity table of [`TABLE`]'s machine, with the last GiB on node 1, and a window after it.
pub const AFFINITY: &str = "\
ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0xbfffffff]
ACPI: SRAT: Node 1 PXM 1 [mem 0x100000000-0x13fffffff]
ACPI: SRAT: Node 1 PXM 1 [mem 0x140000000-0x1ffffffff] hotplug
";

/// Reads a text that has no malformed line.
pub fn strict(text: &str) -> Parsed {
    parse(text, Mode::Strict).unwrap_or_else(|error| panic!("{error}"))
}

/// The nodes that a layout names.
pub fn nodes(layout: &Layout) -> Vec<u32> {
    layout.nodes().map(NodeId::get).collect()
}
