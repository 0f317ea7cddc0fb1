//! Scenarios of teardown: all memory is given back, and the model can be booted again.

use sparsemem_core::{Footprint, Pfn};

use crate::failure::{Place, expect, expect_eq};
use crate::{Failure, Setting, memmap, sample};

/// Boots, writes to descriptors, takes the model down, and searches for anything that is left.
pub(crate) fn everything_back(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let (before, bare) = (setting.world().balance(), setting.subject.footprint());
    let (oracle, _) = setting.boot()?;
    let up = setting.world().balance();
    expect(up.bytes() > before.bytes(), Place::Model, "outstanding while up", "more than before", up)?;
    let frames = sample::valid_frames(&oracle, setting.memory);
    setting.subject.read(&mut |pages| {
        frames.iter().filter_map(|frame| pages.page(Pfn::new(*frame))).for_each(|page| page.put(u64::MAX));
    });
    setting.tear_down_to(&before)?;
    nothing_is_left(setting, &frames, &bare)?;
    setting.tear_down_to(&before)
}

/// Fails if a model that is down finds a descriptor, or has mappings or memory.
fn nothing_is_left(setting: &Setting<'_>, frames: &[u64], bare: &Footprint) -> Result<(), Failure> {
    for frame in frames {
        let found = setting.subject.lookup(Pfn::new(*frame));
        expect_eq(Place::frame(*frame), "descriptor after teardown", &None, &found)?;
    }
    let nothing = setting.oracle(&[]);
    memmap::no_leaf_is_idle(setting, &nothing)?;
    setting.sections_are(&nothing, frames.iter().map(|frame| setting.facts.shape.section_of(*frame)))?;
    expect_eq(Place::Model, "footprint after teardown", bare, &setting.subject.footprint())
}

/// Boots twice with a teardown between, and compares.
pub(crate) fn boot_again(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let before = setting.world().balance();
    let (_, first) = setting.boot()?;
    let (balance, footprint) = (setting.world().balance(), setting.subject.footprint());
    setting.tear_down_to(&before)?;
    let (oracle, second) = setting.boot()?;
    expect_eq(Place::Model, "summary of the second boot", &first.summary, &second.summary)?;
    expect_eq(Place::Model, "events of the second boot", &first.events, &second.events)?;
    expect_eq(Place::Model, "outstanding", &balance, &setting.world().balance())?;
    expect_eq(Place::Model, "footprint", &footprint, &setting.subject.footprint())?;
    setting.sections_are(&oracle, sample::sections(&oracle))
}
