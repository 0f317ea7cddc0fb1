//! Compares facts that a machine's own kernel derived from its map with a model that is booted from the same map.
//!
//! The file `expectations.toml` in the machines' folder explains each difference. An unexplained difference fails,
//! and so does an explanation without its difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use sparsemem_core::{LeafSize, NodeId, VirtAddr, VirtRange};
use sparsemem_log_reader::golden::{Golden, parse};
use sparsemem_suite::{ArrayFacts, Leaf, Oracle, Subject, numbers, unsuited};

use crate::subjects::with_subject;
use crate::variant::Variant;
use sparsemem_any::Backend;
use sparsemem_machine_files::MachineFile;
use sparsemem_report::Outcome;
use sparsemem_report::Verdict;

/// Bytes of a section on the machines whose kernels print facts about sections.
const SECTION_BYTES: u64 = 128 << 20;

/// An explained difference; its reason is for readers.
#[derive(Clone, Debug, Deserialize)]
struct Difference {
    file: String,
    fact: String,
    expected: toml::Value,
    actual: toml::Value,
}

/// The explained differences.
#[derive(Clone, Debug, Deserialize)]
struct Expectations {
    difference: Vec<Difference>,
}

/// The facts that are known of a map.
#[derive(Clone, Debug, Deserialize)]
struct Known {
    file: String,
    descriptor_bytes: Option<u64>,
}

/// The facts that are known of all maps.
#[derive(Clone, Debug, Deserialize)]
struct Index {
    map: Vec<Known>,
}

/// The reason why there is no comparison, or why it failed.
enum Stop {
    NotApplicable(String),
    Fail(String),
}

/// A comparison's result.
type Compared = Result<(), Stop>;

/// A comparison as a verdict.
fn verdict(compared: Compared) -> Verdict {
    match compared {
        Ok(()) => (Outcome::Passed, String::new()),
        Err(Stop::NotApplicable(why)) => (Outcome::NotApplicable, why),
        Err(Stop::Fail(why)) => (Outcome::Failed, why),
    }
}

/// Stops because there is nothing to compare.
fn not_applicable<T>(why: &str) -> Result<T, Stop> {
    Err(Stop::NotApplicable(why.to_owned()))
}

/// Holds the machine's file against itself.
pub(crate) fn log_agrees(machine: &MachineFile, _: Backend) -> Verdict {
    verdict(match machine.contradictions.first() {
        Some(first) => Err(Stop::Fail(match machine.contradictions.len() - 1 {
            0 => first.to_string(),
            more => format!("{first}; and {more} more"),
        })),
        None if machine.agreements.is_empty() => not_applicable("its file says nothing besides the map"),
        None => Ok(()),
    })
}

/// Compares present sections.
pub(crate) fn present_sections(machine: &MachineFile, backend: Backend) -> Verdict {
    verdict(facts(machine).and_then(|golden| compare_sections(machine, backend, &golden)))
}

/// Compares the frames without memory in present sections.
pub(crate) fn unavailable_pages(machine: &MachineFile, backend: Backend) -> Verdict {
    verdict(facts(machine).and_then(|golden| compare_unavailable(machine, backend, &golden)))
}

/// Compares the blocks that hold the virtual memmap.
pub(crate) fn vmemmap_blocks(machine: &MachineFile, backend: Backend) -> Verdict {
    verdict(facts(machine).and_then(|golden| compare_blocks(machine, backend, &golden)))
}

/// The facts from a machine's kernel.
fn facts(machine: &MachineFile) -> Result<Golden, Stop> {
    let Some(path) = machine.golden_path() else {
        return not_applicable("no facts from its kernel are recorded");
    };
    let text =
        std::fs::read_to_string(&path).map_err(|error| Stop::Fail(format!("{}: {error}", path.display())))?;
    parse(&text).map_err(|error| Stop::Fail(format!("{}: {error}", path.display())))
}

/// Boots a machine and observes the model.
fn booted<T>(
    machine: &MachineFile,
    backend: Backend,
    variant: Variant,
    look: impl Fn(&dyn Subject, Option<ArrayFacts>, &Oracle) -> T,
) -> Result<T, Stop> {
    let mut seen = None;
    let made = with_subject(machine, backend, variant, &mut |subject, can, memory| {
        match unsuited(subject, can, memory) {
            Ok(None) => {}
            Ok(Some(why)) => return seen = Some(not_applicable(&why.to_string())),
            Err(failure) => return seen = Some(Err(Stop::Fail(failure.to_string()))),
        }
        if subject.boot(memory, &mut |_| ()).is_ok() {
            seen = Some(Ok(look(
                &*subject,
                can.array,
                &Oracle::new(subject.shape(), memory).with_early(subject.early_frames()),
            )));
        }
        // Other scenarios test that teardown gives everything back.
        let _ = subject.tear_down();
    });
    made.map_err(|error| Stop::Fail(format!("no machine: {error}")))?;
    seen.unwrap_or_else(|| Err(Stop::Fail("the model did not boot".to_owned())))
}

fn compare_sections(machine: &MachineFile, backend: Backend, golden: &Golden) -> Compared {
    if golden.early_node_ranges.is_empty() {
        return not_applicable("its kernel did not print node ranges");
    }
    let bytes =
        1u64 << booted(machine, backend, Variant::Usual, |subject, _, _| subject.shape().section_bits)?;
    let touched = |start: u64, end: u64| (start / bytes)..end.div_ceil(bytes);
    let ranges = golden.early_node_ranges.iter().map(|(range, _)| (range.start().get(), range.end().get()));
    let expected: BTreeSet<u64> = ranges.flat_map(|(start, end)| touched(start, end)).collect();
    let found = booted(machine, backend, Variant::Usual, |subject, _, _| {
        numbers(subject.present_sections()).into_iter().collect::<BTreeSet<u64>>()
    })?;
    if is_flat(golden) && expected != found && found.is_subset(&expected) {
        return not_applicable("its kernel registered one range from address 0 on, with all holes in it");
    }
    let only: Vec<_> = expected.symmetric_difference(&found).collect();
    if only.is_empty() || explains_ranges(machine)? {
        return Ok(());
    }
    Err(Stop::Fail(format!("these sections are present only in the kernel or only in the model: {only:?}")))
}

