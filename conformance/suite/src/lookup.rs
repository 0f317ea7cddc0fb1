//! Scenarios of lookups: from frame to descriptor and back.

use alloc::vec::Vec;

use sparsemem_core::{EarlyFrames, LookupError, Pfn, SectionNr, SubsectionIdx};

use crate::boot::memory;
use crate::failure::{Place, expect, expect_eq};
use crate::{Failure, Oracle, Setting, WayBack, range, sample};

/// Looks up the frames at all borders and compares with the oracle.
pub(crate) fn oracle(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    for frame in sample::frames(&oracle, setting.memory) {
        let pfn = Pfn::new(frame);
        let expected = oracle.is_valid(frame);
        expect_eq(Place::Frame(pfn), "is valid", &expected, &setting.subject.is_valid(pfn))?;
        expect_eq(Place::Frame(pfn), "is found", &expected, &setting.subject.lookup(pfn).is_some())?;
    }
    Ok(())
}

/// Compares the reasons of failed lookups at all borders.
pub(crate) fn reasons(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    for frame in sample::frames(&oracle, setting.memory) {
        let pfn = Pfn::new(frame);
        let (found, explained) = (setting.subject.lookup(pfn), setting.subject.explain(pfn));
        expect_eq(Place::Frame(pfn), "reason", &reason(&oracle, pfn), &explained.err())?;
        expect_eq(Place::Frame(pfn), "explained descriptor", &found, &explained.ok())?;
    }
    Ok(())
}

/// The reason why a frame has no descriptor after boot.
fn reason(oracle: &Oracle, pfn: Pfn) -> Option<LookupError> {
    let shape = oracle.shape();
    if pfn.get() >= shape.frames() {
        return Some(LookupError::BeyondMaximum { pfn, last: Pfn::new(shape.frames() - 1) });
    }
    let section = shape.section_of(pfn.get());
    let (is_present, section) = (oracle.is_present(section), SectionNr::new(section));
    if !is_present {
        return Some(LookupError::AbsentSection { pfn, section });
    }
    let index = shape.subsection_of(pfn.get());
    let subsection = SubsectionIdx::new(u32::try_from(index).unwrap_or(u32::MAX));
    let missing = if oracle.subsections(section.get()).contains(&index) {
        LookupError::Hole { pfn, section, subsection }
    } else {
        LookupError::AbsentSubsection { pfn, section, subsection }
    };
    (!oracle.is_valid(pfn.get())).then_some(missing)
}

/// Looks up frame numbers with each bit set that no frame number has.
pub(crate) fn garbage_bits(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let shape = setting.facts.shape;
    let high = shape.physical_bits - shape.page_bits..64;
    for frame in sample::spread(&sample::valid_frames(&oracle, setting.memory), 24) {
        let one_bit = high.clone().map(|bit| 1 << bit);
        for garbage in one_bit.chain([!(shape.frames() - 1)]) {
            let pfn = Pfn::new(frame | garbage);
            expect_eq(Place::Frame(pfn), "descriptor", &None, &setting.subject.lookup(pfn))?;
            let expected = Err(LookupError::BeyondMaximum { pfn, last: Pfn::new(shape.frames() - 1) });
            expect_eq(Place::Frame(pfn), "reason", &expected, &setting.subject.explain(pfn))?;
        }
    }
    Ok(())
}

/// Looks up descriptors and their frames by every method, and compares the results.
pub(crate) fn round_trip(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    for frame in sample::spread(&sample::valid_frames(&oracle, setting.memory), 512) {
        let pfn = Pfn::new(frame);
        let found = setting.subject.lookup(pfn);
        expect(found.is_some(), Place::Frame(pfn), "descriptor", "one", found)?;
        if let WayBack::Address(promise) = setting.facts.can.way_back {
            let frame = setting.subject.pfn_by_address(pfn, promise);
            expect_eq(Place::Frame(pfn), "frame of the fresh descriptor", &Some(pfn), &frame)?;
        }
        expect_eq(Place::Frame(pfn), "unchecked lookup", &found, &setting.subject.lookup_unchecked(pfn))?;
        expect_eq(Place::Frame(pfn), "frame of the descriptor", &Some(pfn), &setting.subject.pfn_of(pfn))?;
    }
    initialise_reaches_all(setting, &oracle)
}

