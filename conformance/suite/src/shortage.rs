//! Scenarios of boots with too little memory: exactly the sections that boot reports as lost are lost.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::{LeafSize, LookupError, MemoryRange, Pfn, SectionNr};

use crate::failure::{Place, expect, expect_eq};
use crate::setting::Booted;
use crate::{Failure, Fault, Oracle, Setting, memmap, numbers, range, sample};

/// The number of sections of the machine with which every single fault is tested.
const FEW: usize = 12;
/// The number of sections of the largest machine that is booted completely with a fault.
const MOST_SECTIONS: u64 = 256;
/// The approximate number of mappings of the boots with which every single fault is tested.
const LEAVES: u64 = 256;
/// Faults after this many requests are tested less and less densely.
const DENSE: u64 = 24;
/// A boot of a few sections that makes this many requests does not end.
const ENDLESS: u64 = 1 << 20;

/// Makes each single allocation of a boot from a few of the machine's sections fail, and some of a boot from all of
/// them.
pub(crate) fn one_by_one(setting: &mut Setting<'_>) -> Result<(), Failure> {
    each(setting, Fault::NthAllocation)?;
    if setting.facts.sections > MOST_SECTIONS {
        return Ok(());
    }
    let memory = setting.memory;
    let sections = setting.facts.sections;
    for nth in [1, sections, 2 * sections] {
        survives(setting, memory, Fault::NthAllocation(nth))?;
    }
    Ok(())
}

/// Lets the memory run out after each number of allocations.
pub(crate) fn runs_out(setting: &mut Setting<'_>) -> Result<(), Failure> {
    each(setting, |nth| Fault::AllocationsAfter(nth - 1))
}

/// Refuses each single mapping.
pub(crate) fn link_refused(setting: &mut Setting<'_>) -> Result<(), Failure> {
    each(setting, Fault::NthLink)
}

/// Refuses every allocation of two boots, from memory in order and in reverse order; then boots again with memory.
pub(crate) fn all_gone(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let memory: Vec<_> = setting.memory.iter().chain(setting.memory.iter().rev()).copied().collect();
    let before = setting.world().balance();
    let booted = boot_with(setting, &memory, Fault::AllocationsAfter(0))?.0;
    let all: Vec<u64> = setting.oracle(&memory).sections().collect();
    let mut lost = booted.lost();
    lost.sort_unstable();
    expect_eq(Place::Model, "sections lost", &all, &lost)?;
    expect_eq(Place::Model, "count of sections lost", &(all.len() as u64), &booted.summary.lost)?;
    expect_eq(Place::Model, "sections up", &(0, None), &(booted.summary.sections, setting.first_present()))?;
    expect_eq(Place::Model, "outstanding", &before, &setting.world().balance())?;
    let (oracle, _) = setting.boot()?;
    setting.sections_are(&oracle, sample::sections(&oracle))
}

/// Tests a fault at each request of a boot from a few sections, until a boot makes fewer requests.
fn each(setting: &mut Setting<'_>, fault: impl Fn(u64) -> Fault) -> Result<(), Failure> {
    let memory = sample::excerpt(&setting.oracle(setting.memory), setting.memory, few(setting));
    let mut nth = 1;
    while survives(setting, &memory, fault(nth))? > 0 {
        expect(nth < ENDLESS, Place::Model, "requests of a boot", "an end of them", nth)?;
        nth = after(nth);
    }
    Ok(())
}

/// The next fault to test after the n-th: the next one, or a later one if there were many.
pub(crate) const fn after(nth: u64) -> u64 {
    nth + 1 + nth.saturating_sub(DENSE) / 3
}

/// The number of sections with which every fault is tested: fewer if each of them may take many mappings.
fn few(setting: &Setting<'_>) -> usize {
    let memmap = setting.facts.section_memmap_bytes();
    let has_small_leaves = setting.facts.can.array.is_some()
        && (setting.facts.largest_leaf == LeafSize::Size4KiB || memmap * 2 <= LeafSize::Size2MiB.bytes());
    let leaves = if has_small_leaves { memmap.div_ceil(LeafSize::Size4KiB.bytes()) } else { 1 };
    usize::try_from(LEAVES / leaves).unwrap_or(FEW).clamp(1, FEW)
}

