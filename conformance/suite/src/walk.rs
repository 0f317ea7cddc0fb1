//! Walks over present sections and valid frames.

use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::SectionNr;

use crate::boot::whole_sections;
use crate::failure::{Place, expect, expect_eq};
use crate::{Failure, Stage, numbers, range, sample};

/// Walks over all sections, and begins walks at all borders.
pub(crate) fn sections(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let walked = numbers(stage.subject.present_sections());
    expect_eq(Place::Model, "present sections", &oracle.sections().collect::<Vec<_>>(), &walked)?;
    for from in sample::sections(&oracle) {
        let found = stage.subject.next_present(SectionNr::new(from)).map(SectionNr::get);
        expect_eq(Place::section(from), "next present section", &oracle.next_present(from), &found)?;
    }
    Ok(())
}

/// Walks over all frames, and over parts that begin and end at borders.
pub(crate) fn valid_ranges(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (oracle, _) = stage.boot()?;
    let borders: Vec<u64> = sample::frames(&oracle, stage.memory).into_iter().collect();
    let borders = sample::spread(&borders, 48);
    let near = borders.windows(2).filter_map(|pair| Some(range(*pair.first()?, *pair.last()?)));
    let wide = borders.iter().zip(borders.iter().skip(5)).map(|(start, end)| range(*start, *end));
    let empty = borders.iter().map(|at| range(*at, *at));
    let limit = stage.facts.shape.frames();
    let beyond = [range(limit, limit + 7), range(limit - 1, u64::MAX), range(0, u64::MAX)];
    for within in near.chain(wide).chain(empty).chain(beyond) {
        let expected = oracle.valid_in(within);
        let place = Place::Frame(within.start());
        let what = format!("valid frames in {within}");
        expect_eq(place, &what, &expected, &stage.subject.valid_ranges(within))?;
        expect_eq(place, &what, &expected.first().copied(), &stage.subject.next_valid(within))?;
    }
    Ok(())
}

/// How much less a walk over two sections has to cost than a look at every section between them.
const RATIO: u64 = 20;

/// Two sections at the two ends of the machine. A walk that looks at every section number would cost what it costs to
/// ask for the state of one, times all of them; a real walk must not take a twentieth of that.
pub(crate) fn cost(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (shape, sections) = (stage.facts.shape, stage.facts.section_limit());
    let far = [whole_sections(&shape, 0, 1, 0), whole_sections(&shape, sections - 1, sections, 0)];
    stage.boot_whole(&far)?;
    expect_eq(
        Place::Model,
        "present sections",
        &[0, sections - 1][..].to_vec(),
        &numbers(stage.subject.present_sections()),
    )?;
    let all = range(0, shape.first_frame(sections));
    let one_by_one = asking_ticks(stage, sections).saturating_mul(sections / ASKED);
    let by_section = least_ticks(stage, |stage| stage.subject.present_sections().len());
    let by_frame = least_ticks(stage, |stage| stage.subject.valid_ranges(all).len());
    for (what, ticks) in [("ticks of a walk by section", by_section), ("ticks of a walk by frame", by_frame)]
    {
        let cheap = ticks.saturating_mul(RATIO) < one_by_one;
        expect(cheap, Place::Model, what, &format!("less than {}", one_by_one / RATIO), ticks)?;
    }
    Ok(())
}

/// Sections that are asked for their state to learn what one costs.
const ASKED: u64 = 1024;

/// What it costs to ask [`ASKED`] sections, spread over all of them.
fn asking_ticks(stage: &Stage<'_>, sections: u64) -> u64 {
    least_ticks(stage, |stage| {
        let asked = (0..ASKED).map(|step| stage.section(step * (sections / ASKED)));
        asked.filter(|state| !state.flags.is_empty()).count()
    })
}

/// The fewest ticks that something took of several times, so that an interruption does not count.
fn least_ticks(stage: &Stage<'_>, run: impl Fn(&Stage<'_>) -> usize) -> u64 {
    let once = |_| {
        let start = stage.world().ticks();
        core::hint::black_box(run(stage));
        stage.world().ticks().saturating_sub(start)
    };
    (0..7).map(once).min().unwrap_or(u64::MAX)
}