/// Initialises descriptors at the end of one section and at the beginning of the next section number, which may be
/// absent.
fn initialise_reaches_all(setting: &Setting<'_>, oracle: &Oracle) -> Result<(), Failure> {
    let border = setting.facts.shape.first_frame(oracle.next_present(0).unwrap_or(0) + 1);
    let frames = range(border - 16, border + 16);
    let expected = (border - 16..border + 16).filter(|frame| oracle.is_valid(*frame)).count() as u64;
    let done = setting.subject.initialise(frames);
    expect_eq(Place::frame(border), "descriptors initialised around it", &expected, &done)
}

/// The word that a frame's descriptor gets; it differs between frames.
const fn mark(frame: u64) -> u64 {
    frame ^ 0x5a5a_0000_0000_0000
}

/// Marks descriptors, then reads all marks.
pub(crate) fn no_aliases(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let frames = sample::valid_frames(&oracle, setting.memory);
    expect(frames.len() > 1, Place::Model, "valid frames", "several", frames.len())?;
    put_all(setting, &frames);
    for frame in &frames {
        let found = on_page(setting, *frame, |page| page.get());
        expect_eq(Place::frame(*frame), "mark", &Some(mark(*frame)), &found)?;
    }
    frames.windows(2).try_for_each(|pair| are_apart(setting, pair))
}

/// Fails unless the descriptors of neighbouring frames in a section are adjacent.
fn are_apart(setting: &Setting<'_>, pair: &[u64]) -> Result<(), Failure> {
    let &[one, other] = pair else { return Ok(()) };
    let (shape, size) = (setting.facts.shape, setting.facts.descriptor_bytes);
    if shape.section_of(one) != shape.section_of(other) {
        return Ok(());
    }
    let at = |frame| setting.subject.lookup(Pfn::new(frame)).map(|at| at as u64);
    let expected = at(one).map(|at| at.wrapping_add((other - one) * size));
    expect_eq(Place::frame(other), "address of the descriptor", &expected, &at(other))
}

/// Marks the descriptors of frames.
fn put_all(setting: &Setting<'_>, frames: &[u64]) {
    setting.subject.read(&mut |pages| {
        for frame in frames {
            if let Some(page) = pages.page(Pfn::new(*frame)) {
                page.put(mark(*frame));
            }
        }
    });
}

/// Calls `look` with one descriptor, found through a reader.
fn on_page<T>(setting: &Setting<'_>, frame: u64, look: impl Fn(&dyn crate::Scratch) -> T) -> Option<T> {
    let mut seen = None;
    setting.subject.read(&mut |pages| seen = pages.page(Pfn::new(frame)).map(&look));
    seen
}

/// Looks up frames in the holes of the machine's sections, and around a single frame of memory.
pub(crate) fn holes_early(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let shape = setting.facts.shape;
    let early = setting.subject.early_frames();
    let are_valid = early == EarlyFrames::All;
    for nr in sample::spread(&oracle.sections().collect::<Vec<_>>(), 256) {
        let touched = oracle.subsections(nr);
        let hole = (0..shape.subsections()).find(|index| !touched.contains(index));
        if let Some(hole) = hole {
            has_descriptor(setting, shape.first_frame(nr) + hole * shape.subsection_frames(), are_valid)?;
        }
    }
    setting.tear_down()?;
    let nr = setting.own_sections(4) + 2;
    let (first, end) = (shape.first_frame(nr), shape.first_frame(nr + 1));
    let lonely = first + shape.section_frames() / 2;
    setting.boot_whole(&[memory(range(lonely, lonely + 1), 0)])?;
    has_descriptor(setting, lonely, true)?;
    for other in [first, lonely - 1, lonely + 1, end - 1] {
        let shares =
            early == EarlyFrames::Populated && shape.subsection_of(other) == shape.subsection_of(lonely);
        has_descriptor(setting, other, are_valid || shares)?;
    }
    [0, first - 1, end, end + shape.section_frames()]
        .into_iter()
        .try_for_each(|f| has_descriptor(setting, f, false))
}

