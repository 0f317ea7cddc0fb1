//! The result of `parse`: the map that wins, the errors, and the two views of a layout.

mod common;

use sparsemem_core::{NodeId, PhysAddr, PhysRange};
use sparsemem_log_reader::{
    Layout, Mode, Notation, Note, ParseErrors, RangeKind, Reason, parse, parse_bytes,
};

use common::{AFFINITY, TABLE, nodes, strict};

fn ranges(layout: &Layout) -> Vec<(u64, u64, RangeKind)> {
    let of = |entry: &sparsemem_log_reader::LayoutRange| {
        (entry.range.start().get(), entry.range.end().get(), entry.kind)
    };
    layout.ranges().iter().map(of).collect()
}

fn memory(layout: &Layout) -> Vec<(u64, u64, u32)> {
    layout.memory_ranges().map(|(range, node)| (range.start().get(), range.end().get(), node.get())).collect()
}

#[test]
fn the_two_views_differ_by_the_edits_and_by_partial_frames() {
    let layout = strict(TABLE).layout;
    assert_eq!(ranges(&layout)[0], (0, 0x9_fc00, RangeKind::Ram));
    assert_eq!(
        ranges(&layout.kernel_view())[..2],
        [(0, 0x1000, RangeKind::Reserved), (0x1000, 0x9_f000, RangeKind::Ram)]
    );
    assert_eq!(memory(&layout), memory(&layout.kernel_view()));
    assert_eq!(layout.kernel_view(), layout.kernel_view().kernel_view());
}

#[test]
fn the_last_e820_table_wins_over_all_others() {
    let text = format!(
        "{TABLE}efi: mem00: type=7, attr=0xf, range=[0x0-0x9f000) (0MB)\n\
         user-defined physical RAM map:\n\
         user: [mem 0x0000000000100000-0x000000000fffffff] usable\n\
         user: [mem 0x0000000010000000-0x000000001fffffff] persistent (type 12)\n\
         Early memory node ranges\n  node   0: [mem 0x0000000000100000-0x000000003fffffff]\n"
    );
    let parsed = strict(&text);
    assert_eq!(parsed.notation, Notation::USER_E820);
    assert_eq!(memory(&parsed.layout), [(0x10_0000, 0x1000_0000, 0)]);
    let formats: Vec<_> = parsed.tables.iter().map(|table| table.notation).collect();
    assert_eq!(
        formats,
        [Notation::BIOS_E820, Notation::EFI, Notation::USER_E820, Notation::EARLY_NODE_RANGES]
    );
}

#[test]
fn efi_and_early_ranges_give_the_map_where_nothing_better_is() {
    let early = "Early memory node ranges\n  node   3: [mem 0x100000-0x3fffff]\n";
    assert_eq!(strict(early).notation, Notation::EARLY_NODE_RANGES);
    assert_eq!(memory(&strict(early).layout), [(0x10_0000, 0x40_0000, 3)]);
    let efi = format!("efi: mem00: type=7, attr=0xf, range=[0x100000-0x200000) (1MB)\n{early}");
    assert_eq!(strict(&efi).notation, Notation::EFI);
}

#[test]
fn edits_count_between_the_table_and_the_moment_it_is_taken_over() {
    let text = format!(
        "{TABLE}e820: update [mem 0xb0000000-0xffffffff] usable ==> reserved\n\
         last_pfn = 0xb0000 max_arch_pfn = 0x400000000\n\
         e820: update [mem 0x00200000-0x002fffff] usable ==> reserved\n"
    );
    let parsed = strict(&text);
    assert_eq!(parsed.edits.len(), 1);
    assert_eq!(memory(&parsed.layout)[1], (0x10_0000, 0xb000_0000, 0));
}

#[test]
fn the_last_boot_counts_and_the_others_are_noted() {
    let text = format!(
        "{TABLE}Linux version 6.2.0\nBIOS-e820: [mem 0x100000-0x1fffff] usable\nLinux version 6.3.0\n"
    );
    let parsed = strict(&text);
    assert_eq!(memory(&parsed.layout), [(0x10_0000, 0x20_0000, 0)]);
    assert_eq!(parsed.notes, [Note::EarlierBoots { count: 1 }]);
}

