//! Bringing a model up: what has to be there afterwards, and what has to be told.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use sparsemem_core::{
    BootError, BootEvent, BootSummary, MemoryRange, NodeId, PfnRange, SectionLoss, SectionNr,
};

use crate::failure::{Place, expect, expect_eq};
use crate::stage::Booted;
use crate::{Failure, NotUp, Oracle, Shape, Stage, range, sample};

/// Memory of a node, from frame to frame.
pub(crate) const fn memory(frames: PfnRange, node: u32) -> MemoryRange {
    MemoryRange { frames, node: NodeId::new(node) }
}

/// Whole sections of a node, from `first` to before `end`.
pub(crate) fn whole_sections(shape: &Shape, first: u64, end: u64, node: u32) -> MemoryRange {
    memory(range(shape.first_frame(first), shape.first_frame(end)), node)
}

/// Boot from the machine's memory.
pub(crate) fn words(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, booted) = stage.boot()?;
    expect_eq(Place::Model, "sections", &oracle.count(), &booted.summary.sections)?;
    let sections = sample::sections(&oracle);
    for nr in &sections {
        let (expected, found) = (oracle.state(*nr), stage.section(*nr));
        expect_eq(Place::section(*nr), "flags", &expected.flags, &found.flags)?;
        expect_eq(Place::section(*nr), "early node", &expected.early_node, &found.early_node)?;
    }
    stage.sections_are(&oracle, sections)
}

/// Boot from the machine's memory, and from one frame, two subsections and all but one frame.
pub(crate) fn subsections(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    subsections_are(stage, &oracle, oracle.sections())?;
    stage.tear_down()?;
    let shape = stage.facts.shape;
    let (section, subsection) = (shape.section_frames(), shape.subsection_frames());
    let parts = [
        memory(range(section - 1, section), 0),
        memory(range(section + subsection - 1, section + subsection + 1), 0),
        memory(range(2 * section + 1, 3 * section), 0),
    ];
    let (oracle, _) = stage.boot_whole(&parts)?;
    subsections_are(stage, &oracle, oracle.sections())
}

/// Compares subsection maps.
fn subsections_are(
    stage: &Stage<'_>,
    oracle: &Oracle,
    sections: impl Iterator<Item = u64>,
) -> Result<(), Failure> {
    let mut sections = sections;
    sections.try_for_each(|nr| {
        let (expected, found) = (oracle.state(nr).subsections, stage.section(nr).subsections);
        expect_eq(Place::section(nr), "subsections", &expected, &found)
    })
}

/// The machine's own shared sections, then the two nodes of T-08, which meet inside a section.
pub(crate) fn shared_section(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, booted) = stage.boot()?;
    expect_eq(Place::Model, "shared sections", oracle.shared(), &booted.shared())?;
    stage.tear_down()?;
    let frames = stage.facts.shape.section_frames();
    let border = frames + frames / 4;
    let meeting = [memory(range(frames / 8, border), 0), memory(range(border, 2 * frames + frames / 4), 1)];
    let (oracle, booted) = stage.boot_whole(&meeting)?;
    expect_eq(Place::section(1), "shared sections", &BTreeSet::from([(1, 0, 1)]), &booted.shared())?;
    expect_eq(Place::Model, "runs", &2, &booted.summary.runs)?;
    stage.sections_are(&oracle, 0..4)
}

/// The machine's own runs, nodes that take turns, and a gap.
pub(crate) fn runs(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let machine = stage.memory;
    let shape = stage.facts.shape;
    let turns: Vec<_> =
        (0..6u32).map(|nr| whole_sections(&shape, u64::from(nr), u64::from(nr) + 1, nr % 2)).collect();
    let gap = [whole_sections(&shape, 0, 2, 0), whole_sections(&shape, 3, 4, 0)];
    for memory in [machine, &turns, &gap] {
        let (oracle, booted) = stage.boot_whole(memory)?;
        expect_eq(Place::Model, "runs", &(oracle.runs().len() as u64), &booted.summary.runs)?;
        stage.sections_are(&oracle, sample::sections(&oracle))?;
        stage.tear_down()?;
    }
    Ok(())
}

