//! The stories, that is, sequences of events that a kernel goes through on a machine, with the checks that the host
//! makes of each.
//!
//! The kernel's part is in `conformance/kernel/src/stories/`. The kernel's own report is not enough: the host also
//! checks QEMU's events and state.

use serde_json::Value;
use sparsemem_any::Backend;

use super::conversation::Transcript;
use super::machine::{QemuMachine, virt, x86_64};
use super::protocol::Ask;

/// The expected end of a story.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// The kernel reports that it passed, and the host's check of QEMU's events succeeds.
    Well(Check),
    /// The kernel panics, and its message contains all of these words.
    Message(&'static [&'static str]),
    /// The kernel is broken on purpose, and notices: the story fails, or the kernel panics, with one of these texts.
    Caught(&'static [&'static str]),
}

/// The host's check.
pub(super) type Check = fn(&Transcript) -> Result<(), String>;

/// A sequence of events for a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    /// Its name in reports, and on the kernel's command line.
    pub(super) name: &'static str,
    /// The expected behaviour, in one sentence.
    pub(super) about: &'static str,
    /// The machines: at most one of each processor.
    pub(super) machines: &'static [&'static QemuMachine],
    /// The expected end.
    pub(super) ending: Ending,
}

/// An entry of the list.
const fn story(
    name: &'static str,
    machines: &'static [&'static QemuMachine],
    ending: Ending,
    about: &'static str,
) -> Story {
    Story { name, about, machines, ending }
}

/// The machines of stories about several processors.
const SEVERAL: &[&QemuMachine] =
    &[&x86_64::FOUR_PROCESSORS, &virt::AARCH64_FOUR_PROCESSORS, &virt::RISCV64_FOUR_PROCESSORS];

/// The machines of stories about a virtio-mem device.
const VIRTIO_MEM: &[&QemuMachine] = &[&x86_64::VIRTIO_MEM];
/// The same, and those on which the kernel says why it does not tell such stories.
const VIRTIO_MEM_OR_WHY: &[&QemuMachine] = &[&x86_64::VIRTIO_MEM, &virt::AARCH64, &virt::RISCV64];

