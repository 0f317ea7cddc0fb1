//! From frame to descriptor and back.

use alloc::vec::Vec;

use sparsemem_core::{LookupError, Pfn, SectionNr};

use crate::boot::memory;
use crate::failure::{Place, expect, expect_eq};
use crate::{Failure, Oracle, Stage, range, sample};

/// Looks up the frames at all borders.
pub(crate) fn oracle(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    for frame in sample::frames(&oracle, stage.memory) {
        let pfn = Pfn::new(frame);
        let expected = oracle.is_valid(frame);
        expect_eq(Place::Frame(pfn), "is valid", &expected, &stage.subject.is_valid(pfn))?;
        expect_eq(Place::Frame(pfn), "is found", &expected, &stage.subject.lookup(pfn).is_some())?;
    }
    Ok(())
}

/// Asks for the reason at all borders.
pub(crate) fn reasons(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    for frame in sample::frames(&oracle, stage.memory) {
        let pfn = Pfn::new(frame);
        let (found, explained) = (stage.subject.lookup(pfn), stage.subject.explain(pfn));
        expect_eq(Place::Frame(pfn), "reason", &reason(&oracle, pfn), &explained.err())?;
        expect_eq(Place::Frame(pfn), "explained descriptor", &found, &explained.ok())?;
    }
    Ok(())
}

/// Why a frame has no descriptor after boot.
fn reason(oracle: &Oracle, pfn: Pfn) -> Option<LookupError> {
    let shape = oracle.shape();
    if pfn.get() >= shape.frames() {
        return Some(LookupError::BeyondMaximum { pfn, last: Pfn::new(shape.frames() - 1) });
    }
    let section = shape.section_of(pfn.get());
    let absent = LookupError::AbsentSection { pfn, section: SectionNr::new(section) };
    (!oracle.is_present(section)).then_some(absent)
}

/// Sets each bit that no frame number has.
pub(crate) fn garbage_bits(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let shape = stage.facts.shape;
    let high = shape.physical_bits - shape.page_bits..64;
    for frame in sample::spread(&sample::valid_frames(&oracle, stage.memory), 24) {
        let one_bit = high.clone().map(|bit| 1 << bit);
        for garbage in one_bit.chain([!(shape.frames() - 1)]) {
            let pfn = Pfn::new(frame | garbage);
            expect_eq(Place::Frame(pfn), "descriptor", &None, &stage.subject.lookup(pfn))?;
            let expected = Err(LookupError::BeyondMaximum { pfn, last: Pfn::new(shape.frames() - 1) });
            expect_eq(Place::Frame(pfn), "reason", &expected, &stage.subject.explain(pfn))?;
        }
    }
    Ok(())
}

/// Goes to the descriptor and back, and compares the ways.
pub(crate) fn round_trip(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    for frame in sample::spread(&sample::valid_frames(&oracle, stage.memory), 512) {
        let pfn = Pfn::new(frame);
        let found = stage.subject.lookup(pfn);
        expect(found.is_some(), Place::Frame(pfn), "descriptor", "one", found)?;
        expect_eq(Place::Frame(pfn), "unchecked lookup", &found, &stage.subject.lookup_unchecked(pfn))?;
        expect_eq(Place::Frame(pfn), "frame of the descriptor", &Some(pfn), &stage.subject.pfn_of(pfn))?;
    }
    initialise_reaches_all(stage, &oracle)
}

/// Initialises the end of one section and the beginning of the next section number, present or not.
fn initialise_reaches_all(stage: &Stage<'_>, oracle: &Oracle) -> Result<(), Failure> {
    let border = stage.facts.shape.first_frame(oracle.next_present(0).unwrap_or(0) + 1);
    let frames = range(border - 16, border + 16);
    let expected = (border - 16..border + 16).filter(|frame| oracle.is_valid(*frame)).count() as u64;
    let done = stage.subject.initialise(frames);
    expect_eq(Place::frame(border), "descriptors initialised around it", &expected, &done)
}

/// The word that a frame's descriptor gets: different for different frames.
const fn mark(frame: u64) -> u64 {
    frame ^ 0x5a5a_0000_0000_0000
}

/// Marks descriptors, then reads all marks.
pub(crate) fn no_aliases(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let frames = sample::valid_frames(&oracle, stage.memory);
    expect(frames.len() > 1, Place::Model, "valid frames", "several", frames.len())?;
    put_all(stage, &frames);
    for frame in &frames {
        let found = on_page(stage, *frame, |page| page.get());
        expect_eq(Place::frame(*frame), "mark", &Some(mark(*frame)), &found)?;
    }
    frames.windows(2).try_for_each(|pair| are_apart(stage, pair))
}

