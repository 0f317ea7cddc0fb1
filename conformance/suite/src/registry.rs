//! The one list of scenarios, and the one way to run them.
//!
//! # Invariants
//!
//! 1. A scenario is a line of [`ALL`] and its function; nothing else has to know of it.
//! 2. After every scenario the model is taken down, and what is outstanding has to be what was outstanding before.

use sparsemem_core::MemoryRange;

use crate::facts::{Suits, suits};
use crate::stage::Notes;
use crate::{
    Build, Facts, Failure, NotRun, Stage, Subject, boot, lookup, memmap, plug, shortage, teardown, walk,
};

/// A scenario's function.
pub type Play = fn(&mut Stage<'_>) -> Result<(), Failure>;

/// Something that every model has to do.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name: topic and what is seen, with a slash between.
    pub name: &'static str,
    /// What has to happen, in one sentence.
    pub about: &'static str,
    /// The facts about Linux that it stands for.
    pub facts: &'static [&'static str],
    /// What it suits.
    pub suits: Suits,
    /// Its function.
    pub play: Play,
}

/// A line of the registry.
const fn scenario(
    name: &'static str,
    play: Play,
    suits: Suits,
    facts: &'static [&'static str],
    about: &'static str,
) -> Scenario {
    Scenario { name, about, facts, suits, play }
}

