//! Sources in one text are held against each other, and lines that announce others are believed.

mod common;

use sparsemem_core::NodeId;
use sparsemem_log_reader::{Contradiction, Mode, Notation, Note, Subject, parse};

use common::{AFFINITY, TABLE, nodes, strict};

#[test]
fn nodes_that_a_boot_names_before_its_map_are_its_own() {
    let early = "Early memory node ranges\n  node   0: [mem 0x0000000000100000-0x000000003fffffff]\n";
    let boot = |node: u32| {
        format!("Linux version 5.10.0\nACPI: SRAT: Node {node} PXM 0 [mem 0x100000000-0x13fffffff]\n{early}")
    };
    let one = strict(&boot(1));
    assert_eq!((nodes(&one.layout), one.notes), (vec![0, 1], vec![]));
    let two = strict(&format!("{}{}", boot(1), boot(2)));
    assert_eq!((nodes(&two.layout), two.notes), (vec![0, 2], vec![Note::EarlierBoots { count: 1 }]));
}

#[test]
fn a_row_before_the_header_of_its_table_is_told() {
    let mut lines: Vec<&str> = TABLE.lines().collect();
    lines.swap(1, 2);
    let parsed = strict(&lines.join("\n"));
    let said = [Contradiction::BeforeHeader { line: 2, first_line: 4 }];
    assert!(parsed.contradictions.starts_with(&said), "{:?}", parsed.contradictions);
    // The end of a log, and the same machine's next boot.
    let twice = format!("{}\n{TABLE}", TABLE.lines().last().unwrap());
    assert_eq!(strict(&twice).contradictions, []);
}

#[test]
fn the_listing_that_counts_lacks_no_ram_of_another() {
    let before = "00001000-0009ffff : System RAM\n00100000-3fffffff : System RAM\n";
    let after = format!("{before}100000000-13fffffff : System RAM\n");
    assert_eq!(strict(&format!("{before}{after}")).contradictions, []);
    let told = strict(&format!("{after}{before}")).contradictions;
    assert_eq!(told.len(), 1);
    assert!(told[0].to_string().contains("[0x100000000, 0x140000000)"), "{}", told[0]);
}

#[test]
fn sources_in_one_text_are_held_against_each_other() {
    let numbered = |rows: &[&str]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let efi = numbered(&[
        "efi: mem00: type=7, attr=0xf, range=[0x0000000000000000-0x00000000000a0000) (0MB)",
        "efi: mem01: type=7, attr=0xf, range=[0x0000000000100000-0x00000000c0000000) (3071MB)",
        "efi: mem02: type=7, attr=0xf, range=[0x0000000100000000-0x0000000140000000) (1024MB)",
    ]);
    let saved = numbered(&[
        "PM: Registered nosave memory: [mem 0x00000000-0x00000fff]",
        "PM: Registered nosave memory: [mem 0x0009f000-0x000fffff]",
        "PM: Registered nosave memory: [mem 0xc0000000-0xffffffff]",
    ]);
    let listing = numbered(&[
        "00001000-0009fbff : System RAM",
        "00100000-bfffffff : System RAM",
        "  01000000-01ffffff : Kernel code",
        "100000000-13fffffff : System RAM",
    ]);
    for (other, subject) in [
        (efi.as_str(), Subject::FirmwareMap),
        (&saved, Subject::Saved),
        (&listing, Subject::Listing),
        (AFFINITY, Subject::NodeMemory(NodeId::new(0))),
    ] {
        let whole = strict(&format!("{TABLE}{other}"));
        assert_eq!(whole.contradictions, [], "{other}");
        // Without a row of the map, and without its header, which also tells of the row at 1 MiB.
        let rows: Vec<&str> =
            TABLE.lines().filter(|line| !line.contains("bfffffff") && !line.ends_with(':')).collect();
        let told = strict(&format!("{}\n{other}", rows.join("\n"))).contradictions;
        let is_told = |told: &Contradiction| matches!(told, Contradiction::Figures { subject: said, .. } if *said == subject);
        assert!(told.iter().any(is_told), "{other}{told:?}");
    }
}

