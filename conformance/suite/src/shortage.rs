//! Boots that do not get everything they ask for: what is lost is told, what is told is lost, and nothing else is.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::{LeafSize, LookupError, MemoryRange, Pfn, SectionNr};

use crate::failure::{Place, expect, expect_eq};
use crate::stage::Booted;
use crate::{Failure, Fault, Stage, memmap, numbers, sample};

/// Sections of a machine that every single fault is tried on.
const FEW: usize = 12;
/// Largest machine that is booted as a whole with a fault.
const MOST_SECTIONS: u64 = 256;
/// Mappings of the boots that every single fault is tried on, roughly.
const LEAVES: u64 = 256;
/// Faults beyond this are tried less and less densely.
const DENSE: u64 = 24;
/// After so many requests a boot of a few sections is not going to end.
const ENDLESS: u64 = 1 << 20;

/// Fails each single allocation of a boot from a few of the machine's sections, and some from all of them.
pub(crate) fn one_by_one(stage: &mut Stage<'_>) -> Result<(), Failure> {
    each(stage, Fault::NthAllocation)?;
    if stage.facts.sections > MOST_SECTIONS {
        return Ok(());
    }
    let memory = stage.memory;
    let sections = stage.facts.sections;
    for nth in [1, sections, 2 * sections] {
        survives(stage, memory, Fault::NthAllocation(nth))?;
    }
    Ok(())
}

/// Ends the memory after each number of allocations.
pub(crate) fn runs_out(stage: &mut Stage<'_>) -> Result<(), Failure> {
    each(stage, |nth| Fault::AllocationsAfter(nth - 1))
}

/// Refuses each single mapping.
pub(crate) fn link_refused(stage: &mut Stage<'_>) -> Result<(), Failure> {
    each(stage, Fault::NthLink)
}

/// Refuses every allocation, of memory that is reported in order and then backwards; then boots again.
pub(crate) fn all_gone(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let memory: Vec<_> = stage.memory.iter().chain(stage.memory.iter().rev()).copied().collect();
    let before = stage.world().balance();
    let booted = boot_with(stage, &memory, Fault::AllocationsAfter(0))?.0;
    let all: Vec<u64> = stage.oracle(&memory).sections().collect();
    let mut lost = booted.lost();
    lost.sort_unstable();
    expect_eq(Place::Model, "sections lost", &all, &lost)?;
    expect_eq(Place::Model, "count of sections lost", &(all.len() as u64), &booted.summary.lost)?;
    expect_eq(Place::Model, "sections up", &(0, None), &(booted.summary.sections, stage.first_present()))?;
    expect_eq(Place::Model, "outstanding", &before, &stage.world().balance())?;
    let (oracle, _) = stage.boot()?;
    stage.sections_are(&oracle, sample::sections(&oracle))
}

/// Tries a fault at each request of a boot from a few sections, until a boot makes fewer requests than that.
fn each(stage: &mut Stage<'_>, fault: impl Fn(u64) -> Fault) -> Result<(), Failure> {
    let memory = sample::excerpt(&stage.oracle(stage.memory), stage.memory, few(stage));
    let mut nth = 1;
    while survives(stage, &memory, fault(nth))? > 0 {
        expect(nth < ENDLESS, Place::Model, "requests of a boot", "an end of them", nth)?;
        nth = after(nth);
    }
    Ok(())
}

/// The fault to try after the n-th: the next one, or a later one if there were many.
pub(crate) const fn after(nth: u64) -> u64 {
    nth + 1 + nth.saturating_sub(DENSE) / 3
}

/// How many sections to try every fault on: fewer if each of them may take many mappings.
fn few(stage: &Stage<'_>) -> usize {
    let memmap = stage.facts.section_memmap_bytes();
    let has_small_leaves = stage.facts.build.array.is_some()
        && (stage.facts.largest_leaf == LeafSize::Size4KiB || memmap * 2 <= LeafSize::Size2MiB.bytes());
    let leaves = if has_small_leaves { memmap.div_ceil(LeafSize::Size4KiB.bytes()) } else { 1 };
    usize::try_from(LEAVES / leaves).unwrap_or(FEW).clamp(1, FEW)
}