#[test]
fn nodes_come_from_the_affinity_table_and_windows_hide_nothing() {
    let text = format!(
        "{TABLE}ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x0009ffff]\n\
         ACPI: SRAT: Node 0 PXM 0 [mem 0x00100000-0xbfffffff]\n\
         ACPI: SRAT: Node 1 PXM 1 [mem 0x100000000-0x11fffffff]\n\
         ACPI: SRAT: Node 0 PXM 0 [mem 0x108000000-0x117ffffff] hotplug non-volatile\n\
         ACPI: SRAT: Node 2 PXM 2 [mem 0x100000000-0x1ffffffff] hotplug\n\
         ACPI: SRAT: Node 3 PXM 3 [mem 0x200000000-0x1ffffffff]\n"
    );
    let layout = strict(&text).layout;
    assert_eq!(memory(&layout)[2..], [(0x1_0000_0000, 0x1_2000_0000, 1), (0x1_2000_0000, 0x1_4000_0000, 2)]);
    let window = layout.ranges().last().unwrap();
    assert_eq!((window.kind, window.range.start().get()), (RangeKind::HotplugWindow, 0x1_4000_0000));
    assert_eq!(nodes(&layout), [0, 1, 2, 3]);
}

#[test]
fn nodes_that_the_kernel_rejected_are_not_used() {
    let faked = "Faking a node at [mem 0x0000000000000000-0x000000013fffffff]\n";
    let rejections = [
        "NUMA: nodes only cover 1024MB of your 4095MB e820 RAM. Not used.\n",
        "NUMA: no nodes coverage for 1024MB of 4095MB RAM\n",
        "NUMA: node 0 [mem 0x0-0xbfffffff] overlaps with node 1 [mem 0x80000000-0x13fffffff]\n",
        "NUMA: Node 0 [mem 0x0-0xbfffffff] overlaps with node 1 [mem 0x80000000-0x13fffffff]\n",
        "No NUMA configuration found\n",
        "",
    ];
    let expected = [(0x1000, 0x9_f000, 0), (0x10_0000, 0xc000_0000, 0), (0x1_0000_0000, 0x1_4000_0000, 0)];
    for rejection in rejections {
        for faked in [faked, "NUMA: Faking a node at 0000000000000000-0000000140000000\n", ""] {
            if rejection.is_empty() && faked.is_empty() {
                continue;
            }
            let text = format!("{TABLE}{AFFINITY}{rejection}{faked}");
            let parsed = strict(&text);
            assert_eq!(memory(&parsed.layout), expected, "{text}");
            assert_eq!(nodes(&parsed.layout), [0], "{text}");
            assert_eq!(parsed.notes, [Note::RejectedNodes { ranges: 3 }], "{text}");
            // Where memory may be plugged is still known, without a node.
            let window = parsed.layout.ranges().last().unwrap();
            assert_eq!(
                (window.kind, window.range.end().get(), window.node),
                (RangeKind::HotplugWindow, 2 << 32, None)
            );
        }
    }
    // Without a rejection the table counts, and so does one that another boot in the same text rejected.
    for text in [
        format!("{TABLE}{AFFINITY}"),
        format!("{TABLE}{AFFINITY}{faked}{TABLE}{AFFINITY}"),
        format!(
            "{TABLE}NUMA: Node 0 [mem 0x0-0xfff] + [mem 0x0-0xfff] -> [mem 0x0-0xfff]\nNUMA turned off\n{AFFINITY}"
        ),
    ] {
        assert_eq!(nodes(&strict(&text).layout), [0, 1], "{text}");
        assert_eq!(memory(&strict(&text).layout)[2], (0x1_0000_0000, 0x1_4000_0000, 1), "{text}");
    }
}