/// Fails unless the descriptors of neighbours in a section lie one behind the other.
fn are_apart(stage: &Stage<'_>, pair: &[u64]) -> Result<(), Failure> {
    let &[one, other] = pair else { return Ok(()) };
    let (shape, size) = (stage.facts.shape, stage.facts.descriptor_bytes);
    if shape.section_of(one) != shape.section_of(other) {
        return Ok(());
    }
    let at = |frame| stage.subject.lookup(Pfn::new(frame)).map(|at| at as u64);
    let expected = at(one).map(|at| at.wrapping_add((other - one) * size));
    expect_eq(Place::frame(other), "address of the descriptor", &expected, &at(other))
}

/// Marks descriptors.
fn put_all(stage: &Stage<'_>, frames: &[u64]) {
    stage.subject.read(&mut |pages| {
        for frame in frames {
            if let Some(page) = pages.page(Pfn::new(*frame)) {
                page.put(mark(*frame));
            }
        }
    });
}

/// Looks at one descriptor through a reader.
fn on_page<T>(stage: &Stage<'_>, frame: u64, look: impl Fn(&dyn crate::Scratch) -> T) -> Option<T> {
    let mut seen = None;
    stage.subject.read(&mut |pages| seen = pages.page(Pfn::new(frame)).map(&look));
    seen
}

/// Looks into the holes of the machine's sections, and around a single frame of memory.
pub(crate) fn holes_early(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let shape = stage.facts.shape;
    for nr in sample::spread(&oracle.sections().collect::<Vec<_>>(), 256) {
        let touched = oracle.subsections(nr);
        let hole = (0..shape.subsections()).find(|index| !touched.contains(index));
        if let Some(hole) = hole {
            has_descriptor(stage, shape.first_frame(nr) + hole * shape.subsection_frames(), true)?;
        }
    }
    stage.tear_down()?;
    let lonely = shape.first_frame(2) + shape.section_frames() / 2;
    stage.boot_whole(&[memory(range(lonely, lonely + 1), 0)])?;
    let (first, end) = (shape.first_frame(2), shape.first_frame(3));
    [first, lonely - 1, lonely, lonely + 1, end - 1]
        .into_iter()
        .try_for_each(|f| has_descriptor(stage, f, true))?;
    [0, first - 1, end, end + shape.section_frames()]
        .into_iter()
        .try_for_each(|f| has_descriptor(stage, f, false))
}

/// Fails unless a frame has, or has not, a descriptor.
fn has_descriptor(stage: &Stage<'_>, frame: u64, expected: bool) -> Result<(), Failure> {
    let found = on_page(stage, frame, |_| ()).is_some();
    expect_eq(Place::frame(frame), "has a descriptor", &expected, &found)
}

/// Compares online frames with the subsections that memory touches.
pub(crate) fn online(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let shape = stage.facts.shape;
    for frame in sample::frames(&oracle, stage.memory) {
        let index = frame % shape.section_frames() / shape.subsection_frames();
        let touched = oracle.is_valid(frame) && oracle.subsections(shape.section_of(frame)).contains(&index);
        let expected = stage.subject.lookup(Pfn::new(frame)).filter(|_| touched);
        let mut found = None;
        stage.subject.read(&mut |pages| {
            found = pages.online_page(Pfn::new(frame)).map(|page| core::ptr::from_ref(page).addr());
        });
        expect_eq(Place::frame(frame), "online page", &expected, &found)?;
    }
    Ok(())
}

/// Looks at fresh descriptors, writes to them, and looks at the next boot's.
pub(crate) fn fresh_zero(stage: &mut Stage<'_>) -> Result<(), Failure> {
    for boot in ["first boot", "boot in memory that was written to"] {
        let (oracle, _) = stage.boot()?;
        let frames = sample::valid_frames(&oracle, stage.memory);
        for frame in &frames {
            let blank = on_page(stage, *frame, |page| page.is_blank());
            let zero = expect_eq(Place::frame(*frame), "descriptor is zero", &Some(true), &blank);
            zero.map_err(|failure| failure.during(boot))?;
        }
        put_all(stage, &frames);
        stage.tear_down()?;
    }
    Ok(())
}

/// Compares what a reader finds with what lookups find.
pub(crate) fn reader(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let mut result = Ok(());
    let frames = sample::frames(&oracle, stage.memory);
    stage.subject.read(&mut |pages| {
        result = frames.iter().try_for_each(|frame| {
            let pfn = Pfn::new(*frame);
            let address = |page: &dyn crate::Scratch| core::ptr::from_ref(page).addr();
            let found = stage.subject.lookup(pfn);
            expect_eq(Place::Frame(pfn), "reader's page", &found, &pages.page(pfn).map(address))?;
            let explained = pages.explain(pfn).map(address);
            expect_eq(Place::Frame(pfn), "reader's reason", &stage.subject.explain(pfn), &explained)
        });
    });
    result
}