#[test]
fn ram_without_a_node_is_told_where_others_have_one() {
    let half = AFFINITY.lines().next().unwrap();
    let told = strict(&format!("{TABLE}{half}\n")).contradictions;
    assert!(matches!(told[..], [Contradiction::NoNode { .. }]), "{told:?}");
}

#[test]
fn a_command_line_that_changes_the_map_needs_the_changed_map() {
    let line = "Command line: root=/dev/sda1 memmap=2G!4G quiet\n";
    let told = strict(&format!("{line}{TABLE}")).contradictions;
    let option = "memmap=2G!4G".to_owned();
    assert_eq!(told, [Contradiction::CommandLine { option, line: 1 }]);
    let user: String = TABLE.lines().skip(2).map(|row| row.replace("BIOS-e820", "user") + "\n").collect();
    let parsed = strict(&format!("{line}{TABLE}user-defined physical RAM map:\n{user}"));
    assert_eq!((parsed.notation, parsed.contradictions), (Notation::USER_E820, vec![]));
}

#[test]
fn kernels_of_32_bits_name_nodes_by_frames() {
    let chunks = "chunk 0 nid 0 start_pfn 00000000 end_pfn 000c0000\nchunk 1 nid 1 start_pfn 00100000 end_pfn 00140000\n";
    let domains = "Memory range 0x0 to 0xc0000 (type 0x0) in proximity domain 0x00 enabled\n\
                   Memory range 0x100000 to 0x140000 (type 0x0) in proximity domain 0x01 enabled\n";
    for text in
        [chunks.to_owned(), domains.to_owned(), format!("{}{chunks}", domains.replace("0x01", "0x07"))]
    {
        assert_eq!(nodes(&strict(&format!("{TABLE}{text}")).layout), [0, 1], "{text}");
    }
}

#[test]
fn ram_is_cut_to_the_pages_that_the_log_has() {
    let listing = "00000000-3b3fffff : System RAM\n40000000-fbff7fff : System RAM\n";
    let end = |text: String| strict(&text).layout.memory_ranges().last().unwrap().0.end().get();
    assert_eq!(end(listing.to_owned()), 0xfbff_8000);
    for line in [
        "Dentry cache hash table entries: 2097152 (order: 8, 16777216 bytes, linear)",
        "HugeTLB: registered 512 MiB page size, pre-allocated 0 pages",
    ] {
        assert_eq!(end(format!("{line}\n{listing}")), 0xfbff_0000, "{line}");
    }
    // 16 KiB, by the total alone.
    let early = "Early memory node ranges\n  node   0: [mem 0x0000000080000000-0x00000000bfff5fff]\nOn node 0 totalpages: 65533\n";
    let parsed = strict(early);
    assert_eq!((end(early.to_owned()), parsed.contradictions), (0xbfff_4000, vec![]));
}

#[test]
fn early_ranges_that_are_printed_twice_are_the_same() {
    let early = "Early memory node ranges\n  node   0: [mem 0x0000000000100000-0x000000003fffffff]\n";
    let more = "  node   0: [mem 0x0000000080000000-0x00000000bfffffff]\n";
    assert_eq!(strict(&format!("{early}{more}{early}{more}")).contradictions, []);
    assert_eq!(strict(&format!("{early}{more}{early}")).contradictions.len(), 1);
}

#[test]
fn a_kernel_of_32_bits_says_how_much_memory_it_has() {
    let table = " BIOS-e820: 0000000000000000 - 000000000009f000 (usable)\n BIOS-e820: 0000000000100000 - 0000000050000000 (usable)\n";
    let told = |lines: &str| strict(&format!("{table}{lines}")).contradictions.len();
    assert_eq!(told("384MB HIGHMEM available.\n896MB LOWMEM available.\n"), 0);
    assert_eq!(told("896MB LOWMEM available.\n"), 1);
    assert_eq!(told("640MB HIGHMEM available.\n896MB LOWMEM available.\n"), 1);
    assert_eq!(told("Warning only 896MB will be used.\n896MB LOWMEM available.\n"), 0);
}

