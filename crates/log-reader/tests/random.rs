//! Random maps in random notation come back as they were, and random text never does harm.

use proptest::prelude::*;
use sparsemem_core::{PhysAddr, PhysRange};
use sparsemem_log_reader::{LayoutRange, Mode, RangeKind, golden, parse, parse_bytes};

/// Kinds that an e820 table can have, with their names, by the number of their type.
const KINDS: [(RangeKind, &str); 9] = [
    (RangeKind::Ram, "usable"),
    (RangeKind::Reserved, "reserved"),
    (RangeKind::AcpiTables, "ACPI data"),
    (RangeKind::AcpiNvs, "ACPI NVS"),
    (RangeKind::Unusable, "unusable"),
    (RangeKind::Other, "type 9"),
    (RangeKind::Persistent, "persistent (type 12)"),
    (RangeKind::Other, "type 20"),
    (RangeKind::SoftReserved, "soft reserved"),
];

/// Notations of a line: prefix and form.
fn line(notation: usize, start: u64, end: u64, name: &str) -> String {
    let last = end - 1;
    match notation {
        0 => format!("[    0.000000] BIOS-e820: [mem {start:#018x}-{last:#018x}] {name}"),
        1 => format!("<6> BIOS-e820: {start:016x} - {end:016x} ({name})"),
        2 => format!("Jul 27 14:41:57 host kernel:  BIOS-e820: {:016x} @ {start:016x} ({name})", end - start),
        3 => format!("[Fri Feb 24 09:33:02 2023] BIOS-e820: [{start:016x}, {last:016x}] ({name})"),
        _ => format!("BIOS-e820: [mem {start:#018x}-{last:#018x}]  {name}"),
    }
}

/// Ranges of a kind that neither meet nor overlap, lowest first.
fn tables() -> impl Strategy<Value = Vec<(u64, u64, usize)>> {
    prop::collection::vec((1u64..1 << 40, 1u64..1 << 40, 0..KINDS.len()), 1..20).prop_map(|parts| {
        let mut end = 0u64;
        let place = |(gap, length, kind): (u64, u64, usize)| {
            let start = end + gap;
            end = start + length;
            (start, end, kind)
        };
        parts.into_iter().map(place).collect()
    })
}

fn entry(start: u64, end: u64, kind: RangeKind) -> LayoutRange {
    LayoutRange { range: PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap(), kind, node: None }
}

/// Lines that are nearly memory lines.
fn nearly() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "BIOS-e820:",
        "BIOS-e801:",
        "user:",
        "(XEN)",
        "Xen:",
        "[mem",
        "]",
        "0x",
        "-",
        "@",
        "(usable)",
        "usable",
        "==>",
        "e820: update",
        "e820: remove",
        "e820 update range:",
        "SRAT: Node",
        "PXM",
        "hotplug",
        "NUMA: Node",
        "->",
        "+",
        "efi: mem00:",
        "type=7,",
        "attr=0xf,",
        "range=[",
        ")",
        "node 0:",
        "early_node_map[2]",
        "0:",
        " : ",
        "System RAM",
        "node0",
        "memory blocks:",
        "# block size",
        "128 MiB",
        "memory[0x0]",
        "..",
        "ffffffffffffffff",
        "0",
        "10000000000000000",
        "-1",
        "\u{fffd}",
        "kernel:",
        "[    0.000000]",
        "OF: reserved mem: 0x",
        "OF: fdt: Ignoring memory range",
        "Faking a node at",
        "No NUMA configuration found",
        "] overlaps with node ",
        "Initmem setup node",
        "NODE_DATA(",
        "Zone ranges:",
        "PMD ->",
        "on node",
        "Memory:",
        "/",
        "k available",
        "18446744073709551615",
        "On node 0 totalpages:",
        "pages in unavailable ranges",
        "Memory block size:",
        "G",
        "online",
        "Top of RAM:",
        "Total RAM:",
    ]);
    prop::collection::vec((words, prop::bool::ANY), 0..9).prop_map(|words| {
        words
            .into_iter()
            .map(|(word, blank)| if blank { format!("{word} ") } else { word.to_owned() })
            .collect()
    })
}

