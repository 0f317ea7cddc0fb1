//! e820-style tables: the firmware's, the loader's, the user's, Xen's; and the kernel's edits.
//!
//! # Invariants
//!
//! 1. `BIOS-e820:`, `BIOS-e801:`, `BIOS-88:` and `reserve setup_data:` at the start of a message always mean a memory
//!    line. `user:`, `modified:`, `Xen:` and the mark of the hypervisor do so only before text that begins like a
//!    range.
//! 2. A type is a name from the list here or `type N`; anything else is an error. Every type keeps its number, because
//!    Linux lets the higher number win where ranges overlap, also among types that have no name here.

use crate::addresses::{self, decimal, hex};
use crate::error::shortened;
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};
use crate::{E820Edit, MapEntry, Notation, RangeKind, Reason};

impl Notation {
    /// `(XEN) [start, end] (type)` or `(XEN) start - end (type)`: the hypervisor's own log.
    pub const XEN_HYPERVISOR: Self = Self::e820_of_xen("xen-hypervisor");
    /// `Xen: ..`: Linux as a guest of Xen.
    pub const LINUX_ON_XEN: Self = Self::e820_of_xen("linux-on-xen");
    /// `BIOS-e801: ..` or `BIOS-88: ..`: the predecessors of e820.
    pub const BIOS_E801: Self = Self::e820_of_pc("bios-e801");
    /// `BIOS-e820: ..`.
    pub const BIOS_E820: Self = Self::e820_of_pc("bios-e820");
    /// `reserve setup_data: ..`, `extended: ..`: the firmware's map with the loader's data marked.
    pub const EXTENDED_E820: Self = Self::e820_of_pc("extended-e820");
    /// `memory: SIZE @ START (usable)`: what a board's firmware or command line says, on MIPS.
    pub const BOARD: Self = Self::e820_of_xen("board-memory");
    /// `user: ..`: the map as the command line changed it.
    pub const USER_E820: Self = Self::e820_of_pc("user-e820");
    /// `modified: ..`: the map as the kernel changed it.
    pub const MODIFIED_E820: Self = Self::e820_of_pc("modified-e820");
}

/// Tables and edits. All tables are equally preferred, because each is made from those before it.
pub(super) const SOURCE: Source = Source {
    notations: &[
        Notation::XEN_HYPERVISOR,
        Notation::LINUX_ON_XEN,
        Notation::BIOS_E801,
        Notation::BIOS_E820,
        Notation::EXTENDED_E820,
        Notation::BOARD,
        Notation::USER_E820,
        Notation::MODIFIED_E820,
    ],
    readers: &[frame, entry, edit, given_up],
};

/// The type that Linux gives special-purpose memory.
const SOFT_RESERVED: u32 = 0xefff_ffff;

/// Tags, their table, and true if the tag alone makes it a memory line.
const TAGS: [(&str, Notation, bool); 9] = [
    ("BIOS-e820:", Notation::BIOS_E820, true),
    ("BIOS-e801:", Notation::BIOS_E801, true),
    ("BIOS-88:", Notation::BIOS_E801, true),
    ("reserve setup_data:", Notation::EXTENDED_E820, true),
    ("extended:", Notation::EXTENDED_E820, false),
    ("memory:", Notation::BOARD, false),
    ("user:", Notation::USER_E820, false),
    ("modified:", Notation::MODIFIED_E820, false),
    ("Xen:", Notation::LINUX_ON_XEN, false),
];

/// Reads a line of a table.
fn entry(line: &Line<'_>) -> Answer {
    let (notation, text) = tagged(line)?;
    if text.trim_start().starts_with("[gap ") {
        return Some(Ok(Statement::Nothing));
    }
    Some(entry_of(text).map(|entry| Statement::Entry(notation, entry)))
}

/// The notation of a line, and the text after its tag. The hypervisor's log also has the messages of its guests, which keep
/// their tags.
fn tagged<'a>(line: &Line<'a>) -> Option<(Notation, &'a str)> {
    let tagged = TAGS.iter().find_map(|&(tag, notation, sure)| {
        let text = line.message.strip_prefix(tag)?;
        let is_range =
            || addresses::looks_like_one(text) && (notation != Notation::BOARD || text.contains(" @ "));
        (sure || is_range()).then_some((notation, text))
    });
    let is_own = || line.by_xen && addresses::looks_like_one(line.message);
    tagged.or_else(|| is_own().then_some((Notation::XEN_HYPERVISOR, line.message)))
}

/// Reads `WHO: RANGE TYPE` under the header of a table, for tables of an origin that has no place in the list.
pub(crate) fn unnamed_entry(line: &Line<'_>) -> Answer {
    let (who, text) = line.message.split_once(':')?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !(1..=20).contains(&who.len()) || !who.bytes().all(is_part) || !addresses::looks_like_one(text) {
        return None;
    }
    entry_of(text).ok().map(|entry| Ok(Statement::Entry(Notation::BIOS_E820, entry)))
}

