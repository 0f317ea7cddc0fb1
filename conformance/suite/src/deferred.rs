//! Scenarios of boots that only mark sections, and of their bring-up later.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use sparsemem_core::{
    BringUpError, BroughtUp, LookupError, MemoryRange, Pfn, SectionFlags, SectionNr, SectionState,
    SubsectionBits,
};

use crate::failure::{Place, expect, expect_eq};
use crate::{Deferral, Failure, Fault, Oracle, Scratch, Setting, range, sample};

/// The sections of the machine that scenarios bring up one by one.
const FEW: usize = 6;
/// A bring-up that makes this many requests does not end.
const ENDLESS: u64 = 1 << 20;

/// Boots without memmaps, and searches for descriptors.
pub(crate) fn marks(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (before, bare) = (setting.world().balance(), setting.subject.footprint());
    let memory = setting.memory;
    let oracle = mark(setting, memory)?;
    let present: Vec<u64> = crate::numbers(setting.subject.present_sections());
    expect_eq(Place::Model, "present sections", &oracle.sections().collect::<Vec<_>>(), &present)?;
    sample::sections(&oracle).into_iter().try_for_each(|nr| is_marked(setting, &oracle, nr))?;
    let all = range(0, setting.facts.shape.frames());
    expect_eq(Place::Model, "first valid frames", &None, &setting.subject.next_valid(all))?;
    let found = setting.subject.footprint();
    let memmaps = (found.memmap_bytes, found.page_table_bytes);
    expect_eq(Place::Model, "bytes of memmaps and page tables", &(0, 0), &memmaps)?;
    let taken = setting.world().balance().bytes() - before.bytes();
    let reported = found.total_bytes() - bare.total_bytes();
    expect_eq(Place::Model, "bytes outstanding", &reported, &taken)?;
    setting.tear_down_to(&before)
}

/// Brings chosen sections up, the last one first, and compares them with those that still wait.
pub(crate) fn bring_up(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let memory = setting.memory;
    let before = setting.world().balance();
    let oracle = mark(setting, memory)?;
    let chosen = few(&oracle);
    let mut waiting: BTreeSet<u64> = chosen.iter().copied().collect();
    for nr in chosen.iter().rev() {
        now_up(setting, *nr)?;
        waiting.remove(nr);
        setting.sections_are(&oracle, [*nr])?;
        is_blank(setting, *nr)?;
        waiting.iter().try_for_each(|nr| is_marked(setting, &oracle, *nr))?;
        let again = deferral(setting)?.bring_up(SectionNr::new(*nr));
        expect_eq(Place::section(*nr), "second bring-up", &Ok(BroughtUp::Before), &again)?;
    }
    let section = SectionNr::new(setting.facts.shape.sections());
    let beyond = deferral(setting)?.bring_up(section);
    let absent = Err(BringUpError::Absent { section });
    expect_eq(Place::Section(section), "bring-up of a section that is absent", &absent, &beyond)?;
    setting.tear_down_to(&before)
}

/// Refuses every allocation and every mapping of bring-ups, one after the other.
pub(crate) fn every_failure(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let memory = setting.memory;
    let oracle = mark(setting, memory)?;
    let links = setting.facts.can_refuse_links && setting.facts.can.array.is_some();
    for (index, nr) in few(&oracle).into_iter().enumerate() {
        let fault = |nth| match index % 2 {
            1 if links => Fault::NthLink(nth),
            _ => Fault::AllocationsAfter(nth - 1),
        };
        let mut nth = 1;
        while !survives(setting, &oracle, nr, fault(nth))? {
            expect(nth < ENDLESS, Place::section(nr), "requests of a bring-up", "an end of them", nth)?;
            nth = crate::shortage::after(nth);
        }
    }
    setting.mappings_agree()
}

/// Boots without memmaps, from memory of which no section may be lost. Returns the state once all of it is up.
fn mark(setting: &mut Setting<'_>, memory: &[MemoryRange]) -> Result<Oracle, Failure> {
    let marked = deferral(setting)?.boot_deferred(memory, &mut |_| {});
    let oracle = setting.oracle(memory);
    let summary = marked
        .map_err(|error| Failure::new(Place::Model, "deferred boot", "a summary", error.to_string()))?;
    expect_eq(Place::Model, "sections lost", &0, &summary.lost)?;
    expect_eq(Place::Model, "sections marked", &oracle.count(), &summary.sections)?;
    expect_eq(Place::Model, "runs", &(oracle.runs().len() as u64), &summary.runs)?;
    setting.subject.world_mut().end_boot();
    Ok(oracle)
}

