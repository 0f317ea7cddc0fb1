//! Texts as people paste them: each has the right map, also behind other prefixes, and with a line cut out it has the same
//! map, a contradiction or an error, unless nothing in the text could tell.

use std::path::PathBuf;

use proptest::prelude::*;
use serde::Deserialize;
use sparsemem_core::NodeId;
use sparsemem_log_reader::{Contradiction, Mode, Parsed, parse, parse_bytes};

/// The right reading of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Right {
    name: String,
    notation: String,
    /// RAM.
    kib: u64,
    /// RAM of each node.
    nodes: Option<Vec<u64>>,
    /// No RAM is at or above this address.
    below: Option<u64>,
    /// Part of a figure that the map agrees with.
    agrees: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    file: Vec<Right>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pasted")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn index() -> Vec<Right> {
    toml::from_str::<Index>(&String::from_utf8(bytes("index.toml")).unwrap()).unwrap().file
}

/// RAM of a node in KiB, of all nodes without one.
fn kib(parsed: &Parsed, node: Option<u32>) -> u64 {
    let own = parsed
        .layout
        .memory_ranges()
        .filter(|(_, owner)| node.is_none_or(|node| *owner == NodeId::new(node)));
    own.map(|(range, _)| range.count().get()).sum::<u64>() >> 10
}

#[test]
fn every_file_is_read_right_and_agrees_with_itself() {
    for right in index() {
        let name = &right.name;
        let parsed =
            parse_bytes(&bytes(name), Mode::Strict).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (parsed.notation.name(), kib(&parsed, None)),
            (right.notation.as_str(), right.kib),
            "{name}"
        );
        assert_eq!(parsed.contradictions, [], "{name}");
        if let Some(nodes) = &right.nodes {
            assert_eq!(parsed.layout.nodes().count(), nodes.len(), "{name}");
            let found: Vec<u64> = (0..).zip(nodes).map(|(node, _)| kib(&parsed, Some(node))).collect();
            assert_eq!(&found, nodes, "{name}");
        }
        if let Some(below) = right.below {
            assert!(parsed.layout.memory_ranges().all(|(range, _)| range.end().get() <= below), "{name}");
        }
        if let Some(figure) = &right.agrees {
            let said: Vec<String> = parsed.agreements.iter().map(ToString::to_string).collect();
            assert!(said.iter().any(|said| said.contains(figure)), "{name}: {said:?}");
        }
    }
}

#[test]
fn the_index_lists_every_file() {
    let mut there: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "index.toml")
        .collect();
    there.sort();
    assert_eq!(index().into_iter().map(|right| right.name).collect::<Vec<_>>(), there);
}

#[test]
fn the_version_of_the_running_kernel_begins_no_boot() {
    let table = "BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usable\n";
    let nodes = "  node   0: [mem 0x0000000000100000-0x000000003fffffff]\n  node   1: [mem 0x0000000040000000-0x00000000bfffffff]\n";
    let version = "Linux version 5.10.0 (x@y) #1 SMP\n";
    for text in [
        format!("{version}{table}$ cat /proc/version\n{version}{nodes}"),
        format!("[    0.000000] {table}{version}{nodes}"),
    ] {
        let parsed = parse(&text, Mode::Strict).unwrap();
        assert_eq!((parsed.notation.name(), parsed.layout.nodes().count()), ("bios-e820", 2), "{text}");
        assert_eq!((parsed.notes, parsed.contradictions), (vec![], vec![]));
    }
}

#[test]
fn a_table_that_names_its_gaps_tells_a_missing_row() {
    let text = String::from_utf8(bytes("e820-7.x-gap-systemram.dmesg")).unwrap();
    // Without its first or last row it says nothing of memory that every PC has.
    assert_eq!(silent_lines(&text), []);
}

