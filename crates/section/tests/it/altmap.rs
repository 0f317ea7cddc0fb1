//! Memmaps in the memory that is being added: it cannot go while descriptors of frames that stay lie in it.

use sparsemem_core::{PfnRange, RetireError, Retired};

use crate::tables::{HALF, Model, NODE, SECTION, boot, frames, on_both_tables, present, retired, sections};
use sparsemem_fixture::Env;

fn holds(frames: PfnRange, needed_by: PfnRange) -> Result<Retired, RetireError> {
    Err(RetireError::HoldsMemmap { frames, needed_by })
}

fn the_half_with_the_memmap_goes_last<M: Model>(env: &mut Env, model: &mut M) {
    boot(model, env, &[sections(3, 1)]);
    let (lower, upper) = (frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 2 * SECTION));
    for (holder, other) in [(lower, upper), (upper, lower)] {
        let mut writer = model.write().unwrap();
        // Alone it goes: nobody else has a descriptor in there.
        env.memmaps_at(holder.start());
        writer.install(env, holder, NODE).unwrap();
        assert_eq!((env.in_altmap(), writer.retire(env, holder)), (1, retired(1, 1)));
        // With the other half it has to stay, until that goes.
        env.memmaps_at(holder.start());
        writer.install(env, holder, NODE).unwrap();
        env.memmaps_anywhere();
        writer.install(env, other, NODE).unwrap();
        assert_eq!(writer.retire(env, holder), holds(holder, other));
        assert_eq!(writer.check_retire(env, holder), holds(holder, other).map(drop), "as it says before");
        assert_eq!(writer.check_retire(env, other), Ok(()));
        assert!(model.is_valid(holder.start()) && model.is_valid(other.start()));
        assert_eq!(writer.retire(env, other), retired(1, 0));
        assert_eq!((env.in_altmap(), writer.retire(env, holder)), (1, retired(1, 1)));
        // Or both at once.
        env.memmaps_at(holder.start());
        writer.install(env, sections(1, 1), NODE).unwrap();
        assert_eq!(writer.retire(env, sections(1, 1)), retired(1, 1));
        assert_eq!((env.in_altmap(), present(model)), (0, vec![3]));
    }
}

/// Nothing of the model lies anywhere else: the first memmap from an altmap is enough to ask.
fn a_model_whose_only_memmap_is_in_an_altmap_asks<M: Model>(env: &mut Env, model: &mut M) {
    let (lower, upper) = (frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 2 * SECTION));
    let mut writer = model.write().unwrap();
    env.memmaps_at(lower.start());
    writer.install(env, sections(1, 1), NODE).unwrap();
    assert_eq!(writer.retire(env, lower), holds(lower, upper));
    assert_eq!(writer.retire(env, sections(1, 1)), retired(1, 1));
    assert!(env.is_whole());
}

/// The section at either end of a longer range is asked, and it does not matter where the other's memmap lies.
fn both_ends_of_a_range_are_asked<M: Model>(env: &mut Env, model: &mut M) {
    // The half that stays, the section whose memmap the range holds, and the other section of the range.
    for (stays, holder, other) in
        [(frames(2 * SECTION + HALF, 3 * SECTION), 2, 1), (frames(SECTION, SECTION + HALF), 1, 2)]
    {
        let range = match holder {
            2 => frames(SECTION, 2 * SECTION + HALF),
            _ => frames(SECTION + HALF, 3 * SECTION),
        };
        let mut writer = model.write().unwrap();
        writer.install(env, sections(other, 1), NODE).unwrap();
        env.memmaps_at(frames(SECTION + HALF, 2 * SECTION).start());
        writer.install(env, sections(holder, 1), NODE).unwrap();
        env.memmaps_anywhere();
        assert_eq!(writer.retire(env, range), holds(range, stays));
        // Memory that the memmap does not lie in goes.
        let elsewhere = frames(2 * SECTION, 2 * SECTION + HALF);
        assert_eq!(writer.retire(env, elsewhere), retired(1, 0));
        writer.install(env, elsewhere, NODE).unwrap();
        assert_eq!(writer.retire(env, sections(1, 2)), retired(2, 2));
        assert!(env.is_whole());
    }
}

/// RAM begins a section, a device goes on in it and beyond, and its altmap lies where it begins.
fn a_device_that_begins_in_a_section_of_ram_stays_under_its_own_memmap<M: Model>(
    env: &mut Env,
    model: &mut M,
) {
    boot(model, env, &[frames(SECTION, SECTION + HALF)]);
    let (low, high) = (frames(SECTION + HALF, 2 * SECTION), sections(2, 1));
    let mut writer = model.write().unwrap();
    env.memmaps_at(low.start());
    writer.install(env, low, NODE).unwrap();
    writer.install(env, high, NODE).unwrap();
    assert_eq!(env.in_altmap(), 1, "the memmap of the second section, in the first");
    assert_eq!(writer.retire(env, low), holds(low, high));
    // Both at once.
    assert!(writer.retire(env, frames(SECTION + HALF, 3 * SECTION)).is_ok());
    assert_eq!(env.in_altmap(), 0);
}

on_both_tables!(
    the_half_with_the_memmap_goes_last,
    a_model_whose_only_memmap_is_in_an_altmap_asks,
    both_ends_of_a_range_are_asked,
    a_device_that_begins_in_a_section_of_ram_stays_under_its_own_memmap
);