#[test]
fn no_page_has_two_nodes() {
    let text = format!(
        "{TABLE}SRAT: Node 0 PXM 0 [mem 0x00000000-0x000007ff]\nSRAT: Node 0 PXM 0 [mem 0x00000800-0x7ffff7ff]\nSRAT: Node 1 PXM 1 [mem 0x7ffff800-0x13fffffff]\n"
    );
    let layout = strict(&text).layout;
    let ends: Vec<u64> = layout.memory_ranges().map(|(range, _)| range.end().get()).collect();
    assert_eq!(ends, [0x9_f000, 0x7fff_f000, 0xc000_0000, 0x1_4000_0000]);
}

#[test]
fn a_listing_of_zeros_asks_for_root_whatever_its_rows_are() {
    for rows in [
        "00000000-00000000 : System RAM\n",
        "00000000-00000000 : PCI Bus 0000:00\n  00000000-00000000 : e1000\n",
    ] {
        for prefix in ["", "> ", "[    1.000000] "] {
            let text: String = rows.lines().map(|row| format!("{prefix}{row}\n")).collect();
            let error = parse(&text, Mode::Lenient).unwrap_err().to_string();
            assert!(error.contains("read /proc/iomem as root"), "{text}{error}");
        }
    }
}

#[test]
fn a_map_without_ram_is_told() {
    let reserved = "BIOS-e820: [mem 0x00000000fec00000-0x00000000fec00fff] reserved\n";
    assert_eq!(strict(reserved).contradictions, [Contradiction::NoRam { first_line: 1, last_line: 1 }]);
    let console = "memcluster 0, usage 1, start        0, end      256\n";
    assert_eq!(strict(console).contradictions, [Contradiction::NoRam { first_line: 1, last_line: 1 }]);
    // Windows for plugged memory may be all that a table of nodes has.
    let windows = "ACPI: SRAT: Node 1 PXM 1 [mem 0x140000000-0x1ffffffff] hotplug\n";
    assert_eq!(strict(windows).contradictions, []);
    let device = "BIOS-e820: [mem 0x0000001050000000-0x000000304fffffff] soft reserved\n";
    assert_eq!(strict(device).contradictions, []);
}

#[test]
fn a_node_that_begins_at_zero_has_low_memory() {
    let first = "  node   0: [mem 0x0000000000000000-0x000000003b3fffff]\n";
    let rest = "  node   0: [mem 0x0000000040000000-0x00000000fbffffff]\n";
    let faked = "NUMA: Faking a node at [mem 0x0000000000000000-0x00000000fbffffff]\n";
    let span = "Initmem setup node 0 [mem 0x0000000000000000-0x00000000fbffffff]\n";
    let told = |lines: &[&str]| strict(&lines.concat()).contradictions.len();
    assert_eq!(told(&[faked, first, rest, span]), 0);
    assert_eq!(told(&[faked, rest, span]), 1);
    // Kernels that make a node up begin it at 0, wherever memory is.
    assert_eq!(told(&[faked, rest]), 0);
}

#[test]
fn the_map_of_a_guest_begins_as_that_of_a_pc() {
    let header = "e820: BIOS-provided physical RAM map:\n";
    let low = "Xen: [mem 0x0000000000000000-0x000000000009ffff] usable\n";
    let high = "Xen: [mem 0x0000000000100000-0x00000000bfc6efff] usable\n";
    let told = |lines: &[&str]| strict(&lines.concat()).contradictions;
    assert_eq!(told(&[header, low, high]), []);
    assert!(matches!(told(&[header, high])[..], [Contradiction::NoFirstRow { .. }]));
    assert!(matches!(told(&[header, low])[..], [Contradiction::NoFirstRow { .. }]));
}
