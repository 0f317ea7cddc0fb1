//! The stories that a kernel is told to play on a machine of its own, and what the host has to see of each.
//!
//! The kernel's part is in `conformance/kernel/src/stories/`. What it says of itself is not enough: the host also looks at
//! what QEMU tells of the same things.

use serde_json::Value;

use super::conversation::Transcript;
use super::machine::{self, QemuMachine};

/// How a story has to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// The kernel says that it passed, and the host finds nothing wrong with what QEMU tells.
    Well(Check),
    /// The kernel cannot go on, and says why, with all of these in its message.
    Message(&'static [&'static str]),
}

/// What the host looks at.
pub(super) type Check = fn(&Transcript) -> Result<(), String>;

/// Something that happens to a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    /// Its name in reports, and on the kernel's command line.
    pub(super) name: &'static str,
    /// What has to happen, in one sentence.
    pub(super) about: &'static str,
    /// Where it happens.
    pub(super) machine: &'static QemuMachine,
    /// How it has to end.
    pub(super) ending: Ending,
}

/// A line of the list.
const fn story(
    name: &'static str,
    machine: &'static QemuMachine,
    ending: Ending,
    about: &'static str,
) -> Story {
    Story { name, about, machine, ending }
}

/// All of them, in the order of reports.
#[rustfmt::skip]
pub(super) const STORIES: &[Story] = &[
    story("dimm/comes-and-goes", &machine::DIMMS, Ending::Well(|it| deleted(it, &["a"])),
        "a DIMM is plugged in while the kernel runs, is added, used, taken offline and ejected, and nothing is left of it"),
    story("dimm/refused", &machine::DIMMS, Ending::Well(refused),
        "a DIMM in use is not given up, the host hears why, and it goes once it is free"),
    story("dimm/odd-sizes", &machine::DIMMS, Ending::Well(|it| deleted(it, &["small", "odd"])),
        "DIMMs of 2 MiB and of 130 MiB share sections and come and go each for itself"),
    story("dimm/two-nodes", &machine::DIMMS_2_NODES, Ending::Well(|it| deleted(it, &["on-0", "on-1"])),
        "DIMMs of two nodes belong to their nodes"),
    story("dimm/removal-plan", &machine::SMALL, Ending::Well(|it| deleted(it, &["b", "a"])),
        "what holds the memmap of other memory can only go after it, and the plan says so"),
    story("dimm/altmap", &machine::NVDIMM, Ending::Well(nothing),
        "the memmap of an NVDIMM lies on the NVDIMM"),
    story("dimm/no-room", &machine::SMALL, Ending::Well(|it| deleted(it, &["large"])),
        "a DIMM whose memmap does not fit leaves everything as it was, and comes with an altmap"),
    story("dimm/too-high", &machine::HIGH, Ending::Well(|it| deleted(it, &["high"])),
        "a DIMM beyond the geometry's last frame is refused by name"),
    story("dimm/under-a-reader", &machine::DIMMS, Ending::Message(&["under a reader", "1 held"]),
        "who removes memory while a reader is held is stopped"),
    story("memory/near-its-node", &machine::DIMMS_3_NODES, Ending::Well(|it| deleted(it, &["second", "first"])),
        "metadata is allocated on the node that it describes, and elsewhere only as long as that has no memory"),
    story("memory/of-no-node", &machine::SRAT_WITH_A_HOLE, Ending::Well(|it| said(it, SAID_OF_THE_HOLE)),
        "memory that the SRAT leaves out is given to node 0, and the kernel says so"),
    story("memory/foreign-blocks", &machine::PLAIN, Ending::Well(nothing),
        "the provider of metadata takes back what it gave, and neither parts of it nor anything else"),
    story("memory/beyond-the-allocator", &machine::LARGE, Ending::Well(|it| said(it, SAID_OF_THE_END)),
        "memory that the page allocator has no room for has descriptors, is given to nobody, and the kernel says so"),
    story("memory/full-stack", &machine::PLAIN, Ending::Message(&["the boot stack is full"]),
        "a stack that is full ends the run before it writes over anything"),
    story("memory/three-views", &machine::DIMMS, Ending::Well(nothing),
        "the walker, the processor and QEMU agree on what is mapped, also after a DIMM came and went"),
    story("memory/three-views-5-level", &machine::DIMMS_5_LEVEL, Ending::Well(nothing),
        "the same with five levels of page tables"),
    story("start/broken-srat", &machine::BROKEN_SRAT, Ending::Message(&["SRAT"]),
        "an SRAT whose last entry reaches behind its end is an error that names the table"),
    story("start/no-memory", &machine::NO_MEMORY, Ending::Message(&["no usable memory"]),
        "a memory map without usable memory is an error that says so"),
];

/// The story of this name.
pub(super) fn find(name: &str) -> Option<&'static Story> {
    STORIES.iter().find(|story| story.name == name)
}

/// Nothing beside what the kernel says.
const fn nothing(_: &Transcript) -> Result<(), String> {
    Ok(())
}