/// All of them, in the order of reports.
#[rustfmt::skip]
pub(super) const STORIES: &[Story] = &[
    story("dimm/comes-and-goes", &[&x86_64::DIMMS, &virt::AARCH64_DIMMS], Ending::Well(|it| deleted(it, &["a"])),
        "a DIMM is plugged in while the kernel runs, is added, used, taken offline and ejected, and nothing of it is left"),
    story("dimm/refused", &[&x86_64::DIMMS, &virt::AARCH64_DIMMS], Ending::Well(refused),
        "a DIMM in use is not ejected, the host gets the reason, and the DIMM is ejected once it is free"),
    story("dimm/odd-sizes", &[&x86_64::DIMMS, &virt::AARCH64_DIMMS], Ending::Well(|it| deleted(it, &["small", "odd"])),
        "DIMMs of 2 MiB and of 130 MiB share sections, and each is added and removed without the other"),
    story("dimm/two-nodes", &[&x86_64::DIMMS_2_NODES, &virt::AARCH64_DIMMS_2_NODES], Ending::Well(|it| deleted(it, &["on-0", "on-1"])),
        "DIMMs of two nodes belong to their nodes"),
    story("dimm/removal-plan", &[&x86_64::SMALL, &virt::AARCH64_SMALL], Ending::Well(|it| deleted(it, &["b", "a"])),
        "a DIMM that holds the memmap of other memory can be removed only after it, as the plan reports"),
    story("dimm/altmap", &[&x86_64::NVDIMM, &virt::AARCH64_WITHHELD, &virt::RISCV64_WITHHELD], Ending::Well(nothing),
        "the memmap of a device lies on the device: an NVDIMM, or memory that was withheld from boot"),
    story("dimm/no-room", &[&x86_64::SMALL, &virt::AARCH64_SMALL], Ending::Well(|it| deleted(it, &["large"])),
        "adding a DIMM whose memmap does not fit changes nothing, and succeeds with an altmap, if the model can use one"),
    story("dimm/too-high", &[&x86_64::HIGH, &virt::AARCH64_HIGH], Ending::Well(|it| deleted(it, &["high"])),
        "a DIMM beyond the geometry's last frame is refused with an error that names its range"),
    story("dimm/under-a-reader", &[&x86_64::DIMMS, &virt::AARCH64_DIMMS], Ending::Message(&["under a reader", "1 held"]),
        "removing memory while a reader is held panics"),
    story("memory/near-its-node", &[&x86_64::DIMMS_3_NODES, &virt::AARCH64_DIMMS_3_NODES], Ending::Well(|it| deleted(it, &["second", "first"])),
        "metadata is allocated on the node that it describes, and elsewhere only as long as that node has no memory"),
    story("memory/of-no-node", &[&x86_64::SRAT_WITH_A_HOLE], Ending::Well(|it| said(it, SAID_OF_THE_HOLE)),
        "memory that the SRAT leaves out is assigned to node 0, and the kernel prints that"),
    story("memory/foreign-blocks", &[&x86_64::PLAIN, &virt::AARCH64, &virt::RISCV64], Ending::Well(nothing),
        "the environment takes back blocks that it gave out, and refuses parts of blocks and other memory"),
    story("memory/beyond-the-allocator", &[&x86_64::LARGE, &virt::AARCH64_LARGE, &virt::RISCV64_LARGE], Ending::Well(|it| said(it, SAID_OF_THE_END)),
        "memory beyond the page allocator's limit has descriptors and is not allocated, and the kernel prints that"),
    story("memory/full-stack", &[&x86_64::PLAIN, &virt::AARCH64, &virt::RISCV64], Ending::Message(&["the boot stack is full"]),
        "a full stack ends the run before anything is overwritten"),
    story("memory/three-views", &[&x86_64::DIMMS, &virt::AARCH64_DIMMS], Ending::Well(nothing),
        "the walker, the processor and QEMU agree on the mappings, also after a DIMM was added and removed"),
    story("memory/three-views-5-level", &[&x86_64::DIMMS_5_LEVEL], Ending::Well(nothing),
        "the same with five levels of page tables"),
    story("memory/withheld", &[&virt::AARCH64_WITHHELD, &virt::RISCV64_WITHHELD], Ending::Well(nothing),
        "RAM that the kernel did not use at boot is added, used and removed, and the walker, the processor and QEMU agree"),
    story("compound/tails-are-read-only", &[&x86_64::DIMMS, &virt::AARCH64_DIMMS], Ending::Well(|it| deleted(it, &["compounds"])),
        "a store to a descriptor that the tails of large pages share faults, in RAM that was folded while it was up or when it was added"),
    story("processors/readers", SEVERAL, Ending::Well(nothing),
        "three processors look frames up without pause while memory comes and goes: every reader's descriptor stays, and every flush is acknowledged"),
    story("processors/two-that-plug", SEVERAL, Ending::Well(nothing),
        "two processors add and remove memory under one lock while two others look frames up"),
    story("processors/interrupted", SEVERAL, Ending::Well(nothing),
        "the same as with three readers, and the handler of a timer looks frames up"),
    story("processors/page-faults", SEVERAL, Ending::Well(nothing),
        "the same as with three readers, which take page faults while they hold descriptors; the handler looks frames up"),
    story("broken/no-grace-period", SEVERAL, Ending::Caught(&["of memory that is gone", "in a descriptor", "to its descriptor", "reader's descriptor", "a page fault", "a protection fault", "a fault on an address"]),
        "a kernel that does not wait for readers is noticed by readers"),
    story("broken/no-flush", SEVERAL, Ending::Caught(&["still has a translation", "in a descriptor"]),
        "a kernel that flushes on one processor only is noticed on the others"),
    story("broken/flush-unacknowledged", SEVERAL, Ending::Caught(&["still has a translation", "in a descriptor"]),
        "a kernel that asks for flushes and does not wait for them is noticed"),
    story("broken/freed-before-flush", SEVERAL, Ending::Caught(&["in a descriptor"]),
        "a kernel that gives memory back before processors have forgotten it is noticed"),
    story("processors/dimms", &[&x86_64::FOUR_PROCESSORS_DIMMS, &virt::AARCH64_FOUR_PROCESSORS_DIMMS], Ending::Well(many_deleted),
        "DIMMs are plugged in, used and ejected, 120 times (arm64: 30, models of one array: 10), while three processors look frames up without pause"),
    story("virtio-mem/grows-and-shrinks", VIRTIO_MEM_OR_WHY, Ending::Well(announced),
        "a virtio-mem device's memory comes and goes as the host requests: driver, device, allocator and direct map agree after each step"),
    story("virtio-mem/refused", VIRTIO_MEM, Ending::Well(announced),
        "memory in use, or reserved, is not unplugged from a virtio-mem device, and all other memory is"),
    story("virtio-mem/busy", VIRTIO_MEM, Ending::Well(announced),
        "a virtio-mem device that is busy changes nothing, and does later what it was asked for"),
    story("virtio-mem/out-of-memory", VIRTIO_MEM, Ending::Well(announced),
        "every allocation of a resizing fails in turn, and each time nothing has changed"),
    story("virtio-mem/reset", VIRTIO_MEM, Ending::Well(was_reset),
        "a virtio-mem device is reset by its driver and with the virtual machine, and the driver goes on"),
    story("broken/unreached-memory", VIRTIO_MEM, Ending::Caught(&["bytes of the device in the direct map"]),
        "a kernel that lets the allocator have memory that it does not reach is noticed"),
    story("broken/used-memory-goes", VIRTIO_MEM, Ending::Caught(&["must be refused, and is not"]),
        "a kernel that gives memory in use back to a virtio-mem device is noticed"),
    story("start/broken-srat", &[&x86_64::BROKEN_SRAT], Ending::Message(&["SRAT"]),
        "an SRAT whose last entry reaches past its end is an error that names the table"),
    story("start/no-memory", &[&x86_64::NO_MEMORY, &virt::AARCH64_NO_MEMORY, &virt::RISCV64_NO_MEMORY], Ending::Message(&["no usable memory"]),
        "a memory map without usable memory is an error"),
];

