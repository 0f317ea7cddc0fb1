//! Scenarios of boot: the state of the model afterwards, and the events that boot reports.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem_core::{
    BootError, BootEvent, BootSummary, MemoryRange, NodeId, PfnRange, SectionLoss, SectionNr,
};

use crate::failure::{Place, expect, expect_eq};
use crate::setting::Booted;
use crate::{Failure, NotUp, Oracle, Reach, Setting, Shape, range, sample};

/// Memory of a node.
pub(crate) const fn memory(frames: PfnRange, node: u32) -> MemoryRange {
    MemoryRange { frames, node: NodeId::new(node) }
}

/// Sections from `first` to before `end`, as memory of a node.
pub(crate) fn whole_sections(shape: &Shape, first: u64, end: u64, node: u32) -> MemoryRange {
    memory(range(shape.first_frame(first), shape.first_frame(end)), node)
}

/// Boots from the machine's memory and compares the sections.
pub(crate) fn words(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, booted) = setting.boot()?;
    expect_eq(Place::Model, "sections", &oracle.count(), &booted.summary.sections)?;
    let sections = sample::sections(&oracle);
    for nr in &sections {
        let (expected, found) = (oracle.state(*nr), setting.section(*nr));
        expect_eq(Place::section(*nr), "flags", &expected.flags, &found.flags)?;
        expect_eq(Place::section(*nr), "early node", &expected.early_node, &found.early_node)?;
    }
    setting.sections_are(&oracle, sections)
}

/// Boots from the machine's memory, then from one frame, from two subsections, and from all frames but one of a
/// section.
pub(crate) fn subsections(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    subsections_are(setting, &oracle, oracle.sections())?;
    setting.tear_down()?;
    let shape = setting.facts.shape;
    let (first, subsection) = (setting.own_sections(3), shape.subsection_frames());
    let [one, other, end] = [1, 2, 3].map(|section| shape.first_frame(first + section));
    let parts = [
        memory(range(one - 1, one), 0),
        memory(range(one + subsection - 1, one + subsection + 1), 0),
        memory(range(other + 1, end), 0),
    ];
    let (oracle, _) = setting.boot_whole(&parts)?;
    subsections_are(setting, &oracle, oracle.sections())
}

/// Compares subsection maps.
fn subsections_are(
    setting: &Setting<'_>,
    oracle: &Oracle,
    sections: impl Iterator<Item = u64>,
) -> Result<(), Failure> {
    let mut sections = sections;
    sections.try_for_each(|nr| {
        let (expected, found) = (oracle.state(nr).subsections, setting.section(nr).subsections);
        expect_eq(Place::section(nr), "subsections", &expected, &found)
    })
}

/// Boots from the machine's own shared sections, then from two nodes that meet inside a section (T-08).
pub(crate) fn shared_section(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, booted) = setting.boot()?;
    expect_eq(Place::Model, "shared sections", oracle.shared(), &booted.shared())?;
    setting.tear_down()?;
    let (shape, first) = (setting.facts.shape, setting.own_sections(4));
    let (quarter, shared) = (shape.section_frames() / 4, first + 1);
    let border = shape.first_frame(shared) + quarter;
    let start = shape.first_frame(first) + quarter / 2;
    let end = shape.first_frame(shared + 1) + quarter;
    let meeting = [memory(range(start, border), 0), memory(range(border, end), 1)];
    let (oracle, booted) = setting.boot_whole(&meeting)?;
    let expected = BTreeSet::from([(shared, 0, 1)]);
    expect_eq(Place::section(shared), "shared sections", &expected, &booted.shared())?;
    expect_eq(Place::Model, "runs", &2, &booted.summary.runs)?;
    setting.sections_are(&oracle, first..first + 4)
}

/// Boots from the machine's own memory, from nodes that alternate, and from memory with a gap.
pub(crate) fn runs(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let machine = setting.memory;
    let (shape, first) = (setting.facts.shape, setting.own_sections(6));
    let turn = |nr: u32| whole_sections(&shape, first + u64::from(nr), first + u64::from(nr) + 1, nr % 2);
    let turns: Vec<_> = (0..6).map(turn).collect();
    let gap = [whole_sections(&shape, first, first + 2, 0), whole_sections(&shape, first + 3, first + 4, 0)];
    for memory in [machine, &turns, &gap] {
        let (oracle, booted) = setting.boot_whole(memory)?;
        expect_eq(Place::Model, "runs", &(oracle.runs().len() as u64), &booted.summary.runs)?;
        setting.sections_are(&oracle, sample::sections(&oracle))?;
        setting.tear_down()?;
    }
    Ok(())
}

/// Boots from the same memory, reported in other orders and pieces.
pub(crate) fn order_independent(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let oracle = setting.oracle(setting.memory);
    let sections = sample::sections(&oracle);
    for (how, memory) in [
        ("in reverse", reversed(setting.memory)),
        ("in pieces", in_pieces(setting.memory)),
        ("overlapping", overlapping(setting.memory)),
    ] {
        let (_, booted) = setting.boot_whole(&memory).map_err(|failure| failure.during(how))?;
        expect_eq(Place::Model, how, &oracle.count(), &booted.summary.sections)?;
        let same = setting.sections_are(&oracle, sections.iter().copied());
        same.map_err(|failure| failure.during(how))?;
        setting.tear_down()?;
    }
    Ok(())
}