/// True if a text is a range with a type, as a row of a table without its first word is.
pub(crate) fn is_row(text: &str) -> bool {
    addresses::looks_like_one(text) && entry_of(text).is_ok()
}

/// Reads the lines in which a kernel gives memory up that it cannot reach: `Warning only 4GB will be used.`, and
/// `Truncating RAM at 0xA-0xB to -0xC`.
fn given_up(line: &Line<'_>) -> Answer {
    if let Some(text) = line.message.strip_prefix("Truncating RAM at ") {
        return Some(truncated(text));
    }
    let text = line.message.strip_prefix("Warning")?.trim_start_matches(':').trim_start();
    let (size, _) = text.strip_prefix("only ")?.split_once(" will be used")?;
    let unit = |name: &str, shift: u32| size.strip_suffix(name).map(|number| (number, shift));
    let (number, shift) = unit("GB", 30).or_else(|| unit("MB", 20))?;
    let bytes = decimal(number).and_then(|number| {
        number.checked_mul(1 << shift).ok_or(Reason::Overflow { start: 0, count: number })
    });
    Some(bytes.map(Statement::Limit))
}

/// `0xA-0xB to -0xC (..)`: memory above C goes.
fn truncated(text: &str) -> Result<Statement, Reason> {
    let (range, kept) = text.split_once(" to -").ok_or(Reason::NoRange)?;
    let (_, end) = addresses::pair(range, "-")?;
    let kept = hex(kept.split_whitespace().next().unwrap_or_default())?;
    let gone = addresses::inclusive(kept.saturating_add(1), end)?;
    Ok(Statement::Edit(E820Edit::Remove { range: gone, kind: Some(RangeKind::Ram) }))
}

/// The entry of a range and a type.
fn entry_of(text: &str) -> Result<MapEntry, Reason> {
    let (range, name) = addresses::of_table(text)?;
    let number = number_of(name)?;
    Ok(MapEntry { range, kind: kind_of_number(number), e820_type: Some(number), node: None })
}

/// The kind that a type's name stands for.
fn kind_of(name: &str) -> Result<RangeKind, Reason> {
    number_of(name).map(kind_of_number)
}

/// The number that a type's name stands for; kernels changed the names, and old ones put them in parentheses.
fn number_of(name: &str) -> Result<u32, Reason> {
    let name = name.trim();
    let bare = name.strip_prefix('(').and_then(|name| name.strip_suffix(')')).unwrap_or(name).trim();
    match bare {
        "" => Err(Reason::NoType),
        "usable" | "usable after init" | "System RAM" | "kernel usable RAM" => Ok(1),
        "reserved" | "device reserved" | "kernel reserved" | "ROM data" => Ok(2),
        "ACPI data" => Ok(3),
        "ACPI NVS" => Ok(4),
        "unusable" => Ok(5),
        "persistent" | "persistent (type 7)" | "persistent RAM (type 7)" => Ok(7),
        "persistent (type 12)" | "persistent RAM (type 12)" => Ok(12),
        "soft reserved" | "application reserved" => Ok(SOFT_RESERVED),
        _ => numbered(bare).ok_or_else(|| Reason::UnknownType { name: shortened(name) }),
    }
}

/// The number of `type N`.
fn numbered(name: &str) -> Option<u32> {
    u32::try_from(decimal(name.strip_prefix("type ")?).ok()?).ok()
}

/// The kind of a type.
fn kind_of_number(number: u32) -> RangeKind {
    match number {
        1 | 128 => RangeKind::Ram,
        2 => RangeKind::Reserved,
        3 => RangeKind::AcpiTables,
        4 => RangeKind::AcpiNvs,
        5 => RangeKind::Unusable,
        7 | 12 => RangeKind::Persistent,
        SOFT_RESERVED => RangeKind::SoftReserved,
        _ => RangeKind::Other,
    }
}

/// Reads a line about an edit: `e820: update [mem ..] usable ==> reserved`, `e820 remove range: A - B (usable)`.
fn edit(line: &Line<'_>) -> Answer {
    let text = line.message.strip_prefix("e820")?;
    let verb = |new: &str, old: &str| text.strip_prefix(new).or_else(|| text.strip_prefix(old));
    if let Some(text) = verb(": update [mem", " update range:") {
        return Some(update(from_range(line.message, text)));
    }
    let text = verb(": remove [mem", " remove range:")?;
    Some(remove(from_range(line.message, text)))
}

/// The part of `message` that begins with the range: `rest` is the text after `[mem` or the old verb.
fn from_range<'a>(message: &'a str, rest: &'a str) -> &'a str {
    const MEM: &str = "[mem";
    message.find(MEM).map_or(rest, |at| &message[at..])
}