/// The story of this name.
pub(super) fn find(name: &str) -> Option<&'static Story> {
    STORIES.iter().find(|story| story.name == name)
}

/// No check in addition to the kernel's report.
const fn nothing(_: &Transcript) -> Result<(), String> {
    Ok(())
}

/// The kernel's line about the section that the SRAT leaves out.
const SAID_OF_THE_HOLE: &str = "the SRAT does not mention [0x8000000, 0x10000000); node 0 gets it";
/// The kernel's line about memory beyond 64 GiB.
const SAID_OF_THE_END: &str = "cannot be allocated: the page allocator ends at 64 GiB";

/// Checks that the kernel printed these words exactly once.
fn said(transcript: &Transcript, words: &str) -> Result<(), String> {
    match transcript.lines.iter().filter(|line| line.contains(words)).count() {
        1 => Ok(()),
        times => Err(format!("the kernel must print `{words}` once, and printed it {times} times")),
    }
}

/// Checks that exactly these DIMMs were removed, in this order.
fn deleted(transcript: &Transcript, expected: &[&str]) -> Result<(), String> {
    // QEMU reports a removed device twice: by its name, and by its path.
    let device = |event: &Value| event["data"]["device"].as_str().map(ToOwned::to_owned);
    let gone: Vec<String> = events(transcript, "DEVICE_DELETED").filter_map(device).collect();
    if gone == expected { Ok(()) } else { Err(format!("QEMU removed {gone:?}, not {expected:?}")) }
}

/// Checks that there were many DIMMs, and that every one of them was removed. For a model of one array fewer are many, and a
/// machine may say how many there have to be.
fn many_deleted(transcript: &Transcript) -> Result<(), String> {
    let backend = transcript.backend.as_deref().and_then(|name| name.parse::<Backend>().ok());
    let by_model = if backend.is_none_or(Backend::is_sparse) { 100 } else { 10 };
    let many = transcript.rounds.unwrap_or(by_model);
    let gone = events(transcript, "DEVICE_DELETED").filter(|event| event["data"]["device"] == "d").count();
    let plugged = |ask: &&Ask| matches!(ask, Ask::Plug { id, .. } if id == "d");
    let plugged = transcript.asked.iter().filter(plugged).count();
    if gone == plugged && gone >= many {
        return Ok(());
    }
    Err(format!("of {plugged} DIMMs QEMU removed {gone}, and there had to be {many}"))
}