/// True if the kernel has a flat memory map, as those of 32 bits before 2.6.28 have.
fn is_flat(golden: &Golden) -> bool {
    matches!(golden.early_node_ranges[..], [(range, _)] if range.start().get() == 0)
}

fn compare_unavailable(machine: &MachineFile, backend: Backend, golden: &Golden) -> Compared {
    let Some(unavailable) = &golden.unavailable else {
        return not_applicable("its kernel did not count them");
    };
    let found = booted(machine, backend, Variant::Usual, |subject, _, oracle| {
        let section_frames = subject.shape().section_frames();
        let present = subject.present_sections().len() as u64 * section_frames;
        (subject.shape().section_bytes() == SECTION_BYTES).then(|| present - memory_frames(oracle))
    })?;
    let Some(found) = found else { return not_applicable("the geometry has sections of another size") };
    explained(machine, "unavailable-pages", unavailable.total().get(), found)
}

/// Frames of memory.
fn memory_frames(oracle: &Oracle) -> u64 {
    oracle.count() * oracle.shape().section_frames() - oracle.unavailable_frames()
}

fn compare_blocks(machine: &MachineFile, backend: Backend, golden: &Golden) -> Compared {
    if golden.vmemmap_runs.is_empty() {
        return not_applicable("its kernel did not print what it populated");
    }
    if !backend.has_array() {
        return not_applicable("the model has no virtual array");
    }
    let variant = match descriptor_bytes(machine)? {
        Some(64) => Variant::Usual,
        Some(56) => Variant::OddPage,
        Some(bytes) => {
            return Err(Stop::Fail(format!(
                "no variant has descriptors of {bytes} bytes, as its kernel had"
            )));
        }
        None => return not_applicable("the size of its kernel's descriptors is not known"),
    };
    let found = booted(machine, backend, variant, |subject, array, oracle| blocks(subject, array, oracle))?;
    let expected = golden.vmemmap_blocks();
    let nodes: BTreeSet<_> = expected.keys().chain(found.keys()).copied().collect();
    nodes.into_iter().try_for_each(|node| {
        let count = |blocks: &BTreeMap<NodeId, u64>| blocks.get(&node).copied().unwrap_or(0);
        explained(machine, &format!("vmemmap-blocks.{node}"), count(&expected), count(&found))
    })
}

/// The mapped blocks, by the node of the lowest section that has a descriptor in them.
fn blocks(subject: &dyn Subject, array: Option<ArrayFacts>, oracle: &Oracle) -> BTreeMap<NodeId, u64> {
    let mut blocks = BTreeMap::new();
    let Some(array) = array else { return blocks };
    let section_bytes = subject.shape().section_frames() * subject.descriptor_bytes();
    let end = VirtAddr::new(array.start.get() + array.len_bytes);
    let mut count = |leaf: Leaf| {
        let first = oracle.next_present((leaf.at.get() - array.start.get()) / section_bytes);
        if let (LeafSize::Size2MiB, Some(node)) = (leaf.size, first.and_then(|nr| oracle.node(nr))) {
            *blocks.entry(node).or_default() += 1;
        }
    };
    if let Ok(window) = VirtRange::new(array.start, end) {
        subject.world().leaves(window, &mut count);
    }
    blocks
}

/// Fails if two numbers differ without an explanation, or if an explanation is stale.
fn explained(machine: &MachineFile, fact: &str, expected: u64, found: u64) -> Compared {
    let entries = expectations()?;
    let entry = entries.difference.iter().find(|entry| entry.file == machine.name && entry.fact == fact);
    let is = |value: &toml::Value, number: u64| {
        value.as_integer().is_some_and(|own| own.cast_unsigned() == number)
    };
    match entry {
        None if expected == found => Ok(()),
        None => Err(Stop::Fail(format!(
            "{fact}: its kernel counts {expected}, the model {found}; add the reason to expectations.toml, or find the fault"
        ))),
        Some(entry) if expected != found && is(&entry.expected, expected) && is(&entry.actual, found) => {
            Ok(())
        }
        Some(_) => Err(Stop::Fail(format!(
            "{fact}: its kernel counts {expected}, the model {found}; the entry in expectations.toml is stale"
        ))),
    }
}

/// Says whether a difference of the machine's node ranges is explained.
fn explains_ranges(machine: &MachineFile) -> Result<bool, Stop> {
    let is_of_ranges = |entry: &Difference| entry.file == machine.name && entry.fact == "early-node-ranges";
    Ok(expectations()?.difference.iter().any(is_of_ranges))
}

/// The size of the descriptors of a machine's kernel.
fn descriptor_bytes(machine: &MachineFile) -> Result<Option<u64>, Stop> {
    let index: Index = table("index.toml")?;
    Ok(index
        .map
        .into_iter()
        .find(|known| known.file == machine.name)
        .and_then(|known| known.descriptor_bytes))
}

/// The explained differences.
fn expectations() -> Result<Expectations, Stop> {
    table("expectations.toml")
}

/// A file in the machines' folder.
fn table<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, Stop> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../machines").join(name);
    let text = std::fs::read_to_string(&path).map_err(|error| Stop::Fail(format!("{name}: {error}")))?;
    toml::from_str(&text).map_err(|error| Stop::Fail(format!("{name}: {error}")))
}