#[test]
fn what_is_said_of_nodes_after_a_rejection_counts() {
    // Linux on a PC of AMD asks the processors after it rejected the table.
    let text = format!(
        "{TABLE}{AFFINITY}NUMA: nodes only cover 1024MB of your 4095MB e820 RAM. Not used.\n\
         NUMA: Node 2 [mem 0x0-0xbfffffff] + [mem 0x100000000-0x13fffffff] -> [mem 0x0-0x13fffffff]\n"
    );
    assert_eq!(nodes(&strict(&text).layout), [2]);
    assert_eq!(memory(&strict(&text).layout)[2], (0x1_0000_0000, 0x1_4000_0000, 2));
}

#[test]
fn the_affinity_table_alone_gives_the_map_also_if_its_nodes_are_rejected() {
    let parsed = strict(&format!("{AFFINITY}Faking a node at [mem 0x0-0x13fffffff]\n"));
    assert_eq!(parsed.notation, Notation::SRAT);
    assert_eq!(memory(&parsed.layout), [(0, 0xc000_0000, 0), (0x1_0000_0000, 0x1_4000_0000, 0)]);
}

#[test]
fn what_the_kernel_registered_is_stronger_than_the_affinity_table() {
    let registered = [
        "Early memory node ranges\n  node   0: [mem 0x0000000000001000-0x000000013fffffff]\n",
        " memory[0x0]\t[0x0000000000001000-0x000000013fffffff], 0x13ffff000 bytes on node 0 flags: 0x0\n",
    ];
    for registered in registered {
        let layout = strict(&format!("{TABLE}{AFFINITY}{registered}")).layout;
        assert_eq!(memory(&layout)[2], (0x1_0000_0000, 0x1_4000_0000, 0), "{registered}");
        // Nothing was rejected: the window is node 1's.
        assert_eq!(layout.ranges().last().unwrap().node, Some(NodeId::new(1)));
    }
}

#[test]
fn memory_of_two_nodes_is_noted() {
    let text = format!("{TABLE}{AFFINITY}SRAT: Node 2 PXM 2 [mem 0x080000000-0x107ffffff]\n");
    let parsed = strict(&text);
    let range = PhysRange::new(PhysAddr::new(0x8000_0000), PhysAddr::new(0xc000_0000)).unwrap();
    let note = Note::OverlappingNodes { range, nodes: [NodeId::new(0), NodeId::new(2)] };
    assert_eq!(parsed.notes, [note]);
    assert!(note.to_string().contains("to node 0 and to node 2; Linux on a PC rejects"), "{note}");
    // If the text shows that the kernel rejected it, the note says only that.
    let parsed = strict(&format!("{text}Faking a node at [mem 0x0-0x13fffffff]\n"));
    assert_eq!(parsed.notes, [Note::RejectedNodes { ranges: 4 }]);
}

#[test]
fn the_higher_type_wins_also_without_a_name() {
    let kinds = |one: &str, other: &str| {
        let line = |name| format!("BIOS-e820: [mem 0x0000000000100000-0x00000000001fffff] {name}\n");
        let both = [format!("{}{}", line(one), line(other)), format!("{}{}", line(other), line(one))];
        let [first, second] = both.map(|text| ranges(&strict(&text).layout));
        assert_eq!(first, second, "{one}, {other}");
        first.into_iter().map(|(.., kind)| kind).collect::<Vec<_>>()
    };
    for (weak, strong, kind) in [
        ("persistent (type 7)", "type 20", RangeKind::Other),
        ("persistent (type 12)", "type 13", RangeKind::Other),
        ("type 9", "persistent (type 12)", RangeKind::Persistent),
        ("type 6", "persistent (type 7)", RangeKind::Persistent),
        ("type 0", "usable", RangeKind::Ram),
        ("reserved", "type 128", RangeKind::Ram),
        ("type 4026531839", "soft reserved", RangeKind::SoftReserved),
        ("soft reserved", "type 4294967295", RangeKind::Other),
    ] {
        assert_eq!(kinds(weak, strong), [kind], "{weak}, {strong}");
    }
    let entry =
        strict("BIOS-e820: [mem 0x0000000000100000-0x00000000001fffff] type 20\n").tables[0].entries[0];
    assert_eq!((entry.kind, entry.e820_type), (RangeKind::Other, Some(20)));
}