/// Boots with a fault, and returns the number of requests that were refused.
fn boot_with(
    setting: &mut Setting<'_>,
    memory: &[MemoryRange],
    fault: Fault,
) -> Result<(Booted, u64), Failure> {
    setting.subject.world_mut().arm(fault);
    let booted = setting.boot_from(memory);
    let refused = setting.subject.world_mut().heal();
    Ok((booted?, refused))
}

/// Boots with a fault, checks everything, and takes the model down. Returns the number of requests that were refused.
fn survives(setting: &mut Setting<'_>, memory: &[MemoryRange], fault: Fault) -> Result<u64, Failure> {
    let during = |failure: Failure| failure.during(format!("{fault:?}"));
    let before = setting.world().balance();
    let (booted, refused) = boot_with(setting, memory, fault).map_err(during)?;
    setting.notes.tally.failure_points += u64::from(refused > 0);
    only_the_told_are_lost(setting, memory, &booted, refused).map_err(during)?;
    setting.tear_down_to(&before).map_err(during)?;
    Ok(refused)
}

/// Compares the model with an oracle without the sections that were reported as lost.
fn only_the_told_are_lost(
    setting: &Setting<'_>,
    memory: &[MemoryRange],
    booted: &Booted,
    refused: u64,
) -> Result<(), Failure> {
    let oracle = setting.oracle(memory);
    let reported = booted.lost();
    let lost: BTreeSet<u64> = reported.iter().copied().collect();
    expect(lost.len() == reported.len(), Place::Model, "sections lost", "each reported once", &reported)?;
    expect(
        lost.iter().all(|nr| oracle.is_present(*nr)),
        Place::Model,
        "lost",
        "reported sections",
        &reported,
    )?;
    expect(refused > 0 || lost.is_empty(), Place::Model, "lost without a fault", "nothing", &reported)?;
    let rest = oracle.without(&lost);
    expect_eq(Place::Model, "count of sections lost", &(reported.len() as u64), &booted.summary.lost)?;
    expect_eq(Place::Model, "count of sections up", &rest.count(), &booted.summary.sections)?;
    let present = numbers(setting.subject.present_sections());
    expect_eq(Place::Model, "present sections", &rest.sections().collect::<Vec<_>>(), &present)?;
    setting.sections_are(&rest, oracle.sections())?;
    lost.iter().try_for_each(|nr| is_absent(setting, *nr))?;
    rest.sections().take(64).try_for_each(|nr| works(setting, &rest, nr))?;
    memmap::no_leaf_is_idle(setting, &rest)?;
    setting.mappings_agree()
}

/// Fails unless lookups in a section report that it is absent.
fn is_absent(setting: &Setting<'_>, nr: u64) -> Result<(), Failure> {
    let section = SectionNr::new(nr);
    for frame in [setting.facts.shape.first_frame(nr), setting.facts.shape.first_frame(nr + 1) - 1] {
        let pfn = Pfn::new(frame);
        let expected = Err(LookupError::AbsentSection { pfn, section });
        expect_eq(Place::Frame(pfn), "lookup in a lost section", &expected, &setting.subject.explain(pfn))?;
    }
    Ok(())
}

/// Fails unless the last descriptor of a section can be written and read: that of the last valid frame.
fn works(setting: &Setting<'_>, oracle: &Oracle, nr: u64) -> Result<(), Failure> {
    let section = range(setting.facts.shape.first_frame(nr), setting.facts.shape.first_frame(nr + 1));
    let valid = oracle.valid_in(section);
    let pfn = Pfn::new(valid.last().unwrap_or(&section).end().get() - 1);
    let mut read = None;
    setting.subject.read(&mut |pages| {
        read = pages.page(pfn).map(|page| {
            page.put(nr);
            page.get()
        });
    });
    expect_eq(Place::Frame(pfn), "word written in a section that is up", &Some(nr), &read)
}
