//! Scenarios in which memory is added, used, and removed.

use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::{EarlyFrames, LookupError, Pfn, PfnRange, SectionFlags, SectionNr};

use super::{Memmap, Plug, Step};
use crate::failure::{Place, expect, expect_eq};
use crate::{Failure, MemoryBack, Setting, range};

/// Takes a step, which must succeed.
pub(super) fn take(plug: &mut dyn Plug, step: Step) -> Result<(), Failure> {
    plug.apply(step)
        .map_err(|error| Failure::new(Place::Model, &format!("{step:?}"), "success", format!("{error}")))
}

/// The first, the second and the last frame.
pub(super) fn borders(frames: PfnRange) -> [Pfn; 3] {
    [frames.start().get(), frames.start().get() + 1, frames.end().get() - 1].map(Pfn::new)
}

/// The expected state of the frames at the borders of a range.
#[derive(Clone, Copy)]
enum Being {
    Absent,
    Offline,
    Online,
}

/// Fails unless the frames at the borders of a range have the expected state.
fn are(plug: &dyn Plug, frames: PfnRange, being: Being) -> Result<(), Failure> {
    let mut found = Vec::new();
    plug.view().read(&mut |pages| {
        found.extend(
            borders(frames).map(|pfn| (pfn, pages.page(pfn).is_some(), pages.online_page(pfn).is_some())),
        );
    });
    let expected = match being {
        Being::Absent => (false, false),
        Being::Offline => (true, false),
        Being::Online => (true, true),
    };
    found.into_iter().try_for_each(|(pfn, valid, online)| {
        expect_eq(Place::Frame(pfn), "valid and online", &expected, &(valid, online))
    })
}

/// Writes a distinct number to the descriptor of each border frame of a range.
fn mark(plug: &dyn Plug, frames: PfnRange) {
    plug.view().read(&mut |pages| {
        borders(frames)
            .into_iter()
            .filter_map(|pfn| Some((pfn, pages.page(pfn)?)))
            .for_each(|(pfn, page)| page.put(!pfn.get()));
    });
}

/// Fails unless the descriptors still have the words that [`mark`] wrote.
fn is_marked(plug: &dyn Plug, frames: PfnRange) -> Result<(), Failure> {
    words_are(plug, frames, "word that was written to the descriptor", |pfn| !pfn.get())
}

/// Fails unless the descriptors have lost the words that [`mark`] wrote, because their frames have a new user.
fn is_reset(plug: &dyn Plug, frames: PfnRange) -> Result<(), Failure> {
    words_are(plug, frames, "word of the descriptor for a new user", |_| 0)
}

/// Fails unless the descriptor of each border frame of a range has the expected word.
fn words_are(
    plug: &dyn Plug,
    frames: PfnRange,
    what: &str,
    expected: impl Fn(Pfn) -> u64,
) -> Result<(), Failure> {
    let mut found = Vec::new();
    plug.view().read(&mut |pages| {
        found.extend(borders(frames).map(|pfn| (pfn, pages.page(pfn).map(crate::Scratch::get))));
    });
    found
        .into_iter()
        .try_for_each(|(pfn, word)| expect_eq(Place::Frame(pfn), what, &Some(expected(pfn)), &word))
}

/// Fails unless a section has exactly these flags.
fn flags_are(plug: &dyn Plug, nr: u64, flags: SectionFlags) -> Result<(), Failure> {
    expect_eq(Place::section(nr), "flags", &flags, &plug.view().section(SectionNr::new(nr)).flags)
}

/// Fails unless mappings and page tables agree.
pub(super) fn mappings_agree(plug: &dyn Plug) -> Result<(), Failure> {
    let agree = plug.view().world().check();
    agree.map_err(|differs| Failure::new(Place::Model, "mappings", "as in the page tables", differs))
}

const OFFLINE: SectionFlags = SectionFlags::PRESENT.union(SectionFlags::HAS_MEM_MAP);
const ONLINE: SectionFlags = OFFLINE.union(SectionFlags::ONLINE);

