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
    Capabilities, Facts, Failure, NotRun, Setting, Subject, boot, deferred, lookup, memmap, plug, shortage,
    teardown, unsuited, walk,
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
    /// The part of the contract that says so: a method of a trait, or a capability.
    pub contract: &'static str,
    /// The facts about Linux that it tests.
    pub facts: &'static [&'static str],
    /// The condition under which it suits.
    pub suits: Suits,
    /// Its function.
    pub function: ScenarioFn,
}

/// Declares [`ALL`] and [`each_scenario!`](crate::each_scenario) from one list. The first token is a dollar sign, for the
/// macro that this one declares.
macro_rules! scenarios {
    ($d:tt $($topic:ident {
        $($test:ident $name:literal: $function:path, if $suits:path, of $contract:literal, [$($fact:literal),*], $about:literal;)*
    })*) => {
        /// Every scenario, in the order of reports.
        pub const ALL: &[Scenario] = &[$($(Scenario {
            name: $name,
            about: $about,
            contract: $contract,
            facts: &[$($fact),*],
            suits: $suits,
            function: $function,
        },)*)*];

        /// Calls a macro with all scenarios: `each_scenario!(then { anything })` is
        /// `then! { { anything } topic { test "topic/test" .. } .. }`, for code that has to be made for each of them.
        ///
        /// ```
        /// macro_rules! names {
        ///     ({} $($topic:ident { $($test:ident $name:literal)* })*) => { [$($($name),*),*] };
        /// }
        ///
        /// let names = sparsemem_suite::each_scenario!(names {});
        /// assert_eq!(names.len(), sparsemem_suite::ALL.len());
        /// ```
        #[macro_export]
        macro_rules! each_scenario {
            ($d($d then:ident)::+ { $d($d anything:tt)* }) => {
                $d($d then)::+! { { $d($d anything)* } $($topic { $($test $name)* })* }
            };
        }
    };
}