/// The same memory, reported otherwise.
pub(crate) fn order_independent(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let oracle = stage.oracle(stage.memory);
    let sections = sample::sections(&oracle);
    for (how, memory) in [
        ("in reverse", reversed(stage.memory)),
        ("in pieces", in_pieces(stage.memory)),
        ("overlapping", overlapping(stage.memory)),
    ] {
        let (_, booted) = stage.boot_whole(&memory).map_err(|failure| failure.during(how))?;
        expect_eq(Place::Model, how, &oracle.count(), &booted.summary.sections)?;
        let same = stage.sections_are(&oracle, sections.iter().copied());
        same.map_err(|failure| failure.during(how))?;
        stage.tear_down()?;
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

/// No ranges, then only empty ones.
pub(crate) fn nothing(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let empty = [memory(range(0, 0), 0), memory(range(77, 77), 3)];
    for memory in [&[][..], &empty] {
        let before = stage.world().balance();
        let booted = stage.boot_from(memory)?;
        expect_eq(Place::Model, "summary", &BootSummary::default(), &booted.summary)?;
        expect(booted.events.is_empty(), Place::Model, "events", "none", &booted.events)?;
        expect_eq(Place::Model, "first section", &None, &stage.first_present())?;
        expect_eq(Place::Model, "outstanding", &before, &stage.world().balance())?;
        let oracle = stage.oracle(memory);
        stage.sections_are(&oracle, sample::sections(&oracle))?;
        stage.tear_down_to(&before)?;
    }
    Ok(())
}

/// The machine's memory, a range that straddles the maximum, and two beyond it.
pub(crate) fn beyond_maximum(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let limit = stage.facts.shape.frames();
    let beyond = [(limit - 1, limit + 5), (limit + 100, limit + 200), (u64::MAX - 10, u64::MAX)];
    let mut memory_with = stage.memory.to_vec();
    memory_with.extend(beyond.map(|(start, end)| memory(range(start, end), 0)));
    let booted = stage.boot_from(&memory_with)?;
    let oracle = stage.oracle(&memory_with);
    let told: Vec<_> = oracle.beyond().iter().map(|(start, end)| (*start, *end, limit - 1)).collect();
    expect_eq(Place::frame(limit), "frames told as beyond", &told, &booted.beyond())?;
    let frames: u64 = told.iter().map(|(start, end, _)| end - start).sum();
    expect_eq(Place::Model, "frames counted as beyond", &frames, &booted.summary.beyond_maximum.get())?;
    let oracle = oracle.without(&beyond_array(stage, &booted)?);
    stage.sections_are(&oracle, sample::sections(&oracle))
}

/// The top section, where a virtual array ends before the geometry does: it has to be told as lost for that reason.
fn beyond_array(stage: &Stage<'_>, booted: &Booted) -> Result<BTreeSet<u64>, Failure> {
    let top = stage.facts.shape.sections() - 1;
    let is_outside = stage.facts.section_limit() <= top;
    let outside = BootEvent::SectionLost { section: SectionNr::new(top), why: SectionLoss::OutsideRange };
    let expected = if is_outside { vec![outside] } else { Vec::new() };
    let is_loss = |event: &&BootEvent| matches!(event, BootEvent::SectionLost { .. });
    let found: Vec<_> = booted.events.iter().filter(is_loss).copied().collect();
    expect_eq(Place::section(top), "sections lost", &expected, &found)?;
    Ok(booted.lost().into_iter().collect())
}

/// Boot on top of a boot.
pub(crate) fn twice(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let before = (stage.world().balance(), stage.subject.footprint());
    let mut told = 0u32;
    let again = stage.subject.boot(stage.memory, &mut |_| told += 1);
    let present = SectionNr::new(oracle.next_present(0).unwrap_or(0));
    expect_eq(Place::Model, "second boot", &Err(NotUp::Boot(BootError::AlreadyUp { present })), &again)?;
    expect_eq(Place::Model, "events of the second boot", &0, &told)?;
    let after = (stage.world().balance(), stage.subject.footprint());
    expect_eq(Place::Model, "outstanding, and footprint", &before, &after)?;
    stage.sections_are(&oracle, sample::sections(&oracle))
}