/// Boots with a fault, and says how many requests it refused.
fn boot_with(stage: &mut Stage<'_>, memory: &[MemoryRange], fault: Fault) -> Result<(Booted, u64), Failure> {
    stage.subject.world_mut().arm(fault);
    let booted = stage.boot_from(memory);
    let refused = stage.subject.world_mut().heal();
    Ok((booted?, refused))
}

/// Boots with a fault, looks at everything, and takes the model down. Says how many requests were refused.
fn survives(stage: &mut Stage<'_>, memory: &[MemoryRange], fault: Fault) -> Result<u64, Failure> {
    let during = |failure: Failure| failure.during(format!("{fault:?}"));
    let before = stage.world().balance();
    let (booted, refused) = boot_with(stage, memory, fault).map_err(during)?;
    stage.notes.tally.failure_points += u64::from(refused > 0);
    only_the_told_are_lost(stage, memory, &booted, refused).map_err(during)?;
    stage.tear_down_to(&before).map_err(during)?;
    Ok(refused)
}

/// Compares everything with an oracle that lost the sections that were told.
fn only_the_told_are_lost(
    stage: &Stage<'_>,
    memory: &[MemoryRange],
    booted: &Booted,
    refused: u64,
) -> Result<(), Failure> {
    let oracle = stage.oracle(memory);
    let told = booted.lost();
    let lost: BTreeSet<u64> = told.iter().copied().collect();
    expect(lost.len() == told.len(), Place::Model, "sections lost", "each told once", &told)?;
    expect(lost.iter().all(|nr| oracle.is_present(*nr)), Place::Model, "lost", "reported sections", &told)?;
    expect(refused > 0 || lost.is_empty(), Place::Model, "lost without a fault", "nothing", &told)?;
    let rest = oracle.without(&lost);
    expect_eq(Place::Model, "count of sections lost", &(told.len() as u64), &booted.summary.lost)?;
    expect_eq(Place::Model, "count of sections up", &rest.count(), &booted.summary.sections)?;
    let present = numbers(stage.subject.present_sections());
    expect_eq(Place::Model, "present sections", &rest.sections().collect::<Vec<_>>(), &present)?;
    stage.sections_are(&rest, oracle.sections())?;
    lost.iter().try_for_each(|nr| is_absent(stage, *nr))?;
    rest.sections().take(64).try_for_each(|nr| works(stage, nr))?;
    memmap::no_leaf_is_idle(stage, &rest)?;
    stage.mappings_agree()
}

/// Fails unless lookups in a section find nothing, because it is absent.
fn is_absent(stage: &Stage<'_>, nr: u64) -> Result<(), Failure> {
    let section = SectionNr::new(nr);
    for frame in [stage.facts.shape.first_frame(nr), stage.facts.shape.first_frame(nr + 1) - 1] {
        let pfn = Pfn::new(frame);
        let expected = Err(LookupError::AbsentSection { pfn, section });
        expect_eq(Place::Frame(pfn), "lookup in a lost section", &expected, &stage.subject.explain(pfn))?;
    }
    Ok(())
}

/// Fails unless the last descriptor of a section can be written and read.
fn works(stage: &Stage<'_>, nr: u64) -> Result<(), Failure> {
    let pfn = Pfn::new(stage.facts.shape.first_frame(nr + 1) - 1);
    let mut read = None;
    stage.subject.read(&mut |pages| {
        read = pages.page(pfn).map(|page| {
            page.put(nr);
            page.get()
        });
    });
    expect_eq(Place::Frame(pfn), "what was written in a section that is up", &Some(nr), &read)
}