/// Two sections of RAM go through all states and back.
pub(crate) fn comes_and_goes(setting: &mut Setting<'_>) -> Result<(), Failure> {
    setting.plug(&mut |plug, places, _| {
        let (ram, watched) = (places.ram(2), places.watched());
        let before = plug.snapshot(&watched);
        are(plug, ram, Being::Absent)?;
        take(plug, Step::AddMemory(ram, Memmap::Ram))?;
        are(plug, ram, Being::Offline)?;
        flags_are(plug, places.fresh(), OFFLINE)?;
        mark(plug, ram);
        is_marked(plug, ram)?;
        take(plug, Step::Online(ram))?;
        are(plug, ram, Being::Online)?;
        is_reset(plug, ram)?;
        flags_are(plug, places.fresh() + 1, ONLINE)?;
        finds_back(plug, ram)?;
        mappings_agree(plug)?;
        take(plug, Step::Offline(ram))?;
        flags_are(plug, places.fresh() + 1, OFFLINE)?;
        take(plug, Step::RemoveMemory(ram, Memmap::Ram))?;
        are(plug, ram, Being::Absent)?;
        mappings_agree(plug)?;
        before.timeless().is_still(&plug.snapshot(&watched).timeless())
    })
}

/// Fails unless the model finds frames from their descriptors.
fn finds_back(plug: &dyn Plug, frames: PfnRange) -> Result<(), Failure> {
    borders(frames).into_iter().try_for_each(|pfn| {
        expect_eq(Place::Frame(pfn), "frame of the descriptor", &Some(pfn), &plug.view().pfn_of(pfn))
    })
}

/// Two devices meet inside a section; the first begins in the section before.
pub(crate) fn in_parts(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let per_section = setting.facts.shape.subsections();
    setting.plug(&mut |plug, places, _| {
        let watched = places.watched();
        let before = plug.snapshot(&watched);
        let half = per_section.div_ceil(2);
        let (one, other) =
            (places.subsections(0, per_section + half), places.subsections(per_section + half, half));
        take(plug, Step::AddDevice(one, Memmap::Ram))?;
        are(plug, other, Being::Absent)?;
        mark(plug, one);
        take(plug, Step::AddDevice(other, Memmap::Ram))?;
        mark(plug, other);
        is_marked(plug, one)?;
        mappings_agree(plug)?;
        take(plug, Step::RemoveDevice(one, Memmap::Ram))?;
        are(plug, one, Being::Absent)?;
        are(plug, other, Being::Offline)?;
        is_marked(plug, other)?;
        says_why(plug, one.end().get() - 1, per_section > 1)?;
        take(plug, Step::RemoveDevice(other, Memmap::Ram))?;
        mappings_agree(plug)?;
        before.is_still(&plug.snapshot(&watched))
    })
}

/// Three subsections side by side, whose descriptors may lie in one mapping. Linux on arm64, from 5.4 until 2025, mapped a block
/// for the first that came and removed it with the first that went; with large pages even a page is shared (T-18).
pub(crate) fn neighbours(setting: &mut Setting<'_>) -> Result<(), Failure> {
    setting.plug(&mut |plug, places, _| {
        let watched = places.watched();
        let before = plug.snapshot(&watched);
        let [first, middle, last] = [0, 1, 2].map(|nr| places.subsections(nr, 1));
        for part in [first, middle, last] {
            take(plug, Step::AddDevice(part, Memmap::Ram))?;
            mark(plug, part);
        }
        for gone in [first, last] {
            take(plug, Step::RemoveDevice(gone, Memmap::Ram))?;
            are(plug, gone, Being::Absent)?;
            is_marked(plug, middle)?;
            mappings_agree(plug)?;
        }
        take(plug, Step::AddDevice(first, Memmap::Ram))?;
        mark(plug, first);
        is_marked(plug, middle)?;
        take(plug, Step::RemoveDevice(middle, Memmap::Ram))?;
        is_marked(plug, first)?;
        take(plug, Step::RemoveDevice(first, Memmap::Ram))?;
        mappings_agree(plug)?;
        before.is_still(&plug.snapshot(&watched))
    })
}