#[test]
fn ordinary_lines_with_words_of_memory_lines_are_no_errors() {
    let table = "[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usable\n[    0.000000] e820: update [mem 0x00000000-0x00000fff] usable ==> reserved\n";
    let others = [
        "OF: /soc: could not find node gpio: a -> b",
        "kernfs: node 0: moved -> 1",
        "0xffffffff80000000-0xffffffff81000000 16M RW PSE pmd",
        "PM: Registered nosave memory: [mem 0x00000000-0x00000fff]",
        "iwlwifi: firmware user: nobody (efi: mem)",
        "pci 0000:00:1f.3: reg 0x10: [mem 0xf7d1a000-0xf7d1a0ff 64bit]",
        "vmalloc : 0xf87fe000 - 0xff7fe000   ( 112 MB)",
    ];
    for other in others {
        let parsed = parse(&format!("{table}[    1.000000] {other}\n"), Mode::Strict);
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (map(&parsed), parsed.contradictions.len()),
            (vec![(0x10_0000, 0xc000_0000, 0)], 0),
            "{other}"
        );
    }
}

/// Files in which nothing else tells that a line is missing, by kind. In the others every line that changes the map is
/// told.
const UNTOLD: [(&str, &[&str]); 3] = [
    (
        "one table and nothing else",
        &[
            "arm64-hikey-318-efi-noprefix.dmesg",
            "garbage-4pib.dmesg",
            "mips-boston-determined.dmesg",
            "xen-dell-32g-tsc-stamps.txt",
            "xen-tboot-then-efi-map.txt",
            "efi-short-names.dmesg",
            "x86-apple-forum-tags.txt",
            "x86-e820-wrapped-quotes.txt",
            "qubes8649-console-prefix.dmesg",
        ],
    ),
    (
        "a listing has no totals",
        &["iomem-flat-no-indent.iomem", "iomem-grep-H-n.iomem", "nemu48-nvdimm-then-dimm.iomem"],
    ),
    (
        "a flat kernel counts holes as well, so that its figures know only the end",
        &["x86-opteron-4n-7g-2614-northbridge.dmesg"],
    ),
];

/// The files of [`index`] that are UTF-8: UTF-16 differs from the same log in UTF-8 only in its bytes.
fn texts() -> impl Iterator<Item = (String, String)> {
    index().into_iter().filter_map(|right| Some((String::from_utf8(bytes(&right.name)).ok()?, right.name)))
}

/// A text as mail programs encode it: signs of other character sets, and lines of at most 76 characters.
fn quoted_printable(text: &str, line_end: &str) -> String {
    let mut mail = String::new();
    for line in text.lines() {
        let mut width = 0;
        for byte in line.bytes() {
            let plain = (b' '..=b'~').contains(&byte) && byte != b'=';
            let sign = if plain { char::from(byte).to_string() } else { format!("={byte:02X}") };
            if width + sign.len() > 75 {
                mail.push_str("=\n");
                width = 0;
            }
            width += sign.len();
            mail.push_str(&sign);
        }
        mail.push_str(line_end);
    }
    mail + "a=3Db\n"
}

#[test]
fn an_encoded_mail_has_the_map_of_its_text() {
    for (text, name) in texts().filter(|(_, name)| !name.contains("quoted-printable")) {
        let whole = parse(&text, Mode::Strict).unwrap();
        for line_end in ["\n", "\r\n", "=0A=\n"] {
            let mail = parse(&quoted_printable(&text, line_end), Mode::Strict);
            let mail = mail.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((map(&mail), mail.contradictions), (map(&whole), vec![]), "{name}");
        }
    }
}

#[test]
fn two_logs_of_nodes_in_a_comparison_are_told() {
    let text = "-Node 0 Memory: 0x0-0xb0000000\n-Node 1 Memory: 0xb0000000-0x158000000\n+Node 1 Memory: 0x0-0xda000000\n";
    let parsed = parse(text, Mode::Strict).unwrap();
    assert!(matches!(parsed.contradictions[..], [Contradiction::Compared { line: 1, other: 3 }]));
}

/// The map, neighbours of one node joined.
fn map(parsed: &Parsed) -> Vec<(u64, u64, u32)> {
    let mut joined: Vec<(u64, u64, u32)> = Vec::new();
    for (range, node) in parsed.layout.memory_ranges() {
        let (start, end, node) = (range.start().get(), range.end().get(), node.get());
        match joined.last_mut() {
            Some(last) if last.1 == start && last.2 == node => last.1 = end,
            _ => joined.push((start, end, node)),
        }
    }
    joined
}

