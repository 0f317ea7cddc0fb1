//! The list of all scenarios, and the function that runs one.
//!
//! # Invariants
//!
//! 1. A scenario is one entry of [`ALL`] and its function; no other code has to know of it.
//! 2. After every scenario the model is taken down, and the outstanding memory must be the same as before.

use sparsemem_core::MemoryRange;

use crate::facts::{Suits, suits};
use crate::setting::Notes;
use crate::{
    Build, Facts, Failure, NotRun, Setting, Subject, boot, lookup, memmap, plug, shortage, teardown, walk,
};

/// A scenario's function.
pub type ScenarioFn = fn(&mut Setting<'_>) -> Result<(), Failure>;

/// A test that every model must pass.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name: a topic and the tested property, separated by a slash.
    pub name: &'static str,
    /// The expected behaviour, in one sentence.
    pub about: &'static str,
    /// The facts about Linux that it tests.
    pub facts: &'static [&'static str],
    /// The condition under which it suits.
    pub suits: Suits,
    /// Its function.
    pub function: ScenarioFn,
}

/// An entry of the registry.
const fn scenario(
    name: &'static str,
    function: ScenarioFn,
    suits: Suits,
    facts: &'static [&'static str],
    about: &'static str,
) -> Scenario {
    Scenario { name, about, facts, suits, function }
}