/// The standard's code for an operation that a kernel refused because the device is in use (ACPI 6, `_OST`).
const EJECT_REFUSED_IN_USE: u64 = 0x82;
/// The standard's code for an eject that the host requested.
const EJECT_REQUEST: u64 = 3;

/// Checks that the kernel refused through `_OST` once, and that the DIMM was removed later.
fn refused(transcript: &Transcript) -> Result<(), String> {
    let reports: Vec<(Option<u64>, Option<u64>)> = events(transcript, "ACPI_DEVICE_OST")
        .map(|event| (event["data"]["info"]["source"].as_u64(), event["data"]["info"]["status"].as_u64()))
        .collect();
    let refusal = (Some(EJECT_REQUEST), Some(EJECT_REFUSED_IN_USE));
    if !reports.contains(&refusal) {
        return Err(format!("QEMU received {reports:?} through _OST, and no refusal {refusal:?}"));
    }
    deleted(transcript, &["a"])
}

/// Checks that QEMU has announced at least one change of a virtio-mem device's size; of changes that follow each other, it
/// leaves some out.
fn announced(transcript: &Transcript) -> Result<(), String> {
    let path = |event: &Value| event["data"]["qom-path"].as_str().is_some_and(|path| path.ends_with("/vm0"));
    let changes = events(transcript, "MEMORY_DEVICE_SIZE_CHANGE").filter(|event| path(event)).count();
    if changes > 0 { Ok(()) } else { Err("QEMU announced no change of the size of `vm0`".to_owned()) }
}

/// The same, and that the virtual machine was reset once.
fn was_reset(transcript: &Transcript) -> Result<(), String> {
    let by_us = |event: &&Value| event["data"]["reason"] == "host-qmp-system-reset";
    match events(transcript, "RESET").filter(by_us).count() {
        1 => announced(transcript),
        times => Err(format!("the virtual machine was reset {times} times, and not once")),
    }
}