/// Every scenario, in the order of reports.
#[rustfmt::skip]
pub const ALL: &[Scenario] = &[
    scenario("boot/words", boot::words, suits::any_memory, &["W-01", "W-02", "W-03", "W-04", "W-09", "O-01", "O-06", "I-01", "I-04"],
        "every section with memory is present, mapped, online and early, and no other section is anything"),
    scenario("boot/subsections", boot::subsections, suits::memory, &["O-34", "T-08"],
        "exactly the subsections that memory touches are marked"),
    scenario("boot/shared-section", boot::shared_section, suits::memory, &["W-33", "T-08", "O-20"],
        "a section of two nodes goes to the first, and that is told"),
    scenario("boot/runs", boot::runs, suits::memory, &["O-20", "O-21"],
        "sections are brought up in runs of one node, however nodes interleave"),
    scenario("boot/order-independent", boot::order_independent, suits::memory, &["O-01", "O-34"],
        "ranges in any order, in pieces or overlapping give the same state"),
    scenario("boot/nothing", boot::nothing, suits::always, &["O-22", "I-01", "T-27"],
        "no memory at all is a boot that brings nothing up"),
    scenario("boot/beyond-maximum", boot::beyond_maximum, suits::memory, &["O-03", "M-01"],
        "frames that the geometry does not have are told exactly, and the rest works"),
    scenario("boot/twice", boot::twice, suits::memory, &["I-10"],
        "a model that is up refuses to boot, and nothing changes"),
    scenario("boot/no-memory-one-by-one", shortage::one_by_one, suits::memory, &["O-28", "O-31", "Z-05", "M-03", "I-14"],
        "when any one allocation fails, only the sections told as lost are absent"),
    scenario("boot/memory-runs-out", shortage::runs_out, suits::memory, &["O-28", "Z-05", "I-14"],
        "when memory ends in the middle of a boot, what came before works"),
    scenario("boot/all-memory-gone", shortage::all_gone, suits::memory, &["O-28", "I-14"],
        "without any memory every section is lost once, and a later boot works"),
    scenario("boot/link-refused", shortage::link_refused, suits::refusable_links, &["I-14", "I-31", "V-11"],
        "when any one mapping is refused, only the sections told as lost are absent, and nothing stays mapped"),
    scenario("lookup/oracle", lookup::oracle, suits::much_memory, &["O-100", "T-01", "T-26", "W-40"],
        "the frames with descriptors are exactly those of present sections, at every border"),
    scenario("lookup/reasons", lookup::reasons, suits::memory, &["O-100", "T-26"],
        "a lookup that finds nothing says what is missing"),
    scenario("lookup/garbage-bits", lookup::garbage_bits, suits::memory, &["T-26", "O-100"],
        "a frame number with garbage in its high bits is not an alias"),
    scenario("lookup/round-trip", lookup::round_trip, suits::memory, &["W-11", "W-42", "W-43", "T-05"],
        "from frame to descriptor and back, checked and unchecked alike"),
    scenario("lookup/no-aliases", lookup::no_aliases, suits::memory, &["W-11", "T-04", "T-05", "T-06"],
        "what is written to one descriptor is in no other"),
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
        "a lonely section far away does not make walks slow"),
    scenario("memmap/mapped-iff-needed", memmap::mapped_iff_needed, suits::array, &["I-12", "V-10", "V-11", "G-60", "T-06"],
        "descriptors of valid frames are mapped, and no leaf is there that holds none"),
    scenario("memmap/leaf-sizes", memmap::leaf_sizes, suits::array, &["V-05", "V-13", "V-15", "V-20", "V-39", "G-42"],
        "whole sections are mapped by the largest leaves that fit"),
    scenario("memmap/footprint", memmap::footprint, suits::memory, &["G-20", "G-41", "G-42", "O-30", "I-13", "T-14"],
        "the bytes that a model says it takes are those by definition, and those that are outstanding"),
    scenario("memmap/stray-access-faults", memmap::stray_access_faults, suits::array, &["I-12", "W-43"],
        "an access to a descriptor that does not exist faults"),
    scenario("teardown/everything-back", teardown::everything_back, suits::much_memory, &["I-15", "V-40", "V-43", "I-33", "I-34", "O-14"],
        "teardown gives back every block, root and table, and unmaps everything"),
    scenario("teardown/boot-again", teardown::boot_again, suits::memory, &["I-10", "I-15"],
        "a model that was taken down comes up again as the first time"),
    scenario("reader/guard", lookup::reader, suits::memory, &["O-102", "I-16"],
        "a reader sees what lookups see"),
    scenario("hotplug/comes-and-goes", plug::life::comes_and_goes, suits::memory, &["H-17", "H-41", "H-52", "I-15", "I-20"],
        "RAM that comes, goes online, offline and away again leaves everything as it was"),
    scenario("hotplug/in-parts", plug::life::in_parts, suits::memory, &["T-10", "O-100", "I-12"],
        "two devices with different lives inside one section do not disturb each other"),
    scenario("hotplug/early-hole", plug::life::early_hole, suits::memory, &["O-100", "O-101", "H-62", "I-15"],
        "a device in a hole of a boot section uses the descriptors that are there, and leaves them there"),
    scenario("hotplug/boot-memory-goes", plug::life::boot_memory_goes, suits::memory, &["H-20", "I-11", "I-21"],
        "RAM of boot goes offline and away, and comes again"),
    scenario("hotplug/refusals", plug::refusals::refusals, suits::memory, &["H-01", "H-07", "H-12", "H-20", "T-25", "T-29"],
        "what is not possible is refused in words that name it, and changes nothing"),
    scenario("hotplug/every-failure", plug::failures::with_ram, suits::memory, &["I-14", "D-02", "T-15", "T-23", "T-24", "I-23"],
        "whatever allocation, mapping, notifier or allocator refuses, everything is as before"),
    scenario("hotplug/every-failure-altmap", plug::failures::with_altmap, suits::memory, &["I-14", "A-11", "T-15"],
        "the same where the memmap lies in what is added"),
    scenario("altmap/takes-no-ram", plug::altmap::takes_no_ram, suits::memory, &["A-01", "A-02", "A-21", "I-13"],
        "a device, and RAM, with the memmap in its own memory takes RAM for tables and usages only"),
    scenario("altmap/hosts-itself", plug::altmap::hosts_itself, suits::memory, &["A-21", "A-24", "A-25"],
        "RAM whose memmap lies in itself goes online without those frames, offline, and away"),
    scenario("altmap/refusals", plug::altmap::refusals, suits::memory, &["A-07", "A-08", "T-13"],
        "an altmap that is not of the request, too small or in use is refused before anything is added"),
];

/// What a scenario did on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many times something was made to fail: an allocation, a mapping, a notifier, the page allocator.
    pub failure_points: u64,
}

/// How a scenario that did not fail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was as expected.
    Passed(Tally),
    /// It does not suit.
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
/// [`Failure`] with the first expectation that was not met. The model is taken down all the same.
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
    let mut stage = Stage::new(subject, memory, facts);
    let played = (scenario.play)(&mut stage);
    stage.subject.world_mut().heal();
    let down = stage.tear_down_to(&before);
    played.and(down.map_err(|failure| failure.during("after the scenario")))?;
    let Notes { tally, missing } = stage.notes;
    Ok(missing.map_or(Ended::Passed(tally), |what| Ended::NotRun(NotRun::NotApplicable(what))))
}
