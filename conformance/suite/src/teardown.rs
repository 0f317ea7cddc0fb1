//! Taking a model down: everything goes back, and it can come up again.

use sparsemem_core::{Footprint, Pfn};

use crate::failure::{Place, expect, expect_eq};
use crate::{Failure, Stage, memmap, sample};

/// Boots, writes to descriptors, takes down, and looks for anything that is left.
pub(crate) fn everything_back(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let (before, bare) = (stage.world().balance(), stage.subject.footprint());
    let (oracle, _) = stage.boot()?;
    let up = stage.world().balance();
    expect(up.bytes() > before.bytes(), Place::Model, "outstanding while up", "more than before", up)?;
    let frames = sample::valid_frames(&oracle, stage.memory);
    stage.subject.read(&mut |pages| {
        frames.iter().filter_map(|frame| pages.page(Pfn::new(*frame))).for_each(|page| page.put(u64::MAX));
    });
    stage.tear_down_to(&before)?;
    nothing_is_left(stage, &frames, &bare)?;
    stage.tear_down_to(&before)
}

/// Fails if a model that is down finds, maps or takes anything.
fn nothing_is_left(stage: &Stage<'_>, frames: &[u64], bare: &Footprint) -> Result<(), Failure> {
    for frame in frames {
        let found = stage.subject.lookup(Pfn::new(*frame));
        expect_eq(Place::frame(*frame), "descriptor after teardown", &None, &found)?;
    }
    let nothing = stage.oracle(&[]);
    memmap::no_leaf_is_idle(stage, &nothing)?;
    stage.sections_are(&nothing, frames.iter().map(|frame| stage.facts.shape.section_of(*frame)))?;
    expect_eq(Place::Model, "footprint after teardown", bare, &stage.subject.footprint())
}

/// Boots twice with a teardown between, and compares.
pub(crate) fn boot_again(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let before = stage.world().balance();
    let (_, first) = stage.boot()?;
    let (balance, footprint) = (stage.world().balance(), stage.subject.footprint());
    stage.tear_down_to(&before)?;
    let (oracle, second) = stage.boot()?;
    expect_eq(Place::Model, "summary of the second boot", &first.summary, &second.summary)?;
    expect_eq(Place::Model, "events of the second boot", &first.events, &second.events)?;
    expect_eq(Place::Model, "outstanding", &balance, &stage.world().balance())?;
    expect_eq(Place::Model, "footprint", &footprint, &stage.subject.footprint())?;
    stage.sections_are(&oracle, sample::sections(&oracle))
}
