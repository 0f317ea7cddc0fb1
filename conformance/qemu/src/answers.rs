//! The host's actions for the requests of a kernel.
//!
//! QEMU has its own view of the kernel's mappings. `info tlb` and `info mem` walk the page tables from their root; which of
//! the two there is depends on the processor. `gva2gpa` translates one address, on every processor. `info tlb` distinguishes base pages from large ones, but not 2 MiB from 1 GiB; only the number of bytes that
//! `info mem` reports as mapped shows that.

use core::fmt::Write;
use core::ops::Range;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::monitor::{Monitor, MonitorError};
use super::protocol::{Answer, Ask, QueriedRange};

/// The time that a DIMM may take to disappear after the kernel ejected it: QEMU reports it at once.
const GONE_LIMIT: Duration = Duration::from_secs(1);
/// The time that a migration may take to begin or to end: QEMU looks at it ten times a second.
const MIGRATION_LIMIT: Duration = Duration::from_secs(10);
/// The interval between looks at a migration.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes in a second for a migration that must not end.
const SLOW: u64 = 64 << 10;

/// Does what the kernel requests.
///
/// # Errors
///
/// [`MonitorError`] if QEMU does not answer. A refusal of QEMU is an answer.
pub(super) fn answer(monitor: &mut Monitor, ask: &Ask) -> Result<Answer, MonitorError> {
    let done = match ask {
        Ask::Plug { id, bytes, node, at } => plug(monitor, id, *bytes, *node, *at),
        Ask::Unplug { id } => nothing(monitor.execute("device_del", &json!({ "id": id }))),
        Ask::Gone { id } => return gone(monitor, id),
        Ask::Ost { slot } => return ost(monitor, *slot),
        Ask::Request { id, bytes } => {
            let wanted = json!({ "path": device(id), "property": "requested-size", "value": bytes });
            nothing(monitor.execute("qom-set", &wanted))
        }
        Ask::Sizes { id } => sizes(monitor, id),
        Ask::Migrate => migrate(monitor),
        Ask::Stay => {
            monitor.execute("migrate_cancel", &json!({})).and_then(|_| wait_for(monitor, "cancelled"))
        }
        Ask::Reset => nothing(monitor.execute("system_reset", &json!({}))),
        Ask::Tlb(QueriedRange { from, to }) => {
            monitor.human("info tlb").map(|text| leaves(&text, &(*from..*to)))
        }
        Ask::Gpa { at } => monitor.human(&format!("gva2gpa {at:#x}")).map(|text| physical(&text)),
        Ask::Mem(QueriedRange { from, to }) => {
            monitor.human("info mem").map(|text| ranges(&text, &(*from..*to)))
        }
    };
    match done {
        Ok(text) => Ok(Answer::Done(text)),
        Err(MonitorError::Refused { why, .. }) => Ok(Answer::Refused(why)),
        Err(error) => Err(error),
    }
}

/// Plugs a DIMM in. Its memory takes none of the host's memory until the kernel writes to it.
fn plug(
    monitor: &mut Monitor,
    id: &str,
    bytes: u64,
    node: u32,
    at: Option<u64>,
) -> Result<String, MonitorError> {
    let memory = memory_of(id);
    let backend = json!({ "qom-type": "memory-backend-ram", "id": memory, "size": bytes, "reserve": false });
    monitor.execute("object-add", &backend)?;
    let mut device = json!({ "driver": "pc-dimm", "id": id, "memdev": memory, "node": node });
    if let Some(at) = at {
        device["addr"] = at.into();
    }
    let plugged = nothing(monitor.execute("device_add", &device));
    if plugged.is_err() {
        nothing(monitor.execute("object-del", &json!({ "id": memory })))?;
    }
    plugged
}

/// Waits until a DIMM is removed, and removes its memory object too.
fn gone(monitor: &mut Monitor, id: &str) -> Result<Answer, MonitorError> {
    let is_it = |event: &Value| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == id;
    if !monitor.wait_for(is_it, Instant::now() + GONE_LIMIT)? {
        return Ok(Answer::Refused(format!("`{id}` is still plugged in")));
    }
    nothing(monitor.execute("object-del", &json!({ "id": memory_of(id) }))).map(Answer::Done)
}

/// The status that the kernel reported for a slot.
fn ost(monitor: &mut Monitor, slot: u64) -> Result<Answer, MonitorError> {
    let slots = monitor.execute("query-acpi-ospm-status", &json!({}))?;
    let slots = slots.as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |it: &Value| it["slot"].as_str().and_then(|text| text.parse::<u64>().ok());
    let found = slots.iter().find(|it| it["slot-type"] == "DIMM" && number(it) == Some(slot));
    Ok(match found {
        Some(it) => Answer::Done(format!("{} {}", it["source"], it["status"])),
        None => Answer::Refused(format!("there is no slot {slot}")),
    })
}

/// The path of a device that the command line named.
fn device(id: &str) -> String {
    format!("/machine/peripheral/{id}")
}

/// The bytes that a virtio-mem device has plugged, and those that it requests.
fn sizes(monitor: &mut Monitor, id: &str) -> Result<String, MonitorError> {
    let mut of =
        |property: &str| monitor.execute("qom-get", &json!({ "path": device(id), "property": property }));
    Ok(format!("{} {}", of("size")?, of("requested-size")?))
}