/// The subject as one whose boots can wait, as the model says of itself.
fn deferral<'s>(setting: &'s mut Setting<'_>) -> Result<&'s mut dyn Deferral, Failure> {
    let missing = || Failure::new(Place::Model, "boots that wait", "a subject that has them", "none");
    setting.subject.deferral().ok_or_else(missing)
}

/// Some sections of a machine, with the first and the last.
fn few(oracle: &Oracle) -> Vec<u64> {
    sample::spread(&oracle.sections().collect::<Vec<_>>(), FEW)
}

/// Fails unless a section is marked, or absent, as the oracle says.
fn is_marked(setting: &Setting<'_>, oracle: &Oracle, nr: u64) -> Result<(), Failure> {
    let state = match oracle.node(nr) {
        None => SectionState::ABSENT,
        Some(node) => SectionState {
            flags: SectionFlags::PRESENT | SectionFlags::ONLINE,
            early_node: Some(node),
            subsections: SubsectionBits::EMPTY,
            online: SubsectionBits::EMPTY,
        },
    };
    expect_eq(Place::section(nr), "state", &state, &setting.section(nr))?;
    if !oracle.is_present(nr) {
        return Ok(());
    }
    let (pfn, section) = (Pfn::new(setting.facts.shape.first_frame(nr)), SectionNr::new(nr));
    let reason = Err(LookupError::NoMemmap { pfn, section });
    expect_eq(Place::Frame(pfn), "lookup", &reason, &setting.subject.explain(pfn))?;
    expect_eq(Place::Frame(pfn), "is valid", &false, &setting.subject.is_valid(pfn))
}

/// Fails unless the first and the last valid descriptor of a section are zero.
fn is_blank(setting: &Setting<'_>, nr: u64) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    let valid = setting.subject.valid_ranges(range(shape.first_frame(nr), shape.first_frame(nr + 1)));
    expect(!valid.is_empty(), Place::section(nr), "valid frames", "some", &valid)?;
    for frame in valid.iter().flat_map(|run| [run.start().get(), run.end().get() - 1]) {
        let mut blank = None;
        let pfn = Pfn::new(frame);
        setting.subject.read(&mut |pages| blank = pages.page(pfn).map(Scratch::is_blank));
        expect_eq(Place::Frame(pfn), "descriptor is zero", &Some(true), &blank)?;
    }
    Ok(())
}

/// Brings a section up, which has to be marked.
fn now_up(setting: &mut Setting<'_>, nr: u64) -> Result<(), Failure> {
    let up = deferral(setting)?.bring_up(SectionNr::new(nr));
    let is_now = matches!(up, Ok(BroughtUp::Now { lost }) if lost.is_empty());
    expect(is_now, Place::section(nr), "bring-up", "brought up by this call", up)
}

/// Brings a section up with a fault, and checks that everything is as before if that fails. Returns whether it is up.
fn survives(setting: &mut Setting<'_>, oracle: &Oracle, nr: u64, fault: Fault) -> Result<bool, Failure> {
    let during = |failure: Failure| failure.during(format!("{fault:?}"));
    let (before, footprint) = (setting.world().balance(), setting.subject.footprint());
    setting.subject.world_mut().arm(fault);
    let up = deferral(setting).map(|deferral| deferral.bring_up(SectionNr::new(nr)));
    let refused = setting.subject.world_mut().heal();
    setting.notes.tally.failure_points += u64::from(refused > 0);
    match up? {
        Ok(BroughtUp::Now { .. }) => {
            setting.sections_are(oracle, [nr]).map_err(during)?;
            is_blank(setting, nr).map_err(during)?;
            Ok(true)
        }
        Err(BringUpError::NoMetadata { section, lost, .. }) if refused > 0 && lost.is_empty() => {
            expect_eq(Place::section(nr), "section of the error", &nr, &section.get())?;
            is_marked(setting, oracle, nr).map_err(during)?;
            let outstanding = setting.world().balance();
            expect_eq(Place::section(nr), "outstanding", &before, &outstanding).map_err(during)?;
            let found = setting.subject.footprint();
            expect_eq(Place::section(nr), "footprint", &footprint, &found).map_err(during)?;
            Ok(false)
        }
        other => Err(during(Failure::new(
            Place::section(nr),
            "bring-up",
            "up, or the error of a refused request",
            format!("{other:?}"),
        ))),
    }
}
