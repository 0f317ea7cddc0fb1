//! The EFI memory map, as x86 and arm64 kernels print it, with numbered and with named types.
//!
//! # Invariants
//!
//! 1. The kinds follow what Linux puts into its own table: loader, boot services and conventional memory are RAM if
//!    the processor may cache it with write-back, soft reserved if marked special-purpose, otherwise reserved.

use crate::addresses::{self, decimal, hex};
use crate::error::shortened;
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, Reason};

impl Notation {
    /// `efi: mem00: ..`.
    pub const EFI: Self = Self::other("efi");
}

/// The map.
pub(super) const SOURCE: Source = Source { notations: &[Notation::EFI], readers: &[entry] };

/// Write-back is allowed.
const WRITE_BACK: u64 = 0x8;
/// Meant for a special purpose.
const SPECIAL_PURPOSE: u64 = 0x4_0000;

/// The names of the types, by number: those of older kernels, and those that newer ones cut to 12 characters.
const NAMES: [[&str; 2]; 16] = [
    ["Reserved", "Reserved"],
    ["Loader Code", "Loader Code"],
    ["Loader Data", "Loader Data"],
    ["Boot Code", "Boot Code"],
    ["Boot Data", "Boot Data"],
    ["Runtime Code", "Runtime Code"],
    ["Runtime Data", "Runtime Data"],
    ["Conventional Memory", "Conventional"],
    ["Unusable Memory", "Unusable"],
    ["ACPI Reclaim Memory", "ACPI Reclaim"],
    ["ACPI Memory NVS", "ACPI Mem NVS"],
    ["Memory Mapped I/O", "MMIO"],
    ["MMIO Port Space", "MMIO Port"],
    ["PAL Code", "PAL Code"],
    ["Persistent Memory", "Persistent"],
    ["Unaccepted Memory", "Unaccepted"],
];

/// Reads a line of the map. Old kernels leave its first word out.
fn entry(line: &Line<'_>) -> Answer {
    let tagged = line.message.strip_prefix("efi:").or_else(|| line.message.strip_prefix("EFI:"));
    let text = tagged.unwrap_or(line.message).trim_start();
    let entry = match text.strip_prefix("mem") {
        Some(text) => {
            let (number, text) = text.split_once(':')?;
            decimal(number).ok()?;
            if tagged.is_none() && !text.trim_start().starts_with(['t', '[']) {
                return None;
            }
            x86(text)
        }
        None => arm(text)?,
    };
    Some(entry.map(|entry| Statement::Entry(Notation::EFI, entry)))
}

/// The number of a row.
pub(crate) fn row_number(message: &str) -> Option<u64> {
    let text =
        message.trim_start_matches(['e', 'f', 'i', 'E', 'F', 'I']).trim_start_matches(':').trim_start();
    decimal(text.strip_prefix("mem")?.split_once(':')?.0).ok()
}

/// `type=7, attr=0xf, range=[0x..-0x..)` or `[Name|..|WB|..] range=[0x..-0x..]`.
fn x86(text: &str) -> Result<MapEntry, Reason> {
    let (description, range) = text.split_once("range=[").ok_or(Reason::NoRange)?;
    let close = range.find([')', ']']).ok_or(Reason::NoRange)?;
    let (start, end) = addresses::pair(&range[..close], "-")?;
    let range =
        if range[close..].starts_with(')') { addresses::up_to } else { addresses::inclusive }(start, end)?;
    Ok(MapEntry::new(range, described(description)?, None))
}

/// `0x000040000000-0x0000401fffff [Name|..]`; `None` if the line does not begin with a range.
fn arm(text: &str) -> Option<Result<MapEntry, Reason>> {
    let (range, description) = text.split_once('[')?;
    let range = range.trim();
    if !range.starts_with("0x") || !range.contains("-0x") || range.contains(' ') {
        return None;
    }
    let range = addresses::pair(range, "-").and_then(|(start, end)| addresses::inclusive(start, end));
    Some(range.and_then(|range| Ok(MapEntry::new(range, named(description)?, None))))
}

/// The kind of either form of description.
fn described(text: &str) -> Result<RangeKind, Reason> {
    match text.trim_start().strip_prefix('[') {
        Some(text) => named(text),
        None => numbered(text),
    }
}

/// The kind of `type=7, attr=0xf,`.
fn numbered(text: &str) -> Result<RangeKind, Reason> {
    let (_, text) = text.split_once("type=").ok_or(Reason::NoType)?;
    let (number, text) = text.split_once(',').ok_or(Reason::NoType)?;
    let (_, attributes) = text.split_once("attr=").ok_or(Reason::NoType)?;
    let attributes = hex(attributes.trim().trim_end_matches(','))?;
    Ok(kind_of(decimal(number)?, attributes))
}

