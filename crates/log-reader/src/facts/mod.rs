//! Figures that a log says about the map, besides the map itself.
//!
//! # Invariants
//!
//! 1. A line that is no figure in a known form is passed over: no map follows from it, so nothing is lost but a check.

mod ranges;
mod totals;

use sparsemem_core::{NodeId, PhysRange};

use crate::frames::FrameRange;

/// A figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// `On node 0 totalpages: 5`.
    TotalPages(NodeId, u64),
    /// `last_pfn = 0x280000`: the first frame above RAM.
    LastFrame(u64),
    /// A zone with addresses, or in frames.
    Zone(ZoneRange),
    /// `Initmem setup node 0 [mem ..]`.
    NodeSpan(NodeId, PhysRange),
    /// `Faking a node at [mem ..]`: all memory, from 0 on in some kernels, wherever it begins.
    Faked(PhysRange),
    /// `early_node_map[5]`: the number of ranges below it.
    EarlyRows(usize),
    /// `BIOS-e820: [gap 0x..-0x..]`: addresses between two rows, which new kernels print.
    Gap(PhysRange),
    /// ` memory.cnt  = 0x3`: the number of rows of the boot allocator's dump.
    AllocatorRows(usize),
    /// `On node 0, zone DMA: 5 pages in unavailable ranges`: pages of present sections that are no memory.
    Unavailable(u64),
    /// `Memory: 1K/2K available (.., 3K absent, ..)`: the second size without the absent part, and whether it may count
    /// holes.
    Available { kibibytes: u64, holes: bool },
    /// `Memory: 64MB 64MB = 128MB total`: RAM in MiB, and how many banks it is in, each rounded down.
    Banks { mebibytes: u64, count: u64 },
    /// `Number of nodes 4`.
    Nodes(u64),
    /// `Total online memory: 15.8G`: bytes, and how many of them the print may have rounded away.
    Online { bytes: u64, rounding: u64 },
    /// `(XEN) System RAM: 32654MB (33438000kB)`.
    HypervisorRam(u64),
    /// `PM: Registered nosave memory: [mem ..]`: addresses that are no RAM, or hold something of the firmware's.
    NotSaved(PhysRange),
    /// `3200MB HIGHMEM available.`: RAM above what the kernel addresses directly.
    HighMib(u64),
    /// `896MB LOWMEM available.`: what the kernel addresses directly.
    LowMib(u64),
    /// `Top of RAM: 0x.., Total RAM: 0x..`: the end, and the bytes.
    TopAndTotal(u64, u64),
    /// An option of the command line that changes the map.
    ChangesMap(String),
}

/// The range of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ZoneRange {
    Bytes(PhysRange),
    Frames(FrameRange),
}

/// The lines before that a figure needs to be understood.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    in_zones: bool,
}

/// Every kind of line by itself.
const FORMS: [fn(&str) -> Option<Fact>; 18] = [
    totals::of_node,
    totals::last_frame,
    totals::early_rows,
    totals::available,
    totals::banks,
    totals::nodes,
    totals::online,
    totals::hypervisor_ram,
    totals::allocator_rows,
    totals::unavailable,
    totals::high,
    totals::low,
    totals::top_and_total,
    totals::command_line,
    ranges::node_span,
    ranges::faked,
    ranges::gap,
    ranges::not_saved,
];