/// Compares every frame of subsections with small holes, by lookups and by a walk.
pub(crate) fn holes_by_frame(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let shape = setting.facts.shape;
    let nr = setting.own_sections(4) + 2;
    let (first, part) = (shape.first_frame(nr), shape.subsection_frames());
    // One frame is missing; two ranges meet within a subsection; one frame is alone; the rest of the section is a hole.
    let ends = [
        (0, part / 2),
        (part / 2 + 1, part + part / 2),
        (part + part / 2, 2 * part),
        (3 * part - 1, 3 * part),
    ];
    let parts = ends.map(|(start, end)| range(first + start, first + end));
    let ram: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).map(|part| memory(part, 0)).collect();
    setting.boot_whole(&ram)?;
    for frame in first..first + 4 * part {
        let expected = parts.iter().any(|part| part.contains(Pfn::new(frame)));
        has_descriptor(setting, frame, expected)?;
        let pfn = Pfn::new(frame);
        let found = setting.subject.lookup(pfn);
        expect_eq(Place::Frame(pfn), "is found", &expected, &found.is_some())?;
        expect_eq(Place::Frame(pfn), "explained descriptor", &found, &setting.subject.explain(pfn).ok())?;
    }
    let walked = setting.subject.valid_ranges(range(first, shape.first_frame(nr + 1)));
    let oracle = Oracle::new(shape, &ram).with_early(EarlyFrames::Reported);
    let expected = oracle.valid_in(range(first, shape.first_frame(nr + 1)));
    expect_eq(Place::section(nr), "walk over its valid frames", &expected, &walked)
}

/// Fails unless a frame has a descriptor, or has none, as `expected` says.
fn has_descriptor(setting: &Setting<'_>, frame: u64, expected: bool) -> Result<(), Failure> {
    let found = on_page(setting, frame, |_| ()).is_some();
    expect_eq(Place::frame(frame), "has a descriptor", &expected, &found)
}

/// Compares online frames with the subsections that memory touches.
pub(crate) fn online(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let shape = setting.facts.shape;
    for frame in sample::frames(&oracle, setting.memory) {
        let index = shape.subsection_of(frame);
        let touched = oracle.is_valid(frame) && oracle.subsections(shape.section_of(frame)).contains(&index);
        let expected = setting.subject.lookup(Pfn::new(frame)).filter(|_| touched);
        let mut found = None;
        setting.subject.read(&mut |pages| {
            found = pages.online_page(Pfn::new(frame)).map(|page| core::ptr::from_ref(page).addr());
        });
        expect_eq(Place::frame(frame), "online page", &expected, &found)?;
    }
    Ok(())
}

/// Checks that new descriptors are zero, writes to them, and checks the descriptors of the next boot.
pub(crate) fn fresh_zero(setting: &mut Setting<'_>) -> Result<(), Failure> {
    for boot in ["first boot", "boot in memory that was written to"] {
        let (oracle, _) = setting.boot()?;
        let frames = sample::valid_frames(&oracle, setting.memory);
        for frame in &frames {
            let blank = on_page(setting, *frame, |page| page.is_blank());
            let zero = expect_eq(Place::frame(*frame), "descriptor is zero", &Some(true), &blank);
            zero.map_err(|failure| failure.during(boot))?;
        }
        put_all(setting, &frames);
        setting.tear_down()?;
    }
    Ok(())
}

/// Compares the answers of a reader with those of lookups.
pub(crate) fn reader(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let mut result = Ok(());
    let frames = sample::frames(&oracle, setting.memory);
    setting.subject.read(&mut |pages| {
        result = frames.iter().try_for_each(|frame| {
            let pfn = Pfn::new(*frame);
            let address = |page: &dyn crate::Scratch| core::ptr::from_ref(page).addr();
            let found = setting.subject.lookup(pfn);
            expect_eq(Place::Frame(pfn), "reader's page", &found, &pages.page(pfn).map(address))?;
            let explained = pages.explain(pfn).map(address);
            expect_eq(Place::Frame(pfn), "reader's reason", &setting.subject.explain(pfn), &explained)
        });
    });
    result
}