/// Events of a kind, in order.
fn events<'t>(transcript: &'t Transcript, kind: &'t str) -> impl Iterator<Item = &'t Value> {
    transcript.history.iter().filter(move |event| event["event"] == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::conversation::Transcript;
    use super::super::protocol::Ask;
    use super::{Ending, STORIES, announced, deleted, many_deleted, refused, said, was_reset};

    /// The kernel's list of stories.
    const KERNEL_STORIES: &str = include_str!("../../kernel/src/stories/mod.rs");
    /// Its broken variants, and the stories of them.
    const KERNEL_DEFECTS: &str = include_str!("../../kernel/src/defect.rs");
    const KERNEL_BROKEN: &str = include_str!("../../kernel/src/stories/broken.rs");

    fn transcript(history: &[serde_json::Value]) -> Transcript {
        Transcript { history: history.to_vec(), ..Transcript::default() }
    }

    #[test]
    fn the_kernel_knows_every_story() {
        // The other stories end before the kernel reads its task.
        for story in STORIES.iter().filter(|story| !story.name.starts_with("start/")) {
            assert!(KERNEL_STORIES.contains(&format!("\"{}\"", story.name)), "{}", story.name);
        }
    }

    #[test]
    fn every_broken_variant_of_the_kernel_has_to_be_noticed() {
        let variant = |line: &'static str| {
            let (name, number) = line.trim().split_once(" = ")?;
            number.strip_suffix(',')?.parse::<u8>().ok().map(|_| name)
        };
        let defects: Vec<&str> = KERNEL_DEFECTS.lines().filter_map(variant).collect();
        let told = |defect: &&str| KERNEL_BROKEN.contains(&format!("with(Defect::{defect}, system)"));
        assert!(!defects.is_empty() && defects.iter().all(told), "{defects:?}");
        let broken = STORIES.iter().filter(|story| story.name.starts_with("broken/"));
        let caught = broken.clone().filter(|story| matches!(story.ending, Ending::Caught(_)));
        assert_eq!((broken.count(), caught.count()), (defects.len(), defects.len()));
    }

    #[test]
    fn what_went_has_to_be_what_was_to_go() {
        // QEMU reports a removed device twice, once without its name.
        let gone = |id: &str| json!({ "event": "DEVICE_DELETED", "data": { "device": id, "path": "/machine/peripheral" } });
        let path = json!({ "event": "DEVICE_DELETED", "data": { "path": "/machine/peripheral/a" } });
        assert!(deleted(&transcript(&[path.clone(), gone("b"), gone("a")]), &["b", "a"]).is_ok());
        assert!(
            deleted(&transcript(&[gone("a"), gone("b")]), &["b", "a"])
                .unwrap_err()
                .contains("not [\"b\", \"a\"]")
        );
        assert!(deleted(&transcript(&[path]), &["a"]).is_err());
    }

    #[test]
    fn what_is_to_be_said_is_said_once() {
        let transcript = |lines: &[&str]| Transcript {
            lines: lines.iter().map(ToString::to_string).collect(),
            ..Transcript::default()
        };
        assert!(said(&transcript(&["memory: it is so", "and more"]), "it is so").is_ok());
        assert!(said(&transcript(&["and more"]), "it is so").unwrap_err().contains("0 times"));
        assert!(said(&transcript(&["it is so", "it is so"]), "it is so").is_err());
    }

    #[test]
    fn many_dimms_have_to_come_and_all_of_them_to_go() {
        let transcript = |plugged: usize, removed: usize| Transcript {
            backend: Some("vmemmap".to_owned()),
            asked: vec![Ask::Plug { id: "d".to_owned(), bytes: 0, node: 0, at: None }; plugged],
            history: vec![json!({ "event": "DEVICE_DELETED", "data": { "device": "d" } }); removed],
            ..Transcript::default()
        };
        assert!(many_deleted(&transcript(120, 120)).is_ok());
        assert!(many_deleted(&transcript(120, 119)).unwrap_err().contains("removed 119"));
        assert!(many_deleted(&transcript(99, 99)).is_err());
        let of_array = |count| Transcript { backend: Some("flat".to_owned()), ..transcript(count, count) };
        assert!(many_deleted(&of_array(10)).is_ok());
        assert!(many_deleted(&of_array(9)).unwrap_err().contains("had to be 10"));
        let asked_for = |rounds| Transcript { rounds: Some(rounds), ..transcript(30, 30) };
        assert!(many_deleted(&asked_for(30)).is_ok());
        assert!(many_deleted(&asked_for(31)).is_err());
        assert!(many_deleted(&Transcript { backend: None, ..transcript(30, 30) }).is_err());
    }

    #[test]
    fn a_device_has_to_change_and_a_machine_to_be_reset() {
        let change = |device: &str| json!({ "event": "MEMORY_DEVICE_SIZE_CHANGE", "data": { "qom-path": format!("/machine/peripheral/{device}") } });
        let reset = |reason: &str| json!({ "event": "RESET", "data": { "reason": reason } });
        let by_us = reset("host-qmp-system-reset");
        assert!(announced(&transcript(&[change("vm0")])).is_ok());
        assert!(announced(&transcript(&[change("other")])).is_err());
        assert!(was_reset(&transcript(&[reset("guest-reset"), by_us.clone(), change("vm0")])).is_ok());
        assert!(was_reset(&transcript(core::slice::from_ref(&by_us))).is_err());
        let why = was_reset(&transcript(&[reset("guest-reset"), change("vm0")])).unwrap_err();
        assert!(why.contains("0 times"), "{why}");
        assert!(was_reset(&transcript(&[by_us.clone(), by_us, change("vm0")])).is_err());
    }

    #[test]
    fn a_refusal_has_to_reach_the_host() {
        let ost = |status: u64| json!({ "event": "ACPI_DEVICE_OST", "data": { "info": { "source": 3, "status": status, "slot": "0" } } });
        let gone = json!({ "event": "DEVICE_DELETED", "data": { "device": "a" } });
        assert!(refused(&transcript(&[ost(0x82), gone.clone()])).is_ok());
        assert!(refused(&transcript(&[ost(1), gone.clone()])).unwrap_err().contains("no refusal"));
        assert!(refused(&transcript(&[ost(0x82)])).is_err());
        assert!(refused(&transcript(&[gone])).is_err());
    }
}
