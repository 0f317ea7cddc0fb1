//! Frames that are valid and frames that are online, by each rule and wherever lookups find it, while memory comes and
//! goes.

use sparsemem_core::presets::X86_64;
use sparsemem_core::{EarlyFrames, Page, Pfn, PfnRange, SectionShape};
use sparsemem_fixture::Env;
use sparsemem_machine::place;
use sparsemem_section::{
    Encoded, ExactRule, FlatPlanes, FlatTable, InRoots, InWords, LinuxRule, RootedTable, SparseModel,
};

use crate::tables::{Alone, HALF, Model, NODE, SECTION, boot, frames, nr_waits, sections};

type Planes<Q> = FlatPlanes<X86_64, { X86_64::NR_SECTIONS_LEN }, Q>;
type Flat<V> = SparseModel<FlatTable<X86_64, Page, { X86_64::NR_SECTIONS_LEN }, V>, Encoded, Alone>;
type Rooted<V> = SparseModel<RootedTable<X86_64, Page, { X86_64::NR_ROOTS_LEN }, V>, Encoded, Alone>;

/// Frames of a subsection.
const SUB: u64 = X86_64::PAGES_PER_SUBSECTION;

/// Asks a model in every way which frames of the first sections are valid and online.
fn are<M: Model>(model: &M, valid: &[PfnRange], online: &[PfnRange]) {
    let within = |ranges: &[PfnRange], pfn| ranges.iter().any(|range| range.contains(pfn));
    for start in (0..12 * SECTION).step_by(usize::try_from(SUB).unwrap()) {
        for pfn in [start, start + SUB - 1].map(Pfn::new) {
            assert_eq!(model.is_valid(pfn), within(valid, pfn), "{pfn} is valid");
            assert_eq!(model.lookup(pfn).is_some(), within(valid, pfn), "{pfn} is found");
            let found = model.lookup_online_with(pfn, &());
            assert_eq!(found, model.lookup(pfn).filter(|_| within(online, pfn)), "{pfn} is online");
        }
    }
    assert!(model.valid_ranges(frames(0, 12 * SECTION)).eq(valid.iter().copied()), "a walk finds {valid:?}");
}

/// One after the other: boot with a hole, a device in the hole, online, offline, out; and a section that comes later.
fn comes_and_goes<M: Model>() {
    let (mut env, mut model) = (Env::new(), place::<M>());
    let fresh = model.footprint();
    let exact = model.early_frames() == EarlyFrames::Populated;
    let first = sections(0, 1);
    let (lower, upper) = (frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 2 * SECTION));
    let second = sections(1, 1);
    boot(&*model, &mut env, &[frames(0, SECTION + HALF)]);
    let at_boot = if exact { lower } else { second };
    are(&*model, &[first, at_boot], &[first, lower]);

    let mut writer = model.write().unwrap();
    writer.install(&mut env, upper, NODE).unwrap();
    are(&*model, &[first, second], &[first, lower]);
    writer.set_online(upper).unwrap();
    are(&*model, &[first, second], &[first, second]);
    writer.set_offline(lower).unwrap();
    are(&*model, &[first, second], &[first, upper]);
    let _ = nr_waits();
    assert!(writer.retire(&mut env, lower).unwrap().lost.is_empty());
    assert_eq!(nr_waits(), u64::from(exact), "readers are waited for if frames went out of their sight");
    let left = if exact { upper } else { second };
    are(&*model, &[first, left], &[first, upper]);

    // What was written there meanwhile is not found again where frames were out of sight.
    writer.install(&mut env, lower, NODE).unwrap();
    are(&*model, &[first, second], &[first, upper]);
    writer.set_offline(upper).unwrap();
    assert!(writer.retire(&mut env, second).unwrap().lost.is_empty());
    are(&*model, &[first], &[first]);

    let (later, end) = (sections(10, 1), 11 * SECTION);
    writer.install(&mut env, later, NODE).unwrap();
    are(&*model, &[first, later], &[first]);
    writer.set_online(later).unwrap();
    are(&*model, &[first, later], &[first, later]);
    let last = frames(end - SUB, end);
    writer.set_offline(last).unwrap();
    are(&*model, &[first, later], &[first, frames(10 * SECTION, end - SUB)]);
    assert!(writer.retire(&mut env, last).unwrap().lost.is_empty());
    let rest = frames(10 * SECTION, end - SUB);
    are(&*model, &[first, rest], &[first, rest]);
    writer.install(&mut env, last, NODE).unwrap();
    are(&*model, &[first, later], &[first, rest]);
    writer.set_offline(rest).unwrap();
    are(&*model, &[first, later], &[first]);
    assert!(writer.retire(&mut env, later).unwrap().lost.is_empty());
    are(&*model, &[first], &[first]);
    drop(writer);

    model.tear_down(&mut env).unwrap();
    are(&*model, &[], &[]);
    assert!(env.is_whole(), "{:?}", env.machine.balance());
    assert_eq!(model.footprint(), fresh);
}

