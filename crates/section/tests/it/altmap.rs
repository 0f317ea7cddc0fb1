//! Memmaps in the memory that is being added: it cannot go while descriptors of frames that stay lie in it.

use sparsemem_core::{LostBlocks, PfnRange, RetireError, Retired};
use sparsemem_machine::place;

use crate::env::Env;
use crate::tables::{HALF, Model, NODE, SECTION, boot, frames, on_both_tables, present, sections};

/// What a retirement did that lost nothing.
fn retired(sections: u64, gone: u64) -> Result<Retired, RetireError> {
    Ok(Retired { sections, gone, lost: LostBlocks::default() })
}

fn holds(frames: PfnRange, needed_by: PfnRange) -> Result<Retired, RetireError> {
    Err(RetireError::HoldsMemmap { frames, needed_by })
}

fn the_half_with_the_memmap_goes_last<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    boot(&*model, &mut env, &[sections(3, 1)]);
    let (lower, upper) = (frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 2 * SECTION));
    for (holder, other) in [(lower, upper), (upper, lower)] {
        let mut writer = model.write().unwrap();
        // Alone it goes: nobody else has a descriptor in there.
        env.memmaps_at(holder.start());
        writer.install(&mut env, holder, NODE).unwrap();
        assert_eq!((env.in_altmap, writer.retire(&mut env, holder)), (1, retired(1, 1)));
        // With the other half it has to stay, until that goes.
        env.memmaps_at(holder.start());
        writer.install(&mut env, holder, NODE).unwrap();
        env.memmaps_anywhere();
        writer.install(&mut env, other, NODE).unwrap();
        assert_eq!(writer.retire(&mut env, holder), holds(holder, other));
        assert!(model.is_valid(holder.start()) && model.is_valid(other.start()));
        assert_eq!(writer.retire(&mut env, other), retired(1, 0));
        assert_eq!((env.in_altmap, writer.retire(&mut env, holder)), (1, retired(1, 1)));
        // Or both at once.
        env.memmaps_at(holder.start());
        writer.install(&mut env, sections(1, 1), NODE).unwrap();
        assert_eq!(writer.retire(&mut env, sections(1, 1)), retired(1, 1));
        assert_eq!((env.in_altmap, present(&*model)), (0, vec![3]));
    }
}

/// Nothing of the model lies anywhere else: the first memmap from an altmap is enough to ask.
fn a_model_whose_only_memmap_is_in_an_altmap_asks<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    let (lower, upper) = (frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 2 * SECTION));
    let mut writer = model.write().unwrap();
    env.memmaps_at(lower.start());
    writer.install(&mut env, sections(1, 1), NODE).unwrap();
    assert_eq!(writer.retire(&mut env, lower), holds(lower, upper));
    assert_eq!(writer.retire(&mut env, sections(1, 1)), retired(1, 1));
    assert!(env.is_whole());
}

/// The section at either end of a longer range is asked, and it does not matter where the other's memmap lies.
fn both_ends_of_a_range_are_asked<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    // The half that stays, the section whose memmap the range holds, and the other section of the range.
    for (stays, holder, other) in
        [(frames(2 * SECTION + HALF, 3 * SECTION), 2, 1), (frames(SECTION, SECTION + HALF), 1, 2)]
    {
        let range = match holder {
            2 => frames(SECTION, 2 * SECTION + HALF),
            _ => frames(SECTION + HALF, 3 * SECTION),
        };
        let mut writer = model.write().unwrap();
        writer.install(&mut env, sections(other, 1), NODE).unwrap();
        env.memmaps_at(frames(SECTION + HALF, 2 * SECTION).start());
        writer.install(&mut env, sections(holder, 1), NODE).unwrap();
        env.memmaps_anywhere();
        assert_eq!(writer.retire(&mut env, range), holds(range, stays));
        // Memory that the memmap does not lie in goes.
        let elsewhere = frames(2 * SECTION, 2 * SECTION + HALF);
        assert_eq!(writer.retire(&mut env, elsewhere), retired(1, 0));
        writer.install(&mut env, elsewhere, NODE).unwrap();
        assert_eq!(writer.retire(&mut env, sections(1, 2)), retired(2, 2));
        assert!(env.is_whole());
    }
}

/// RAM begins a section, a device goes on in it and beyond, and its altmap lies where it begins.
fn a_device_that_begins_in_a_section_of_ram_stays_under_its_own_memmap<M: Model>() {
    let mut env = Env::new();
    let model = place::<M>();
    boot(&*model, &mut env, &[frames(SECTION, SECTION + HALF)]);
    let (low, high) = (frames(SECTION + HALF, 2 * SECTION), sections(2, 1));
    let mut writer = model.write().unwrap();
    env.memmaps_at(low.start());
    writer.install(&mut env, low, NODE).unwrap();
    writer.install(&mut env, high, NODE).unwrap();
    assert_eq!(env.in_altmap, 1, "the memmap of the second section, in the first");
    assert_eq!(writer.retire(&mut env, low), holds(low, high));
    // Both at once.
    assert!(writer.retire(&mut env, frames(SECTION + HALF, 3 * SECTION)).is_ok());
    assert_eq!(env.in_altmap, 0);
}

on_both_tables!(
    the_half_with_the_memmap_goes_last,
    a_model_whose_only_memmap_is_in_an_altmap_asks,
    both_ends_of_a_range_are_asked,
    a_device_that_begins_in_a_section_of_ram_stays_under_its_own_memmap
);