/// `RANGE old ==> new`.
fn update(text: &str) -> Result<Statement, Reason> {
    let (range, change) = addresses::of_table(text)?;
    let (from, to) = change.split_once("==>").ok_or(Reason::NoType)?;
    Ok(Statement::Edit(E820Edit::Update { range, from: kind_of(from)?, to: kind_of(to)? }))
}

/// `RANGE old`, or a range alone.
fn remove(text: &str) -> Result<Statement, Reason> {
    let (range, kind) = addresses::of_table(text)?;
    let kind = if kind.trim().is_empty() { None } else { Some(kind_of(kind)?) };
    Ok(Statement::Edit(E820Edit::Remove { range, kind }))
}

/// Reads the lines around the tables: a header begins a new one, `last_pfn` says that the table goes to the boot
/// allocator now.
fn frame(line: &Line<'_>) -> Answer {
    let message = line.message.strip_prefix("e820: ").unwrap_or(line.message);
    let item = match message {
        "BIOS-provided physical RAM map:" => Statement::BootStart,
        _ if message.starts_with(".text .data .bss are not marked as") => Statement::KernelIsNoRam,
        "Xen-e820 RAM map:" | "Initial Xen-e820 RAM map:" => Statement::BootStart,
        // The first line of arm64 stands before that of all kernels.
        _ if message.starts_with("Linux version ")
            || message.starts_with("Booting Linux on physical CPU ") =>
        {
            Statement::BootStart
        }
        _ if message.ends_with(" RAM map:") => Statement::TableStart,
        _ if message.starts_with("last_pfn = ") => Statement::MapTaken,
        _ => return None,
    };
    Some(Ok(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_in(text: &str) -> Result<RangeKind, Reason> {
        match entry(&Line::new(text)).expect("a memory line")? {
            Statement::Entry(_, entry) => Ok(entry.kind),
            _ => panic!("no entry"),
        }
    }

    #[test]
    fn types_of_all_decades_are_known() {
        let cases = [
            ("usable", RangeKind::Ram),
            ("(usable)", RangeKind::Ram),
            (" System RAM", RangeKind::Ram),
            ("device reserved", RangeKind::Reserved),
            ("(ACPI data)", RangeKind::AcpiTables),
            ("ACPI NVS", RangeKind::AcpiNvs),
            ("unusable", RangeKind::Unusable),
            ("type 9", RangeKind::Other),
            ("type 20", RangeKind::Other),
            ("persistent (type 7)", RangeKind::Persistent),
            ("persistent (type 12)", RangeKind::Persistent),
            ("soft reserved", RangeKind::SoftReserved),
        ];
        for (name, kind) in cases {
            assert_eq!(kind_in(&format!("BIOS-e820: [mem 0x0-0xfff] {name}")), Ok(kind), "{name}");
        }
        assert_eq!(
            kind_in("BIOS-e820: [mem 0x0-0xfff] type x"),
            Err(Reason::UnknownType { name: "type x".into() })
        );
        assert_eq!(kind_in("BIOS-e820: [mem 0x0-0xfff]"), Err(Reason::NoType));
    }

    #[test]
    fn ordinary_words_are_no_tags() {
        for text in
            ["Xen: using vcpuop timer interface", "user: nobody", "modified: yes", "(XEN) System RAM: 2046MB"]
        {
            assert!(entry(&Line::new(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn gaps_are_passed_over() {
        assert!(matches!(entry(&Line::new("BIOS-e820: [gap 0x0-0xfff]")), Some(Ok(Statement::Nothing))));
    }

    #[test]
    fn edits_are_read_in_both_notations() {
        let expected = E820Edit::Update {
            range: addresses::between(0, 0x1_0000),
            from: RangeKind::Ram,
            to: RangeKind::Reserved,
        };
        for text in [
            "e820: update [mem 0x00000000-0x0000ffff] usable ==> reserved",
            "e820 update range: 0000000000000000 - 0000000000010000 (usable) ==> (reserved)",
        ] {
            assert!(
                matches!(edit(&Line::new(text)), Some(Ok(Statement::Edit(edit))) if edit == expected),
                "{text}"
            );
        }
        let gone =
            E820Edit::Remove { range: addresses::between(0xa_0000, 0x10_0000), kind: Some(RangeKind::Ram) };
        for text in [
            "e820: remove [mem 0x000a0000-0x000fffff] usable",
            "e820 remove range: 00000000000a0000 - 0000000000100000 (usable)",
        ] {
            assert!(
                matches!(edit(&Line::new(text)), Some(Ok(Statement::Edit(edit))) if edit == gone),
                "{text}"
            );
        }
        assert!(edit(&Line::new("e820: [mem 0xa0000000-0xffffffff] available for PCI devices")).is_none());
        assert!(edit(&Line::new("e820: reserve RAM buffer [mem 0x0009fc00-0x0009ffff]")).is_none());
    }
}