impl Context {
    /// Reads a line.
    pub(crate) fn read(&mut self, message: &str) -> Option<Fact> {
        if matches!(message, "Zone ranges:" | "Zone PFN ranges:") {
            self.in_zones = true;
        } else if message.starts_with("Movable zone start") || message.starts_with("early_node_map[") {
            self.in_zones = false;
        }
        let zone = if self.in_zones { ranges::zone(message) } else { None };
        zone.or_else(|| FORMS.iter().find_map(|form| form(message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses;

    fn read(lines: &[&str]) -> Vec<Fact> {
        let mut context = Context::default();
        lines.iter().filter_map(|line| context.read(line)).collect()
    }

    #[test]
    fn figures_of_all_decades_are_read() {
        assert_eq!(read(&["On node 1 totalpages: 12"]), [Fact::TotalPages(NodeId::new(1), 12)]);
        assert_eq!(read(&["last_pfn = 0x2880000 max_arch_pfn = 0x400000000"]), [Fact::LastFrame(0x288_0000)]);
        assert_eq!(read(&["early_node_map[5] active PFN ranges"]), [Fact::EarlyRows(5)]);
        assert_eq!(read(&["memory.cnt  = 0x3"]), [Fact::AllocatorRows(3)]);
        let unavailable = "On node 1, zone Normal: 6608 pages in unavailable ranges";
        assert_eq!(read(&[unavailable]), [Fact::Unavailable(6608)]);
        let banks = |mebibytes, count| [Fact::Banks { mebibytes, count }];
        assert_eq!(read(&["Memory: 64MB 64MB = 128MB total"]), banks(128, 2));
        assert_eq!(read(&["Memory: 256MB = 256MB total"]), banks(256, 1));
        assert_eq!(read(&["Memory: 12MB of flash = 12MB total", "Memory: 1MB = 2MB"]), []);
        let available = |kibibytes, holes| [Fact::Available { kibibytes, holes }];
        assert_eq!(
            read(&["Memory: 3k/50k available (4k kernel code, 10k absent, 2k reserved)"]),
            available(40, false)
        );
        assert_eq!(read(&["Memory: 3k/50k available (4k kernel code)"]), available(50, true));
        assert_eq!(read(&["Memory: 3K/50K available (4K kernel code, 1K rwdata)"]), available(50, false));
        assert_eq!(read(&["Memory: 3k/3k available, 50k reserved, 0K highmem"]), available(53, false));
        assert_eq!(
            read(&["Total online memory:    15.8G"]),
            [Fact::Online { bytes: (15 << 30) + (1 << 30) / 10 * 8, rounding: (1 << 30) / 10 }]
        );
        assert_eq!(
            read(&["Total online memory : 2560 MB"]),
            [Fact::Online { bytes: 2560 << 20, rounding: (1 << 20) / 10 }]
        );
    }

    #[test]
    fn zones_count_below_their_header_only() {
        let zone = "DMA      [mem 0x1000-0xffffff]";
        assert!(read(&[zone]).is_empty());
        assert_eq!(read(&["Zone ranges:", zone, "Movable zone start for each node", zone]).len(), 1);
        assert_eq!(read(&["Zone PFN ranges:", "HighMem    131056 ->   131056"]).len(), 1);
    }

    #[test]
    fn figures_of_the_ends_of_memory_are_read() {
        let range = addresses::between(0x9_f000, 0xa_0000);
        for line in [
            "PM: Registered nosave memory: [mem 0x0009f000-0x0009ffff]",
            "PM: hibernation: Registered nosave memory: [mem 0x0009f000-0x0009ffff]",
            "PM: Registered nosave memory: 000000000009f000 - 00000000000a0000",
        ] {
            assert_eq!(read(&[line]), [Fact::NotSaved(range)], "{line}");
        }
        assert_eq!(read(&["3200MB HIGHMEM available."]), [Fact::HighMib(3200)]);
        assert_eq!(read(&["896MB LOWMEM available."]), [Fact::LowMib(896)]);
        let top = "Top of RAM: 0x200800000000, Total RAM: 0x1000000000";
        assert_eq!(read(&[top]), [Fact::TopAndTotal(0x2008_0000_0000, 0x10_0000_0000)]);
        let faked = "Faking a node at [mem 0x0000000040000000-0x000000013fffffff]";
        let span = addresses::between(0x4000_0000, 0x1_4000_0000);
        assert_eq!(read(&[faked, &format!("NUMA: {faked}")]), vec![Fact::Faked(span); 2]);
    }

    #[test]
    fn only_options_that_change_the_map_count() {
        let option = |line: &str| read(&[line]).into_iter().next();
        let found = |option: &str| Some(Fact::ChangesMap(option.to_owned()));
        assert_eq!(option("Command line: root=/dev/sda1 mem=4G quiet"), found("mem=4G"));
        assert_eq!(option("Kernel command line: ro memmap=64M$0x20000000"), found("memmap=64M$0x20000000"));
        for other in [
            "Command line: ro mem=nopentium quiet",
            "Command line: kvm.mem=4G",
            "mem=4G",
            "Command line: memtest=4",
        ] {
            assert_eq!(option(other), None, "{other}");
        }
    }
}