/// The lines of a text without which it has another map and says nothing about it.
fn silent_lines(text: &str) -> Vec<usize> {
    let whole = map(&parse(text, Mode::Strict).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    let is_silent = |cut: &usize| {
        let rest: Vec<&str> =
            lines.iter().enumerate().filter(|(at, _)| at != cut).map(|(_, line)| *line).collect();
        let read = parse(&rest.join("\n"), Mode::Strict);
        read.is_ok_and(|read| map(&read) != whole && read.contradictions.is_empty())
    };
    (0..lines.len()).filter(is_silent).map(|at| at + 1).collect()
}

#[test]
fn a_line_that_is_cut_out_is_told_unless_nothing_could_tell() {
    for (text, name) in texts() {
        let silent = silent_lines(&text);
        let is_listed = UNTOLD.iter().any(|(_, files)| files.contains(&name.as_str()));
        assert_eq!(!silent.is_empty(), is_listed, "{name}: lines {silent:?}");
    }
}

/// Texts that loggers put before a line; `#` is a number that grows.
const PREFIXES: [&str; 37] = [
    "",
    "[    0.000000] ",
    "<6>[    0.00000#] ",
    "[    0.00000#][    T0] ",
    "2024-05-06 07:08:09.12345# | [    0.000000] ",
    "[2023-10-24 11:21:37] [    0.051011] ",
    "Jul 27 14:41:57 host kernel: ",
    "2023-02-24T09:33:02,123456+00:00 ",
    "May 06 07:08:09 host kernel[1#]: [    0.000000] ",
    "host-1 | ",
    "web_1  | [    0.000000] ",
    "/var/log/dmesg:#: ",
    "dmesg.txt:[    0.000000] ",
    "#:",
    "> > [    0.000000] ",
    "(serial) 12:34:56.789 >> ",
    "\u{1b}[32m[    0.000000] \u{1b}[0m",
    "6,#,0,-;",
    "kern  :info  : [    0.000000] ",
    "ttyS0: [    0.000000] ",
    "[07:08:09.123] [vm-12] ",
    "I/kernel ( #): ",
    "Mon 2024-05-06 07:08:09 CEST host kernel: ",
    "2024-05-06T07:08:09.123456789Z stdout F ",
    "I0506 07:08:09.12345#       1 serial.go:12] ",
    "<6>[    0.000000]  [0:      swapper/0:    0] [20240506_070809.123]@0 ",
    "[    0.000000,5] ",
    "vm (local-exec): ",
    "JD> ",
    "| ",
    "+",
    "dmesg.txt-#-",
    "    MESSAGE=",
    "^[[32m[    0.000000] ^[[0m",
    "[32m[    0.000000] [0m",
    "<span class=\"x\">[    0.000000] </span>",
    "[COLOR=#000000][FONT=arial][    0.000000] ",
];

/// The text behind a line where it is a cell of a table, an element of an array, or on a web page.
const SUFFIXES: [&str; 10] =
    ["", "[/FONT][/COLOR]", "\r", " |", "\",", "</td>", "\u{1b}[0m", "[0m", "\\n\"", "<br />"];

/// The rows of a table in the notations of all ages; a node's as well.
fn row(notation: usize, start: u64, end: u64) -> String {
    let last = end - 1;
    match notation {
        0 => format!("BIOS-e820: [mem {start:#018x}-{last:#018x}] usable"),
        1 => format!(" BIOS-e820: {start:016x} - {end:016x} (usable)"),
        2 => format!("user: [mem {start:#018x}-{last:#018x}] usable"),
        3 => format!("extended: [mem {start:#018x}-{last:#018x}] usable"),
        4 => format!("  node   0: [mem {start:#018x}-{last:#018x}]"),
        5 => format!("    0: {:8} -> {:8}", start >> 12, end >> 12),
        6 => format!("    0: {:#010x} -> {:#010x}", start >> 12, end >> 12),
        7 => format!(" memory: {:016x} @ {start:016x} (usable)", end - start),
        8 => format!("(XEN)  [{start:016x}, {last:016x}] (usable)"),
        9 => format!("(XEN)  {start:016x} - {end:016x} (usable)"),
        10 => format!("{start:08x}-{last:08x} : System RAM"),
        11 => format!("efi: mem00: [Conventional|  |WB|WT] range=[{start:#018x}-{last:#018x}] (1MB)"),
        12 => format!("{start:#018x}-{last:#018x} 2G online yes 0-15"),
        _ => format!("{start:#014x}-{last:#014x} [Conventional Memory|   |WB|WT|WC|UC]"),
    }
}

fn header(notation: usize) -> &'static str {
    match notation {
        5 => "early_node_map[2] active PFN ranges",
        6 => "Early memory PFN ranges",
        _ => "some line of another driver",
    }
}