#[test]
fn a_range_up_to_the_end_of_the_address_space_is_read_in_the_old_notation() {
    let text = "\
BIOS-e820: 00000000fffc0000 - 0000000100000000 (reserved)
BIOS-e820: fffffffffffff000 - 0000000000000000 (reserved)
";
    let expected = [
        (0xfffc_0000, 0x1_0000_0000, RangeKind::Reserved),
        (0xffff_ffff_ffff_f000, u64::MAX, RangeKind::Reserved),
    ];
    assert_eq!(ranges(&strict(text).layout), expected);
}

#[test]
fn windows_of_everything_end_at_the_top_and_are_no_memory() {
    let text = "\
ACPI: SRAT: Node 2 PXM 2 [mem 0x00000000-0xffffffffffffffff] hotplug
ACPI: SRAT: Node 3 PXM 3 [mem 0x00000000-0xffffffffffffffff]
";
    let parsed = strict(text);
    assert_eq!(parsed.notation, Notation::SRAT);
    assert_eq!(ranges(&parsed.layout), [(0, u64::MAX, RangeKind::HotplugWindow)]);
    assert_eq!(parsed.layout.memory_ranges().count(), 0);
    assert_eq!(parsed.layout.nodes().count(), 2);
}

#[test]
fn what_a_kernel_merged_is_a_nodes_reach_and_no_memory() {
    let hull = "NUMA: Node 0 [mem 0x0-0xfff] + [mem 0x8000-0x8fff] -> [mem 0x0-0x8fff]\n";
    assert!(parse(hull, Mode::Strict).is_err());
    let text = format!("SRAT: Node 0 PXM 0 [mem 0x0-0xfff]\nSRAT: Node 0 PXM 0 [mem 0x8000-0x8fff]\n{hull}");
    assert_eq!(memory(&strict(&text).layout), [(0, 0x1000, 0), (0x8000, 0x9000, 0)]);
}

#[test]
fn quoted_and_marked_listings_keep_their_nesting() {
    let text = "> 240000000-33fdfffff : Persistent Memory\n>   280000000-2bfffffff : System RAM (kmem)\n";
    let expected = [(0x2_8000_0000, 0x2_c000_0000, 0)];
    assert_eq!(memory(&strict(text).layout), expected);
    assert_eq!(memory(&strict(&format!("\u{feff}{}", text.replace("> ", ""))).layout), expected);
}

#[test]
fn device_tree_reservations_are_memory_to_the_kernel() {
    let text = "\
OF: reserved mem: 0x0000000000200000..0x00000000002fffff (1024 KiB) nomap non-reusable tee
  node   0: [mem 0x100000-0x3fffff]
";
    let layout = strict(text).layout;
    assert_eq!(layout.bytes_of(RangeKind::Reserved).get(), 0x10_0000);
    assert_eq!(memory(&layout), [(0x10_0000, 0x40_0000, 0)]);
}

const BROKEN: &str = "\
Linux version 6.1.0
usb 1-1: new device
BIOS-e820: [mem 0x0000000000000000-0x00000000zz09fbff] usable
BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usable
BIOS-e820: [mem 0x0000000200000000-0x0000000100000000] usable
BIOS-e820: [mem 0x0000000400000000-0x00000004ffffffff] unheard of
BIOS-e801: ffffffffffffffff @ 0000000000000001 (usable)
BIOS-e820: [mem 0x0000000400000000-0x123456789abcdef01] usable
ACPI: SRAT: Node x PXM 0 [mem 0x0-0xfff]
BIOS-e820: nothing
";