/// The ranges, last first.
fn reversed(memory: &[MemoryRange]) -> Vec<MemoryRange> {
    memory.iter().rev().copied().collect()
}

/// Each range in two pieces, all second pieces before the first ones.
fn in_pieces(memory: &[MemoryRange]) -> Vec<MemoryRange> {
    let cut = |range: &MemoryRange| {
        let third = range.frames.start().get() + range.frames.count().get() / 3;
        range.frames.split_at(sparsemem_core::Pfn::new(third))
    };
    let second = memory.iter().map(|range| MemoryRange { frames: cut(range).1, node: range.node });
    let first = memory.iter().map(|range| MemoryRange { frames: cut(range).0, node: range.node });
    second.chain(first).collect()
}

/// Each range twice, and once more without its first frame.
fn overlapping(memory: &[MemoryRange]) -> Vec<MemoryRange> {
    let shorter = memory.iter().map(|whole| {
        let frames = range(whole.frames.start().get() + 1, whole.frames.end().get());
        MemoryRange { frames, node: whole.node }
    });
    memory.iter().chain(memory).copied().chain(shorter).collect()
}

/// Boots from no ranges, then from empty ranges only.
pub(crate) fn nothing(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let empty = [memory(range(0, 0), 0), memory(range(77, 77), 3)];
    for memory in [&[][..], &empty] {
        let before = setting.world().balance();
        let booted = setting.boot_from(memory)?;
        expect_eq(Place::Model, "summary", &BootSummary::default(), &booted.summary)?;
        expect(booted.events.is_empty(), Place::Model, "events", "none", &booted.events)?;
        expect_eq(Place::Model, "first section", &None, &setting.first_present())?;
        expect_eq(Place::Model, "outstanding", &before, &setting.world().balance())?;
        let oracle = setting.oracle(memory);
        setting.sections_are(&oracle, sample::sections(&oracle))?;
        setting.tear_down_to(&before)?;
    }
    Ok(())
}

/// Boots from the machine's memory, a range that straddles the maximum, and two ranges beyond it.
pub(crate) fn beyond_maximum(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let limit = setting.facts.shape.frames();
    // The highest frame is brought up only where a model says that it can be.
    let highest = if setting.facts.can.reach == Reach::Everywhere { limit - 1 } else { limit };
    let beyond = [(highest, limit + 5), (limit + 100, limit + 200), (u64::MAX - 10, u64::MAX)];
    let mut memory_with = setting.memory.to_vec();
    memory_with.extend(beyond.map(|(start, end)| memory(range(start, end), 0)));
    let booted = setting.boot_from(&memory_with)?;
    let oracle = setting.oracle(&memory_with);
    let beyond: Vec<_> = oracle.beyond().iter().map(|(start, end)| (*start, *end, limit - 1)).collect();
    expect_eq(Place::frame(limit), "frames reported as beyond the maximum", &beyond, &booted.beyond())?;
    let frames: u64 = beyond.iter().map(|(start, end, _)| end - start).sum();
    expect_eq(
        Place::Model,
        "frames counted as beyond the maximum",
        &frames,
        &booted.summary.beyond_maximum.get(),
    )?;
    let oracle = oracle.without(&beyond_array(setting, &booted)?);
    setting.sections_are(&oracle, sample::sections(&oracle))
}

/// The top section of a model whose virtual array ends before the geometry does: boot must report it as lost for that
/// reason.
fn beyond_array(setting: &Setting<'_>, booted: &Booted) -> Result<BTreeSet<u64>, Failure> {
    let top = setting.facts.shape.sections() - 1;
    let is_outside = setting.facts.can.reach == Reach::Everywhere && setting.facts.section_limit() <= top;
    let outside = BootEvent::SectionLost { section: SectionNr::new(top), why: SectionLoss::OutsideRange };
    let expected = if is_outside { vec![outside] } else { Vec::new() };
    let is_loss = |event: &&BootEvent| matches!(event, BootEvent::SectionLost { .. });
    let found: Vec<_> = booted.events.iter().filter(is_loss).copied().collect();
    expect_eq(Place::section(top), "sections lost", &expected, &found)?;
    Ok(booted.lost().into_iter().collect())
}

/// Boots a model that is up.
pub(crate) fn twice(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let before = (setting.world().balance(), setting.subject.footprint());
    let mut events = 0u32;
    let again = setting.subject.boot(setting.memory, &mut |_| events += 1);
    let present = SectionNr::new(oracle.next_present(0).unwrap_or(0));
    expect_eq(Place::Model, "second boot", &Err(NotUp::Boot(BootError::AlreadyUp { present })), &again)?;
    expect_eq(Place::Model, "events of the second boot", &0, &events)?;
    let after = (setting.world().balance(), setting.subject.footprint());
    expect_eq(Place::Model, "outstanding blocks, and footprint", &before, &after)?;
    setting.sections_are(&oracle, sample::sections(&oracle))
}