/// The kind of `Name |..|WB|..]`; the attributes may also be a number.
fn named(text: &str) -> Result<RangeKind, Reason> {
    let text = text.split_once(']').ok_or(Reason::Unclosed)?.0;
    let Some((name, attributes)) = text.split_once('|') else {
        // The first kernels of arm64 print no attributes.
        return number_of(text).map(|number| kind_of(number, WRITE_BACK));
    };
    let number = number_of(name)?;
    let attributes = match attributes.split_once("attr=") {
        Some((_, value)) => hex(value)?,
        None => flags(attributes),
    };
    Ok(kind_of(number, attributes))
}

/// The number of a type by its name, long or cut to 12 characters.
fn number_of(name: &str) -> Result<u64, Reason> {
    let name = name.trim();
    if let Some(number) = name.strip_prefix("type=") {
        return decimal(number);
    }
    let known = (0..).zip(NAMES).find(|(_, names)| names.contains(&name));
    known.map(|(number, _)| number).ok_or_else(|| Reason::UnknownType { name: shortened(name) })
}

/// The attributes that matter here, from their abbreviations.
fn flags(text: &str) -> u64 {
    let words = text.split('|').map(str::trim);
    words.fold(0, |flags, word| match word {
        "WB" => flags | WRITE_BACK,
        "SP" => flags | SPECIAL_PURPOSE,
        _ => flags,
    })
}

/// The kind of a type by number; numbers beyond the list are reserved, as EFI wants it.
fn kind_of(number: u64, attributes: u64) -> RangeKind {
    match number {
        1..=4 | 7 if attributes & WRITE_BACK == 0 => RangeKind::Reserved,
        7 if attributes & SPECIAL_PURPOSE != 0 => RangeKind::SoftReserved,
        1..=4 | 7 | 15 => RangeKind::Ram,
        8 => RangeKind::Unusable,
        9 => RangeKind::AcpiTables,
        10 => RangeKind::AcpiNvs,
        11 | 12 => RangeKind::Device,
        14 => RangeKind::Persistent,
        _ => RangeKind::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MapEntry, Reason> {
        match entry(&Line::new(text)).expect("a memory line")? {
            Statement::Entry(Notation::EFI, entry) => Ok(entry),
            _ => panic!("no entry"),
        }
    }

    #[test]
    fn all_notations_agree() {
        let range = addresses::between(0x1000, 0x9f000);
        let expected = MapEntry::new(range, RangeKind::Ram, None);
        for text in [
            "efi: mem00: type=7, attr=0xf, range=[0x0000000000001000-0x000000000009f000) (0MB)",
            "efi: mem00: [Conventional Memory|   |  |  |WB|WT|WC|UC] range=[0x0000000000001000-0x000000000009efff] (0MB)",
            "efi: mem00: [Conventional Memory|attr=0x000000000000000f] range=[0x1000-0x9f000) (0MB)",
            "efi:   0x000000001000-0x00000009efff [Conventional Memory|   |  |  |  |   |WB|WT|WC|UC]",
            "  0x000000001000-0x00000009efff [Conventional Memory|   |  |  |  |   |WB|WT|WC|UC]*",
            "  0x000000001000-0x00000009efff [Conventional Memory]",
            "mem00: type=7, attr=0xf, range=[0x0000000000001000-0x000000000009f000) (0MB)",
            "efi: mem00: [Conventional|   |  |  |WB|WT|WC|UC] range=[0x0000000000001000-0x000000000009efff] (0MB)",
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_end_that_wrapped_is_the_end_of_the_address_space() {
        let top = read("efi: mem01: type=0, attr=0x1, range=[0xfffffffffffff000-0x0000000000000000) (0MB)");
        assert_eq!(top.map(|entry| entry.range), Ok(addresses::between(0xffff_ffff_ffff_f000, u64::MAX)));
    }

    #[test]
    fn attributes_decide_about_conventional_memory() {
        let kind = |text: &str| read(text).map(|entry| entry.kind);
        assert_eq!(kind("efi: mem1: type=7, attr=0x4000f, range=[0x0-0x1000)"), Ok(RangeKind::SoftReserved));
        assert_eq!(kind("efi: mem1: type=7, attr=0x1, range=[0x0-0x1000)"), Ok(RangeKind::Reserved));
        assert_eq!(
            kind("efi: mem1: type=11, attr=0x8000000000000001, range=[0x0-0x1000)"),
            Ok(RangeKind::Device)
        );
        assert!(kind("efi: mem1: [Nonsense|WB] range=[0x0-0xfff]").is_err());
        assert_eq!(
            kind("0x000000000000-0x000000000fff [Conventional Memory|   |WB|WT|"),
            Err(Reason::Unclosed)
        );
        assert!(kind("efi: mem1: type=7, attr=0x1").is_err());
    }

    #[test]
    fn other_lines_of_efi_are_passed_over() {
        for text in
            ["efi: EFI v2.70 by EDK II", "efi:  ACPI=0x8ad8e000  ACPI 2.0=0x8ad8e014", "efi: memattr: x"]
        {
            assert!(entry(&Line::new(text)).is_none(), "{text}");
        }
    }
}
