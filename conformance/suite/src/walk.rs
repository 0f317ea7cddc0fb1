//! Scenarios of walks over present sections and valid frames.

use alloc::format;
use alloc::vec::Vec;

use sparsemem_core::SectionNr;

use crate::boot::whole_sections;
use crate::failure::{Place, expect, expect_eq};
use crate::{Failure, Setting, numbers, range, sample};

/// Walks over all sections, and starts walks at all borders.
pub(crate) fn sections(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let walked = numbers(setting.subject.present_sections());
    expect_eq(Place::Model, "present sections", &oracle.sections().collect::<Vec<_>>(), &walked)?;
    for from in sample::sections(&oracle) {
        let found = setting.subject.next_present(SectionNr::new(from)).map(SectionNr::get);
        expect_eq(Place::section(from), "next present section", &oracle.next_present(from), &found)?;
    }
    Ok(())
}

/// Walks over all frames, and over ranges that begin and end at borders.
pub(crate) fn valid_ranges(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (oracle, _) = setting.boot()?;
    let borders: Vec<u64> = sample::frames(&oracle, setting.memory).into_iter().collect();
    let borders = sample::spread(&borders, 48);
    let near = borders.windows(2).filter_map(|pair| Some(range(*pair.first()?, *pair.last()?)));
    let wide = borders.iter().zip(borders.iter().skip(5)).map(|(start, end)| range(*start, *end));
    let empty = borders.iter().map(|at| range(*at, *at));
    let limit = setting.facts.shape.frames();
    let beyond = [range(limit, limit + 7), range(limit - 1, u64::MAX), range(0, u64::MAX)];
    for within in near.chain(wide).chain(empty).chain(beyond) {
        let expected = oracle.valid_in(within);
        let place = Place::Frame(within.start());
        let what = format!("valid frames in {within}");
        expect_eq(place, &what, &expected, &setting.subject.valid_ranges(within))?;
        expect_eq(place, &what, &expected.first().copied(), &setting.subject.next_valid(within))?;
    }
    Ok(())
}

/// A walk over two distant sections must cost less than a state query for every section between them, divided by this
/// ratio.
const RATIO: u64 = 20;

/// Boots with two sections at the two ends of the machine. A walk that visited every section number would cost as
/// much as a state query for each of them; an acceptable walk costs less than a twentieth of that.
pub(crate) fn cost(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (shape, sections) = (setting.facts.shape, setting.facts.section_limit());
    let far = [whole_sections(&shape, 0, 1, 0), whole_sections(&shape, sections - 1, sections, 0)];
    setting.boot_whole(&far)?;
    expect_eq(
        Place::Model,
        "present sections",
        &[0, sections - 1][..].to_vec(),
        &numbers(setting.subject.present_sections()),
    )?;
    let all = range(0, shape.first_frame(sections));
    let one_by_one = asking_ticks(setting, sections).saturating_mul(sections / ASKED);
    let by_section = least_ticks(setting, |setting| setting.subject.present_sections().len());
    let by_frame = least_ticks(setting, |setting| setting.subject.valid_ranges(all).len());
    for (what, ticks) in [("ticks of a walk by section", by_section), ("ticks of a walk by frame", by_frame)]
    {
        let cheap = ticks.saturating_mul(RATIO) < one_by_one;
        expect(cheap, Place::Model, what, &format!("less than {}", one_by_one / RATIO), ticks)?;
    }
    Ok(())
}

/// The number of sections whose state is queried to learn the cost of one query.
const ASKED: u64 = 1024;

/// The cost of the states of [`ASKED`] sections, spread over all of them.
fn asking_ticks(setting: &Setting<'_>, sections: u64) -> u64 {
    least_ticks(setting, |setting| {
        let asked = (0..ASKED).map(|step| setting.section(step * (sections / ASKED)));
        asked.filter(|state| !state.flags.is_empty()).count()
    })
}

/// The fewest ticks of several runs, so that an interruption does not count.
fn least_ticks(setting: &Setting<'_>, run: impl Fn(&Setting<'_>) -> usize) -> u64 {
    let once = |_| {
        let start = setting.world().ticks();
        core::hint::black_box(run(setting));
        setting.world().ticks().saturating_sub(start)
    };
    (0..7).map(once).min().unwrap_or(u64::MAX)
}