/// Every scenario, in the order of reports.
#[rustfmt::skip]
pub const ALL: &[Scenario] = &[
    scenario("boot/words", boot::words, suits::any_memory, &["W-01", "W-02", "W-03", "W-04", "W-09", "O-01", "O-06", "I-01", "I-04"],
        "every section with memory is present, mapped, online and early, and all other sections are absent"),
    scenario("boot/subsections", boot::subsections, suits::memory, &["O-34", "T-08"],
        "exactly the subsections that memory touches are marked"),
    scenario("boot/shared-section", boot::shared_section, suits::memory, &["W-33", "T-08", "O-20"],
        "a section of two nodes belongs to the first, and boot reports it as shared"),
    scenario("boot/runs", boot::runs, suits::memory, &["O-20", "O-21"],
        "sections are brought up in runs of one node, also where nodes interleave"),
    scenario("boot/order-independent", boot::order_independent, suits::memory, &["O-01", "O-34"],
        "ranges in any order, in pieces or overlapping give the same state"),
    scenario("boot/nothing", boot::nothing, suits::always, &["O-22", "I-01", "T-27"],
        "a boot without memory succeeds and brings no section up"),
    scenario("boot/beyond-maximum", boot::beyond_maximum, suits::memory, &["O-03", "M-01"],
        "boot reports exactly the frames beyond the geometry, and the others work"),
    scenario("boot/twice", boot::twice, suits::memory, &["I-10"],
        "a model that is up refuses to boot, and nothing changes"),
    scenario("boot/no-memory-one-by-one", shortage::one_by_one, suits::memory, &["O-28", "O-31", "Z-05", "M-03", "I-14"],
        "when any single allocation fails, exactly the sections reported as lost are absent"),
    scenario("boot/memory-runs-out", shortage::runs_out, suits::memory, &["O-28", "Z-05", "I-14"],
        "when memory runs out during a boot, the sections brought up before work"),
    scenario("boot/all-memory-gone", shortage::all_gone, suits::memory, &["O-28", "I-14"],
        "without any memory every section is lost once, and a later boot works"),
    scenario("boot/link-refused", shortage::link_refused, suits::refusable_links, &["I-14", "I-31", "V-11"],
        "when any single mapping is refused, exactly the sections reported as lost are absent, and none of them stays mapped"),
    scenario("lookup/oracle", lookup::oracle, suits::much_memory, &["O-100", "T-01", "T-26", "W-40"],
        "the frames with descriptors are exactly those of present sections, at every border"),
    scenario("lookup/reasons", lookup::reasons, suits::memory, &["O-100", "T-26"],
        "a failed lookup reports the missing part"),
    scenario("lookup/garbage-bits", lookup::garbage_bits, suits::memory, &["T-26", "O-100"],
        "a frame number with arbitrary high bits is not an alias of a valid one"),
    scenario("lookup/round-trip", lookup::round_trip, suits::memory, &["W-11", "W-42", "W-43", "T-05"],
        "lookups lead from frame to descriptor and back, checked and unchecked"),
    scenario("lookup/no-aliases", lookup::no_aliases, suits::memory, &["W-11", "T-04", "T-05", "T-06"],
        "a word written to one descriptor appears in no other"),
    scenario("lookup/holes-early", lookup::holes_early, suits::memory, &["O-06", "O-81", "O-100", "O-101", "T-08"],
        "holes inside boot sections have descriptors, absent sections have none"),
    scenario("lookup/online", lookup::online, suits::memory, &["O-04", "O-104"],
        "frames of memory are online, holes beside them are not, though both have descriptors"),
    scenario("lookup/fresh-zero", lookup::fresh_zero, suits::memory, &["O-23", "V-01"],
        "descriptors begin as zero bytes, also in memory that was used before"),
    scenario("walk/sections", walk::sections, suits::memory, &["O-107", "T-27"],
        "a walk over present sections meets each of them once, in order"),
    scenario("walk/valid-ranges", walk::valid_ranges, suits::memory, &["O-108", "T-28"],
        "a walk over valid frames yields exactly those of the range asked for"),
    scenario("walk/cost", walk::cost, suits::far_sections, &["O-05", "O-107"],
        "a single distant section does not make walks slow"),
    scenario("memmap/mapped-iff-needed", memmap::mapped_iff_needed, suits::array, &["I-12", "V-10", "V-11", "G-60", "T-06"],
        "descriptors of valid frames are mapped, and every leaf holds at least one"),
    scenario("memmap/leaf-sizes", memmap::leaf_sizes, suits::array, &["V-05", "V-13", "V-15", "V-20", "V-39", "G-42"],
        "whole sections are mapped by the largest leaves that fit"),
    scenario("memmap/footprint", memmap::footprint, suits::memory, &["G-20", "G-41", "G-42", "O-30", "I-13", "T-14"],
        "the bytes that a model reports as taken equal the expected ones and the outstanding ones"),
    scenario("memmap/stray-access-faults", memmap::stray_access_faults, suits::array, &["I-12", "W-43"],
        "an access to a descriptor that does not exist faults"),
    scenario("teardown/everything-back", teardown::everything_back, suits::much_memory, &["I-15", "V-40", "V-43", "I-33", "I-34", "O-14"],
        "teardown gives every block, root and table back, and unmaps everything"),
    scenario("teardown/boot-again", teardown::boot_again, suits::memory, &["I-10", "I-15"],
        "a model that was taken down can be booted again, with the same result"),
    scenario("reader/guard", lookup::reader, suits::memory, &["O-102", "I-16"],
        "a reader gives the same answers as lookups"),
    scenario("hotplug/comes-and-goes", plug::life::comes_and_goes, suits::memory, &["H-17", "H-41", "H-52", "I-15", "I-20"],
        "RAM that is added, brought online, taken offline and removed leaves everything as it was"),
    scenario("hotplug/in-parts", plug::life::in_parts, suits::memory, &["T-10", "O-100", "I-12"],
        "two devices in one section that are added and removed at different times do not disturb each other"),
    scenario("hotplug/early-hole", plug::life::early_hole, suits::memory, &["O-100", "O-101", "H-62", "I-15"],
        "a device in a hole of a boot section uses the existing descriptors, and leaves them in place"),
    scenario("hotplug/boot-memory-goes", plug::life::boot_memory_goes, suits::memory, &["H-20", "I-11", "I-21"],
        "RAM of boot can be taken offline, removed, and added again"),
    scenario("hotplug/refusals", plug::refusals::refusals, suits::memory, &["H-01", "H-07", "H-12", "H-20", "T-25", "T-29"],
        "an impossible request is refused with an error that names the reason, and changes nothing"),
    scenario("hotplug/every-failure", plug::failures::with_ram, suits::memory, &["I-14", "D-02", "T-15", "T-23", "T-24", "I-23"],
        "when any allocation, mapping, notifier or the page allocator refuses, everything is as before"),
    scenario("hotplug/every-failure-altmap", plug::failures::with_altmap, suits::memory, &["I-14", "A-11", "T-15"],
        "the same where the memmap lies in the added memory"),
    scenario("altmap/takes-no-ram", plug::altmap::takes_no_ram, suits::memory, &["A-01", "A-02", "A-21", "I-13"],
        "a device, and RAM, with the memmap in its own memory takes other RAM for tables and usages only"),
    scenario("altmap/hosts-itself", plug::altmap::hosts_itself, suits::memory, &["A-21", "A-24", "A-25"],
        "RAM that holds its own memmap comes online without those frames, goes offline, and is removed"),
    scenario("altmap/refusals", plug::altmap::refusals, suits::memory, &["A-07", "A-08", "T-13"],
        "an altmap that lies elsewhere, is too small or is in use is refused before anything is added"),
];

/// Counters of a scenario's run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of simulated failures: of an allocation, a mapping, a notifier, or the page allocator.
    pub failure_points: u64,
}

/// The end of a scenario that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was as expected.
    Passed(Tally),
    /// The scenario does not suit.
    NotRun(NotRun),
}

/// The scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// Runs a scenario on a model that is down.
///
/// # Errors
///
/// [`Failure`] with the first expectation that was not met. The model is taken down in any case.
pub fn run(
    scenario: &Scenario,
    subject: &mut dyn Subject,
    build: Build,
    memory: &[MemoryRange],
) -> Result<Ended, Failure> {
    let facts = Facts::new(subject, build, memory);
    if let Err(why) = (scenario.suits)(&facts) {
        return Ok(Ended::NotRun(why));
    }
    let before = subject.world().balance();
    let mut setting = Setting::new(subject, memory, facts);
    let outcome = (scenario.function)(&mut setting);
    setting.subject.world_mut().heal();
    let down = setting.tear_down_to(&before);
    outcome.and(down.map_err(|failure| failure.during("after the scenario")))?;
    let Notes { tally, not_run } = setting.notes;
    Ok(not_run.map_or(Ended::Passed(tally), Ended::NotRun))
}