/// Descriptors that nobody could find meanwhile are zero when they are found again.
fn an_exact_hole_forgets<M: Model>() {
    use std::sync::atomic::Ordering;
    let (mut env, model) = (Env::new(), place::<M>());
    boot(&*model, &mut env, &[sections(0, 1)]);
    let (upper, pfn) = (frames(HALF, SECTION), Pfn::new(HALF + 9));
    let mut writer = model.write().unwrap();
    writer.set_offline(upper).unwrap();
    let private = || model.read().page(pfn).map(|page| page.private.swap(77, Ordering::Relaxed));
    assert_eq!((private(), private()), (Some(0), Some(77)));
    assert!(writer.retire(&mut env, upper).unwrap().lost.is_empty());
    assert_eq!(private(), None);
    writer.install(&mut env, upper, NODE).unwrap();
    assert_eq!(private(), Some(0));
}

/// The bytes of planes: none, two bits for each subsection of a root's sections, or of all possible sections.
fn planes_take<M: Model>(fixed: u64, root: u64) {
    let (mut env, mut model) = (Env::new(), place::<M>());
    assert_eq!(model.footprint().plane_bytes, fixed);
    model.write().unwrap().install(&mut env, sections(3, 1), NODE).unwrap();
    assert_eq!(model.footprint().plane_bytes, fixed + root);
    model.tear_down(&mut env).unwrap();
    assert_eq!(model.footprint().plane_bytes, fixed);
}

/// A list of tests, each over a model.
macro_rules! on {
    ($($name:ident: $model:ty, $fixed:expr, $root:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn what_comes_and_goes_is_valid_as_the_rule_says() {
                comes_and_goes::<$model>();
            }

            #[test]
            fn planes_are_counted() {
                planes_take::<$model>($fixed, $root);
            }
        })*
    };
}

const FLAT: u64 = X86_64::NR_SECTIONS * 16;
const ROOT: u64 = 4096;

on! {
    flat_words: Flat<InWords<LinuxRule>>, 0, 0;
    flat_words_exact: Flat<InWords<ExactRule>>, 0, 0;
    flat_planes: Flat<Planes<LinuxRule>>, FLAT, 0;
    flat_planes_exact: Flat<Planes<ExactRule>>, FLAT, 0;
    rooted_words: Rooted<InWords<LinuxRule>>, 0, 0;
    rooted_words_exact: Rooted<InWords<ExactRule>>, 0, 0;
    rooted_planes: Rooted<InRoots<LinuxRule>>, 0, ROOT;
    rooted_planes_exact: Rooted<InRoots<ExactRule>>, 0, ROOT;
    rooted_flat_planes: Rooted<Planes<LinuxRule>>, FLAT, 0;
    rooted_flat_planes_exact: Rooted<Planes<ExactRule>>, FLAT, 0;
}

#[test]
fn exact_holes_forget() {
    an_exact_hole_forgets::<Flat<InWords<ExactRule>>>();
    an_exact_hole_forgets::<Rooted<InRoots<ExactRule>>>();
    an_exact_hole_forgets::<Rooted<Planes<ExactRule>>>();
}