proptest! {
    #[test]
    fn a_table_in_any_notation_comes_back(table in tables(), notations in prop::collection::vec(0usize..5, 20)) {
        let lines = table.iter().zip(&notations);
        let text: Vec<_> = lines.map(|(&(start, end, kind), &how)| line(how, start, end, KINDS[kind].1)).collect();
        let parsed = parse(&text.join("\nsome other line\n"), Mode::Strict).unwrap();
        let expected: Vec<_> = table.iter().map(|&(start, end, kind)| entry(start, end, KINDS[kind].0)).collect();
        prop_assert_eq!(parsed.layout.ranges(), expected);
    }

    #[test]
    fn the_order_of_overlapping_entries_does_not_matter(
        entries in prop::collection::vec((0u64..64, 1u64..64, 0..KINDS.len()), 1..12),
        nodes in prop::collection::vec((0u64..64, 0u64..64, 0u32..4, prop::sample::select(vec!["", "hotplug"])), 0..6),
        turn in 0usize..12,
    ) {
        let table = entries.iter().map(|&(start, length, kind)| {
            line(0, start << 12, (start + length) << 12, KINDS[kind].1)
        });
        let claims = nodes.iter().map(|(start, length, node, flag)| {
            let (start, last) = (start << 12, ((start + length) << 12).wrapping_sub(1));
            format!("SRAT: Node {node} PXM {node} [mem {start:#010x}-{last:#010x}] {flag}")
        });
        let mut lines: Vec<String> = table.chain(claims).collect();
        let first = parse(&lines.join("\n"), Mode::Strict).unwrap();
        let turns = turn % lines.len();
        lines.rotate_left(turns);
        prop_assert_eq!(&parse(&lines.join("\n"), Mode::Strict).unwrap().layout, &first.layout);
        lines.reverse();
        prop_assert_eq!(&parse(&lines.join("\n"), Mode::Strict).unwrap().layout, &first.layout);
    }

    #[test]
    fn a_layout_is_sorted_and_each_address_has_the_greatest_type(
        entries in prop::collection::vec((0u64..48, 1u64..24, 0..KINDS.len()), 1..12),
    ) {
        let text: Vec<_> =
            entries.iter().map(|&(start, length, kind)| line(4, start, start + length, KINDS[kind].1)).collect();
        let layout = parse(&text.join("\n"), Mode::Strict).unwrap().layout;
        prop_assert!(layout.ranges().is_sorted_by(|low, high| low.range.end() <= high.range.start()));
        for address in 0..80 {
            let covers = |&&(start, length, _): &&(u64, u64, usize)| (start..start + length).contains(&address);
            let expected = entries.iter().filter(covers).map(|&(.., kind)| kind).max().map(|kind| KINDS[kind].0);
            let found = layout.ranges().iter().find(|entry| entry.range.contains(PhysAddr::new(address)));
            prop_assert_eq!(found.map(|entry| entry.kind), expected);
        }
    }

    #[test]
    fn no_text_does_harm(lines in prop::collection::vec(nearly(), 0..30)) {
        let text = lines.join("\n");
        let lenient = parse(&text, Mode::Lenient);
        let strict = parse(&text, Mode::Strict);
        if let (Ok(lenient), Ok(strict)) = (&lenient, &strict) {
            prop_assert_eq!(lenient, strict);
        }
        prop_assert!(strict.is_err() || lenient.is_ok());
        let _ = golden::parse(&text);
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_bytes(&bytes, Mode::Lenient);
    }
}

#[test]
fn figures_of_any_size_are_compared() {
    let maps = [
        "BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable\n",
        " BIOS-e820: 0000000000100000 - 0000000040000000 (usable)\n",
        "node 0: [mem 0x0000000000100000-0xfffffffffffff000]\n",
        "0x0000000000000000-0x000000007fffffff 2G online yes 0-15\n",
        "(XEN) Xen-e820 RAM map:\n(XEN)  0000000000100000 - 0000000040000000 (usable)\n",
    ];
    for (map, number) in
        maps.iter().flat_map(|map| [0, 1, u64::MAX / 1024, u64::MAX].map(|number| (map, number)))
    {
        for figure in [
            format!("On node 0 totalpages: {number}"),
            format!("last_pfn = {number:#x} max_arch_pfn = 0x400000000"),
            format!("Zone PFN ranges:\n  Normal   {number:#x} -> {number:#x}\nMovable zone start PFN"),
            format!("early_node_map[{number}] active PFN ranges"),
            format!("Memory: 1k/{number}k available (4k kernel code, 1k absent)"),
            format!("Memory: 1k/{number}k available (4k kernel code)"),
            format!("Number of nodes {number}"),
            format!("Total online memory: {number}"),
            format!("(XEN) System RAM: 1MB ({number}kB)"),
            format!(" memory.cnt  = {number:#x}"),
            format!("On node 0, zone DMA: {number} pages in unavailable ranges"),
        ] {
            let text = format!("{map}{figure}\n");
            let parsed = parse(&text, Mode::Strict).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(parsed.layout.memory_ranges().count() > 0, "{text}");
        }
    }
}