#[test]
fn strict_reading_reports_every_broken_line_with_its_reason() {
    let Err(ParseErrors::Malformed(errors)) = parse(BROKEN, Mode::Strict) else { panic!("no errors") };
    let reasons: Vec<_> = errors.iter().map(|error| (error.line, error.reason.clone())).collect();
    assert_eq!(
        reasons,
        [
            (3, Reason::BadNumber { digits: "0x00000000zz09fbff".into() }),
            (5, Reason::Reversed { start: 0x2_0000_0000, end: 0x1_0000_0000 }),
            (6, Reason::UnknownType { name: "unheard of".into() }),
            (7, Reason::Overflow { start: 1, count: u64::MAX }),
            (8, Reason::NumberTooLarge { digits: "0x123456789abcdef01".into() }),
            (9, Reason::BadNumber { digits: "x".into() }),
            (10, Reason::NoRange),
        ]
    );
    let message = ParseErrors::Malformed(errors).to_string();
    assert!(message.starts_with("7 malformed memory line(s): line 3: `0x00000000zz09fbff` is not a number"));
}

#[test]
fn lenient_reading_returns_the_same_as_warnings() {
    let parsed = parse(BROKEN, Mode::Lenient).unwrap();
    assert_eq!(parse(BROKEN, Mode::Strict), Err(ParseErrors::Malformed(parsed.warnings.clone())));
    assert_eq!(memory(&parsed.layout), [(0x10_0000, 0xc000_0000, 0)]);
}

#[test]
fn a_text_without_memory_says_what_is_understood() {
    for text in ["", "\n", "usb 1-1: new device\nXen: using vcpuop timer interface\n"] {
        let error = parse(text, Mode::Lenient).unwrap_err();
        assert!(matches!(error, ParseErrors::NoMemoryInformation { .. }), "{text}");
        assert!(error.to_string().contains("/proc/iomem"), "{error}");
    }
    let error = parse("BIOS-e820: x\n", Mode::Lenient).unwrap_err();
    assert_eq!(error.lines().len(), 1, "{error}");
}

#[test]
fn an_iomem_listing_without_addresses_asks_for_root() {
    let text =
        "00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n";
    let error = parse(text, Mode::Strict).unwrap_err();
    assert_eq!(error, ParseErrors::HiddenAddresses { lines: 3 });
    assert!(error.to_string().contains("as root"));
    let parsed = strict(&format!("{TABLE}{text}"));
    assert_eq!(parsed.notes, [Note::HiddenAddresses { lines: 3 }]);
}

#[test]
fn rows_of_iomem_are_checked_once_it_is_a_listing() {
    let text = "00100000-1fffffff : System RAM\n2000000g-2fffffff : e1000\n";
    assert_eq!(parse(text, Mode::Strict).unwrap_err().lines().len(), 1);
    assert!(parse(&format!("{TABLE}2000000g-2fffffff : e1000\n"), Mode::Strict).is_ok());
}

#[test]
fn memory_blocks_need_their_size() {
    let rows = "node0 MemTotal 1 kB memory blocks: 0-1\nnode1 MemTotal 1 kB memory blocks: 1-2\n";
    let error = parse(rows, Mode::Strict).unwrap_err();
    assert!(error.lines().iter().all(|line| line.reason == Reason::NoBlockSize), "{error}");
    let layout = strict(&format!("# block size 128 MiB\n{rows}")).layout;
    assert_eq!(memory(&layout), [(0, 0x1000_0000, 0), (0x1000_0000, 0x1800_0000, 1)]);
}

#[test]
fn bytes_that_are_no_utf8_are_noted_and_fail_only_where_memory_is_meant() {
    let mut bytes = TABLE.as_bytes().to_vec();
    bytes.extend(b"usb 1-1: Product: \xff\xfe\n");
    let parsed = parse_bytes(&bytes, Mode::Strict).unwrap();
    assert_eq!(parsed.notes, [Note::InvalidUtf8 { line: 7 }]);
    bytes.extend(b"BIOS-e820: [mem 0x\xff0-0xfff] usable\n");
    assert_eq!(parse_bytes(&bytes, Mode::Strict).unwrap_err().lines()[0].line, 8);
}

#[test]
fn line_ends_of_other_systems_are_no_difference() {
    assert_eq!(strict(&TABLE.replace('\n', "\r\n")).layout, strict(TABLE).layout);
}