#[rustfmt::skip]
scenarios! { $
    boot {
        words "boot/words": boot::words, if suits::any_memory, of "BootModel::boot", ["W-01", "W-02", "W-03", "W-04", "W-09", "O-01", "O-06", "I-01", "I-04"],
            "every section with memory is present, mapped, online and early, and all other sections are absent";
        subsections "boot/subsections": boot::subsections, if suits::memory, of "BootModel::boot", ["O-34", "T-08"],
            "exactly the subsections that memory touches are marked";
        shared_section "boot/shared-section": boot::shared_section, if suits::memory, of "BootModel::boot, its event BootEvent::SharedSection", ["W-33", "T-08", "O-20"],
            "a section of two nodes belongs to the first, and boot reports it as shared";
        runs "boot/runs": boot::runs, if suits::memory, of "BootModel::boot", ["O-20", "O-21"],
            "sections are brought up in runs of one node, also where nodes interleave";
        order_independent "boot/order-independent": boot::order_independent, if suits::memory, of "BootModel::boot", ["O-01", "O-34"],
            "ranges in any order, in pieces or overlapping give the same state";
        nothing "boot/nothing": boot::nothing, if suits::always, of "BootModel::boot", ["O-22", "I-01", "T-27"],
            "a boot without memory succeeds and brings no section up";
        beyond_maximum "boot/beyond-maximum": boot::beyond_maximum, if suits::memory, of "BootModel::boot, its event BootEvent::BeyondMaximum", ["O-03", "M-01"],
            "boot reports exactly the frames beyond the geometry, and the others work";
        twice "boot/twice": boot::twice, if suits::memory, of "BootModel::boot, its error BootError::AlreadyUp", ["I-10"],
            "a model that is up refuses to boot, and nothing changes";
        no_memory_one_by_one "boot/no-memory-one-by-one": shortage::one_by_one, if suits::memory, of "BootModel::boot, its event BootEvent::SectionLost", ["O-28", "O-31", "Z-05", "M-03", "I-14"],
            "when any single allocation fails, exactly the sections reported as lost are absent";
        memory_runs_out "boot/memory-runs-out": shortage::runs_out, if suits::memory, of "BootModel::boot, its event BootEvent::SectionLost", ["O-28", "Z-05", "I-14"],
            "when memory runs out during a boot, the sections brought up before work";
        all_memory_gone "boot/all-memory-gone": shortage::all_gone, if suits::memory, of "BootModel::boot, its event BootEvent::SectionLost", ["O-28", "I-14"],
            "without any memory every section is lost once, and a later boot works";
        link_refused "boot/link-refused": shortage::link_refused, if suits::refusable_links, of "BootModel::boot, its event BootEvent::SectionLost", ["I-14", "I-31", "V-11"],
            "when any single mapping is refused, exactly the sections reported as lost are absent, and none of them stays mapped";
    }
    deferred {
        marks "deferred/marks": deferred::marks, if suits::deferred, of "DeferredModel::boot_deferred", ["W-32", "O-01"],
            "a boot that waits marks every section with its node, and makes no memmap";
        bring_up "deferred/bring-up": deferred::bring_up, if suits::deferred, of "DeferredModel::bring_up", ["W-32", "I-01"],
            "chosen sections come up as after a boot, with descriptors of zeros, once each, and the others wait";
        every_failure "deferred/every-failure": deferred::every_failure, if suits::deferred, of "DeferredModel::bring_up: nothing changes on an error", ["I-14"],
            "when any allocation or mapping of a bring-up is refused, the section waits as before";
    }
    lookup {
        oracle "lookup/oracle": lookup::oracle, if suits::much_memory, of "MemoryModel::lookup_with", ["O-100", "T-01", "T-26", "W-40"],
            "the frames with descriptors are exactly those of present sections, at every border";
        reasons "lookup/reasons": lookup::reasons, if suits::memory, of "MemoryModel::explain", ["O-100", "T-26"],
            "a failed lookup reports the missing part";
        garbage_bits "lookup/garbage-bits": lookup::garbage_bits, if suits::memory, of "MemoryModel::lookup_with", ["T-26", "O-100"],
            "a frame number with arbitrary high bits is not an alias of a valid one";
        round_trip "lookup/round-trip": lookup::round_trip, if suits::memory, of "MemoryModel::lookup_unchecked and MemoryModel::pfn_of", ["W-11", "W-42", "W-43", "T-05"],
            "lookups lead from frame to descriptor and back, checked and unchecked";
        no_aliases "lookup/no-aliases": lookup::no_aliases, if suits::memory, of "MemoryModel, its safety section: no two frames share a descriptor", ["W-11", "T-04", "T-05", "T-06"],
            "a word written to one descriptor appears in no other";
        holes_early "lookup/holes-early": lookup::holes_early, if suits::memory, of "MemoryModel::lookup_with: boot sections are valid as a whole", ["O-06", "O-81", "O-100", "O-101", "T-08"],
            "holes inside boot sections have descriptors, absent sections have none";
        holes_by_frame "lookup/holes-by-frame": lookup::holes_by_frame, if suits::by_frame, of "EarlyFrames::Reported", ["O-81", "O-101"],
            "in a model that is exact by frame, a hole of a single frame has no descriptor, and its neighbours have";
        online "lookup/online": lookup::online, if suits::memory, of "MemoryModel::lookup_online_with", ["O-04", "O-104"],
            "frames of memory are online, holes beside them are not, though both have descriptors";
        fresh_zero "lookup/fresh-zero": lookup::fresh_zero, if suits::memory, of "MemoryModel::lookup_with: descriptors are zero before their first use", ["O-23", "V-01"],
            "descriptors begin as zero bytes, also in memory that was used before";
    }
    walk {
        sections "walk/sections": walk::sections, if suits::memory, of "MemoryModel::next_present", ["O-107", "T-27"],
            "a walk over present sections meets each of them once, in order";
        valid_ranges "walk/valid-ranges": walk::valid_ranges, if suits::memory, of "MemoryModel::next_valid", ["O-108", "T-28"],
            "a walk over valid frames yields exactly those of the range asked for";
        cost "walk/cost": walk::cost, if suits::far_sections, of "MemoryModel::next_present and MemoryModel::next_valid, their costs", ["O-05", "O-107"],
            "a single distant section does not make walks slow";
    }
    memmap {
        mapped_iff_needed "memmap/mapped-iff-needed": memmap::mapped_iff_needed, if suits::array, of "Capabilities::array", ["I-12", "V-10", "V-11", "G-60", "T-06"],
            "descriptors of valid frames are mapped, and every leaf holds at least one";
        leaf_sizes "memmap/leaf-sizes": memmap::leaf_sizes, if suits::array, of "Capabilities::array", ["V-05", "V-13", "V-15", "V-20", "V-39", "G-42"],
            "whole sections are mapped by the largest leaves that fit";
        footprint "memmap/footprint": memmap::footprint, if suits::memory, of "MemoryModel::footprint", ["G-20", "G-41", "G-42", "O-30", "I-13", "T-14"],
            "the bytes that a model reports as taken equal the expected ones and the outstanding ones";
        stray_access_faults "memmap/stray-access-faults": memmap::stray_access_faults, if suits::array, of "Capabilities::array", ["I-12", "W-43"],
            "an access to a descriptor that does not exist faults";
    }
    teardown {
        everything_back "teardown/everything-back": teardown::everything_back, if suits::much_memory, of "BootModel::tear_down", ["I-15", "V-40", "V-43", "I-33", "I-34", "O-14"],
            "teardown gives every block, root and table back, and unmaps everything";
        boot_again "teardown/boot-again": teardown::boot_again, if suits::memory, of "BootModel::tear_down", ["I-10", "I-15"],
            "a model that was taken down can be booted again, with the same result";
    }
    reader {
        guard "reader/guard": lookup::reader, if suits::memory, of "MemoryModel::read", ["O-102", "I-16"],
            "a reader gives the same answers as lookups";
    }
    hotplug {
        comes_and_goes "hotplug/comes-and-goes": plug::life::comes_and_goes, if suits::hotplug, of "InstallModel::install and RetireModel::retire", ["H-17", "H-41", "H-52", "I-15", "I-20"],
            "RAM that is added, brought online, taken offline and removed leaves everything as it was";
        in_parts "hotplug/in-parts": plug::life::in_parts, if suits::hotplug, of "InstallModel::install and RetireModel::retire", ["T-10", "O-100", "I-12"],
            "two devices in one section that are added and removed at different times do not disturb each other";
        neighbours "hotplug/neighbours": plug::life::neighbours, if suits::hotplug, of "InstallModel::install and RetireModel::retire", ["T-10", "T-18", "X-14", "I-12"],
            "a subsection that is removed takes no descriptor of its neighbours with it, also where one mapping holds them all";
        early_hole "hotplug/early-hole": plug::life::early_hole, if suits::hotplug, of "InstallModel::install: descriptors of boot are used again", ["O-100", "O-101", "H-62", "I-15"],
            "a device in a hole of a boot section uses the existing descriptors, and leaves them in place";
        boot_memory_goes "hotplug/boot-memory-goes": plug::life::boot_memory_goes, if suits::hotplug, of "RetireModel::retire and Capabilities::memory_back", ["H-20", "I-11", "I-21"],
            "RAM of boot can be taken offline, removed, and added again";
        refusals "hotplug/refusals": plug::refusals::refusals, if suits::hotplug, of "InstallModel::install and RetireModel::retire, their errors", ["H-01", "H-07", "H-12", "H-20", "T-25", "T-29"],
            "an impossible request is refused with an error that names the reason, and changes nothing";
        every_failure "hotplug/every-failure": plug::failures::with_ram, if suits::hotplug, of "InstallModel::install, RetireModel::retire and MarkModel: nothing changes on an error", ["I-14", "D-02", "T-15", "T-23", "T-24", "I-23"],
            "when any allocation, mapping, notifier or the page allocator refuses, everything is as before";
        every_failure_altmap "hotplug/every-failure-altmap": plug::failures::with_altmap, if suits::altmap, of "InstallModel::install, RetireModel::retire and MarkModel: nothing changes on an error", ["I-14", "A-11", "T-15"],
            "the same where the memmap lies in the added memory";
    }
    compound {
        tails_share "compound/tails-share": plug::compound::tails_share, if suits::hotplug, of "InstallModel::install_compounds and MemoryModel::folded", ["V-60", "V-61", "V-71"],
            "the heads of a device's large pages have descriptors of their own and the tails of all share one page, or the model refuses";
        every_failure "compound/every-failure": plug::failures::with_compounds, if suits::hotplug, of "InstallModel::install_compounds: nothing changes on an error", ["I-14", "V-75"],
            "when any allocation or mapping of a device with large pages is refused, everything is as before";
        fold_up "compound/fold-up": plug::refold::fold_up, if suits::hotplug, of "RetireModel::fold and MemoryModel::folded", ["V-71"],
            "the tails of RAM that is online come to share one page, and the heads keep their words, or the model refuses";
        unfold "compound/unfold": plug::refold::unfold, if suits::hotplug, of "RetireModel::unfold", ["V-71"],
            "they get descriptors of their own again, which can be written";
    }
    altmap {
        takes_no_ram "altmap/takes-no-ram": plug::altmap::takes_no_ram, if suits::altmap, of "MetadataMemory::alloc_memmap and Capabilities::memmaps", ["A-01", "A-02", "A-21", "I-13"],
            "a device, and RAM, with the memmap in its own memory takes other RAM for tables and usages only";
        hosts_itself "altmap/hosts-itself": plug::altmap::hosts_itself, if suits::altmap, of "MetadataMemory::alloc_memmap", ["A-21", "A-24", "A-25"],
            "RAM that holds its own memmap comes online without those frames, goes offline, and is removed";
        refusals "altmap/refusals": plug::altmap::refusals, if suits::altmap, of "MetadataMemory::alloc_memmap", ["A-07", "A-08", "T-13"],
            "an altmap that lies elsewhere, is too small or is in use is refused before anything is added";
        stays_without_altmap "altmap/stays-without-altmap": plug::altmap::stays_without_altmap, if suits::altmap, of "RetireModel::retire, its error RetireError::OtherAltmap", ["X-15", "X-19"],
            "memory is not removed without the altmap that has its descriptors";
    }
}

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
    can: Capabilities,
    memory: &[MemoryRange],
) -> Result<Ended, Failure> {
    let facts = Facts::new(subject, can, memory);
    if let Err(why) = (scenario.suits)(&facts) {
        return Ok(Ended::NotRun(why));
    }
    let before = subject.world().balance();
    let mut setting = Setting::new(subject, memory, facts);
    if let Some(reason) = unsuited::machine(&mut setting)? {
        return Ok(Ended::NotRun(NotRun::NotApplicable(reason)));
    }
    let outcome = (scenario.function)(&mut setting);
    setting.subject.world_mut().heal();
    let down = setting.tear_down_to(&before);
    outcome.and(down.map_err(|failure| failure.during("after the scenario")))?;
    let Notes { tally, not_run } = setting.notes;
    Ok(not_run.map_or(Ended::Passed(tally), Ended::NotRun))
}