/// Begins to migrate the virtual machine to nowhere, and returns when QEMU does it.
fn migrate(monitor: &mut Monitor) -> Result<String, MonitorError> {
    monitor.execute("migrate-set-parameters", &json!({ "max-bandwidth": SLOW }))?;
    monitor.execute("migrate", &json!({ "uri": "exec:cat >/dev/null" }))?;
    wait_for(monitor, "active")
}

/// Waits until the migration has a status.
fn wait_for(monitor: &mut Monitor, status: &str) -> Result<String, MonitorError> {
    let deadline = Instant::now() + MIGRATION_LIMIT;
    loop {
        let is = monitor.execute("query-migrate", &json!({}))?["status"].to_string();
        if is.trim_matches('"') == status {
            return Ok(String::new());
        }
        if Instant::now() >= deadline {
            let (command, why) = ("migrate".to_owned(), format!("the status is {is}, and not {status}"));
            return Err(MonitorError::Refused { command, why });
        }
        std::thread::sleep(LOOK);
    }
}

/// The name of a DIMM's memory object.
fn memory_of(id: &str) -> String {
    format!("memory-of-{id}")
}

/// A result whose value has no information.
fn nothing(result: Result<Value, MonitorError>) -> Result<String, MonitorError> {
    result.map(|_| String::new())
}

/// The lines of `info tlb` within a range, in the form of answers: count, then `VIRTUAL PHYSICAL SIZE` each, where
/// the size is `4k` or `large`.
fn leaves(printed: &str, range: &Range<u64>) -> String {
    let leaves: Vec<_> = printed.lines().filter_map(leaf).filter(|leaf| range.contains(&leaf.0)).collect();
    listed(leaves.iter().map(|(at, to, size)| format!("{at:x} {to:x} {size}")))
}

/// The lines of `info mem` within a range, cut at its ends: count, then `START END` each.
fn ranges(printed: &str, range: &Range<u64>) -> String {
    let cut = |(start, end): (u64, u64)| (start.max(range.start), end.min(range.end));
    let ranges = printed.lines().filter_map(span).map(cut).filter(|(start, end)| start < end);
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            // Adjacent ranges are separate lines only if their permissions differ, which is not of interest.
            Some(last) if last.1 == start => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    listed(joined.iter().map(|(start, end)| format!("{start:x} {end:x}")))
}

/// Lines, after their number.
fn listed(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = lines.len().to_string();
    for line in lines {
        let _ = write!(text, "\n{line}");
    }
    text
}

/// `VIRTUAL: PHYSICAL FLAGS`, where `P` among the flags stands for a large page.
fn leaf(line: &str) -> Option<(u64, u64, &'static str)> {
    let (at, rest) = line.split_once(": ")?;
    let (to, flags) = rest.trim().split_once(' ')?;
    let size = if flags.contains('P') { "large" } else { "4k" };
    Some((hex(at)?, hex(to)?, size))
}

/// A line of `info mem`: `START-END BYTES PERMISSIONS` on x86_64, `VIRTUAL PHYSICAL BYTES PERMISSIONS` on riscv64.
fn span(line: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [range, _, _] => {
            let (start, end) = range.split_once('-')?;
            Some((hex(start)?, hex(end)?))
        }
        [start, _, len, _] => {
            let start = hex(start)?;
            Some((start, start.checked_add(hex(len)?)?))
        }
        _ => None,
    }
}

/// `gpa: 0xPHYSICAL`, or `Unmapped`.
fn physical(printed: &str) -> String {
    printed.trim().strip_prefix("gpa: 0x").unwrap_or_default().to_owned()
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{leaves, physical, ranges};

    #[test]
    fn leaves_are_those_of_the_range() {
        let printed = "0000000000200000: 0000000000200000 --PDA---W\r\n\
                       ffffea0000000000: 000000000f800000 X-PDA---W\r\n\
                       ffffea0000200000: 000000000fe01000 X--DA---W\r\n";
        let array = 0xffff_ea00_0000_0000..0xffff_eb00_0000_0000;
        assert_eq!(leaves(printed, &array), "2\nffffea0000000000 f800000 large\nffffea0000200000 fe01000 4k");
        assert_eq!(leaves("", &array), "0");
    }

    #[test]
    fn ranges_are_cut_and_joined() {
        let printed = "0000000000000000-0000000000200000 0000000000200000 -rw\r\n\
                       0000000000200000-0000000000400000 0000000000200000 -r-\r\n\
                       ffffea0000000000-ffffea0000600000 0000000000600000 -rw\r\n";
        assert_eq!(ranges(printed, &(0x10_0000..0x1000_0000)), "1\n100000 400000");
        assert_eq!(ranges(printed, &(0x1000_0000..u64::MAX)), "1\nffffea0000000000 ffffea0000600000");
    }

    #[test]
    fn other_processors_have_other_lines() {
        let printed = "vaddr            paddr            size             attr\r\n\
                       ---------------- ---------------- ---------------- -------\r\n\
                       ffff8000c0000000 00000000c0000000 0000000020000000 rw---ad\r\n";
        assert_eq!(
            ranges(printed, &(0xffff_8000_c000_0000..u64::MAX)),
            "1\nffff8000c0000000 ffff8000e0000000"
        );
        assert_eq!(physical("gpa: 0x40200000\r\n"), "40200000");
        assert_eq!(physical("Unmapped\r\n"), "");
    }
}