/// Fails unless a lookup reports a removed frame as absent: its subsection if the section has other memory, or its
/// section.
fn says_why(plug: &dyn Plug, frame: u64, others: bool) -> Result<(), Failure> {
    let pfn = Pfn::new(frame);
    let found = plug.view().explain(pfn);
    let as_expected = match found {
        Err(LookupError::AbsentSubsection { .. }) => others,
        Err(LookupError::AbsentSection { .. }) => !others,
        _ => false,
    };
    expect(as_expected, Place::Frame(pfn), "reason of the lookup", "what is absent", found)
}

/// Adds a device where a section of boot has no memory: it gets the descriptors that boot made, reset (T-09).
pub(crate) fn early_hole(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    setting.plug(&mut |plug, places, notes| {
        let Some(hole) = places.hole() else {
            notes.does_not_suit("no section of boot has a hole");
            return Ok(());
        };
        let watched = places.watched();
        let without = match plug.view().early_frames() {
            EarlyFrames::All => Being::Offline,
            EarlyFrames::Populated | EarlyFrames::Reported => Being::Absent,
        };
        are(plug, hole, without)?;
        mark(plug, hole);
        let (before, first) = (plug.snapshot(&watched), plug.view().lookup(hole.start()));
        take(plug, Step::AddDevice(hole, Memmap::Ram))?;
        expect_eq(Place::Model, "outstanding", &before.balance, &plug.view().world().balance())?;
        let found = plug.view().lookup(hole.start());
        let same_place = first.is_none() || first == found;
        expect(same_place, Place::Frame(hole.start()), "place of the descriptor", "as before", found)?;
        are(plug, hole, Being::Offline)?;
        is_reset(plug, hole)?;
        finds_back(plug, hole)?;
        mark(plug, hole);
        let nr = shape.section_of(hole.start().get());
        let tainted = plug.view().section(SectionNr::new(nr)).flags.contains(SectionFlags::TAINT_ZONE_DEVICE);
        expect(tainted, Place::section(nr), "mark of a device beside RAM", "set", tainted)?;
        take(plug, Step::RemoveDevice(hole, Memmap::Ram))?;
        are(plug, hole, without)?;
        // The next device does not see what the first one left in the descriptors.
        take(plug, Step::AddDevice(hole, Memmap::Ram))?;
        is_reset(plug, hole)?;
        take(plug, Step::RemoveDevice(hole, Memmap::Ram))?;
        // The section keeps the mark until it is removed (H-62); everything else is as before.
        let mut expected = before;
        let same = expected.sections.iter_mut().filter(|(section, _)| *section == nr);
        same.for_each(|(_, state)| state.flags |= SectionFlags::TAINT_ZONE_DEVICE);
        expected.is_still(&plug.snapshot(&watched))
    })
}

/// Removes a section of RAM that boot reported, and adds it again.
pub(crate) fn boot_memory_goes(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (shape, memory_back) = (setting.facts.shape, setting.facts.can.memory_back);
    setting.plug(&mut |plug, places, notes| {
        let Some(nr) = places.boot_block() else {
            notes.does_not_suit("no range of memory fills a section");
            return Ok(());
        };
        let ram = range(shape.first_frame(nr), shape.first_frame(nr + 1));
        plug.had_since_boot(ram);
        let before = plug.view().world().balance();
        take(plug, Step::Offline(ram))?;
        flags_are(plug, nr, OFFLINE | SectionFlags::EARLY)?;
        take(plug, Step::RemoveMemory(ram, Memmap::Ram))?;
        are(plug, ram, Being::Absent)?;
        let gone = plug.view().world().balance();
        let is_less = gone.bytes() < before.bytes() || memory_back == MemoryBack::WithTheLast;
        expect(is_less, Place::section(nr), "outstanding", "less than before", gone)?;
        take(plug, Step::AddMemory(ram, Memmap::Ram))?;
        take(plug, Step::Online(ram))?;
        are(plug, ram, Being::Online)?;
        flags_are(plug, nr, ONLINE)?;
        finds_back(plug, ram)?;
        mappings_agree(plug)
    })
}