proptest! {
    #[test]
    fn any_prefix_before_any_notation_gives_the_same_map(
        prefix in 0..PREFIXES.len(),
        suffix in 0..SUFFIXES.len(),
        notation in 0usize..14,
        first in 0x200u64..0x8000,
        gap in 1u64..0x1000,
        second in 1u64..0x10_0000,
    ) {
        let ranges = [(0x20_0000, 0x20_0000 + (first << 12)), (0x20_0000 + ((first + gap) << 12), 0x20_0000 + ((first + gap + second) << 12))];
        let rows = ranges.map(|(start, end)| row(notation, start, end));
        let lines = [header(notation).to_owned(), rows[0].clone(), rows[1].clone()];
        let numbered = |(number, line): (usize, &String)| {
            format!("{}{line}{}\n", PREFIXES[prefix].replace('#', &number.to_string()), SUFFIXES[suffix])
        };
        let text: String = lines.iter().enumerate().map(numbered).collect();
        let expected: Vec<(u64, u64, u32)> = ranges.iter().map(|&(start, end)| (start, end, 0)).collect();
        let parsed = parse(&text, Mode::Strict);
        prop_assert!(parsed.is_ok(), "{text}{:?}", parsed.err());
        prop_assert_eq!(map(&parsed.unwrap()), expected, "{}", text);
    }
}

proptest! {
    #[test]
    fn a_text_that_a_mail_program_wrapped_gives_its_map_or_is_told(
        file in any::<prop::sample::Index>(),
        width in 50usize..100,
    ) {
        let files: Vec<_> = texts().collect();
        let (text, name) = file.get(&files);
        let whole = map(&parse(text, Mode::Strict).unwrap());
        let mut mail = String::new();
        for line in text.lines() {
            let mut length = 0;
            mail.push_str("> ");
            for word in line.split_inclusive(' ') {
                if length + word.len() > width && length > 0 {
                    mail.push_str("\n> ");
                    length = 0;
                }
                mail.push_str(word);
                length += word.len();
            }
            mail.push('\n');
        }
        let silent =
            parse(&mail, Mode::Strict).is_ok_and(|read| map(&read) != whole && read.contradictions.is_empty());
        prop_assert!(!silent, "{} at {}:\n{}", name, width, mail);
    }
}

proptest! {
    #[test]
    fn a_wrapped_text_gives_its_map_or_is_told(file in any::<prop::sample::Index>(), width in 60usize..130) {
        let files = index();
        let name = &file.get(&files).name;
        let Ok(text) = String::from_utf8(bytes(name)) else { return Ok(()) };
        let whole = map(&parse(&text, Mode::Strict).unwrap());
        let pieces = |line: &str| {
            let chars: Vec<char> = line.chars().collect();
            chars.chunks(width).map(|piece| piece.iter().collect::<String>() + "\n").collect::<String>()
        };
        let wrapped: String = text.lines().map(pieces).collect();
        let silent = parse(&wrapped, Mode::Strict)
            .is_ok_and(|read| map(&read) != whole && read.contradictions.is_empty());
        prop_assert!(!silent, "{} at {}", name, width);
    }
}