/// What the kernel says of the section that the SRAT leaves out.
const SAID_OF_THE_HOLE: &str = "the SRAT says nothing of [0x8000000, 0x10000000); node 0 is given it";
/// What the kernel says of memory behind 64 GiB.
const SAID_OF_THE_END: &str = "is given to nobody: the page allocator ends at 64 GiB";

/// The kernel says this to people, once.
fn said(transcript: &Transcript, words: &str) -> Result<(), String> {
    match transcript.lines.iter().filter(|line| line.contains(words)).count() {
        1 => Ok(()),
        times => Err(format!("the kernel has to say once that {words}, and says it {times} times")),
    }
}

/// Exactly these DIMMs went, in this order.
fn deleted(transcript: &Transcript, expected: &[&str]) -> Result<(), String> {
    // QEMU tells of a device twice: by its name, and by the path that it was at.
    let device = |event: &Value| event["data"]["device"].as_str().map(ToOwned::to_owned);
    let gone: Vec<String> = events(transcript, "DEVICE_DELETED").filter_map(device).collect();
    if gone == expected { Ok(()) } else { Err(format!("QEMU tells that {gone:?} went, not {expected:?}")) }
}

/// The standard's code for an operation that a kernel refused because the device is in use (ACPI 6, `_OST`).
const EJECT_REFUSED_IN_USE: u64 = 0x82;
/// The standard's code for an eject that the host asked for.
const EJECT_REQUEST: u64 = 3;

/// The kernel refused through `_OST` once, and the DIMM went all the same later.
fn refused(transcript: &Transcript) -> Result<(), String> {
    let told: Vec<(Option<u64>, Option<u64>)> = events(transcript, "ACPI_DEVICE_OST")
        .map(|event| (event["data"]["info"]["source"].as_u64(), event["data"]["info"]["status"].as_u64()))
        .collect();
    let refusal = (Some(EJECT_REQUEST), Some(EJECT_REFUSED_IN_USE));
    if !told.contains(&refusal) {
        return Err(format!("QEMU heard {told:?} through _OST, and no refusal {refusal:?}"));
    }
    deleted(transcript, &["a"])
}

/// Events of a kind, first to last.
fn events<'t>(transcript: &'t Transcript, kind: &'t str) -> impl Iterator<Item = &'t Value> {
    transcript.history.iter().filter(move |event| event["event"] == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::conversation::Transcript;
    use super::{STORIES, deleted, refused, said};

    /// The kernel's list of stories.
    const TOLD: &str = include_str!("../../kernel/src/stories/mod.rs");

    fn heard(history: &[serde_json::Value]) -> Transcript {
        Transcript { history: history.to_vec(), ..Transcript::default() }
    }

    #[test]
    fn the_kernel_knows_every_story() {
        // The others end before the kernel looks at what it is to run.
        for story in STORIES.iter().filter(|story| !story.name.starts_with("start/")) {
            assert!(TOLD.contains(&format!("\"{}\"", story.name)), "{}", story.name);
        }
    }

    #[test]
    fn what_went_has_to_be_what_was_to_go() {
        // QEMU tells of a device twice, once without its name.
        let gone = |id: &str| json!({ "event": "DEVICE_DELETED", "data": { "device": id, "path": "/machine/peripheral" } });
        let path = json!({ "event": "DEVICE_DELETED", "data": { "path": "/machine/peripheral/a" } });
        assert!(deleted(&heard(&[path.clone(), gone("b"), gone("a")]), &["b", "a"]).is_ok());
        assert!(
            deleted(&heard(&[gone("a"), gone("b")]), &["b", "a"]).unwrap_err().contains("not [\"b\", \"a\"]")
        );
        assert!(deleted(&heard(&[path]), &["a"]).is_err());
    }

    #[test]
    fn what_is_to_be_said_is_said_once() {
        let heard = |lines: &[&str]| Transcript {
            lines: lines.iter().map(ToString::to_string).collect(),
            ..Transcript::default()
        };
        assert!(said(&heard(&["memory: it is so", "and more"]), "it is so").is_ok());
        assert!(said(&heard(&["and more"]), "it is so").unwrap_err().contains("0 times"));
        assert!(said(&heard(&["it is so", "it is so"]), "it is so").is_err());
    }

    #[test]
    fn a_refusal_has_to_reach_the_host() {
        let ost = |status: u64| json!({ "event": "ACPI_DEVICE_OST", "data": { "info": { "source": 3, "status": status, "slot": "0" } } });
        let gone = json!({ "event": "DEVICE_DELETED", "data": { "device": "a" } });
        assert!(refused(&heard(&[ost(0x82), gone.clone()])).is_ok());
        assert!(refused(&heard(&[ost(1), gone.clone()])).unwrap_err().contains("no refusal"));
        assert!(refused(&heard(&[ost(0x82)])).is_err());
        assert!(refused(&heard(&[gone])).is_err());
    }
}
