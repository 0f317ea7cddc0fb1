//! Descriptors of a section in the memory that is being added: one large leaf holds them all, so the memory that it lies in
//! cannot go while a frame stays whose descriptor is in it.

mod common;

use core::sync::atomic::AtomicU64;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Geometry, LostBlocks, MemoryModel, MemoryRange, Page, PageDescriptor, Pfn, PfnRange, RetireError,
    Retired, SectionShape, VirtAddr,
};
use sparsemem_fixture::{Env, NODE};
use sparsemem_machine::{HostRcu, place};
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

use common::Odd;

const SECTION: u64 = X86_64::PAGES_PER_SECTION;
const HALF: u64 = SECTION / 2;

struct Readers;
type Array<G, P, const N: usize> = Vmemmap<G, P, HostRcu<Readers>, DynamicBase, N>;
type Model = Array<X86_64, Page, { X86_64::NR_ROOTS_LEN }>;

/// Subsections of 1 MiB: less than a large leaf.
#[derive(Clone, Copy, Debug)]
struct Fine;

impl Geometry for Fine {
    const NAME: &'static str = "fine";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 36;
    const SUBSECTION_SHIFT: u32 = 20;
    const PAGEBLOCK_ORDER: u32 = 8;
    type SubsectionMap = [AtomicU64; 2];
    type PageblockFlags = [AtomicU64; 16];
}

/// A model of a geometry and a descriptor, alone on a machine.
fn up_with<G: Geometry, P: PageDescriptor, const N: usize>() -> (Env, Box<Array<G, P, N>>) {
    let env = Env::new();
    let model = place::<Array<G, P, N>>();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(env.machine.window_ptr(), env.machine.window().count().get()) };
    (env, model)
}

fn up() -> (Env, Box<Model>) {
    up_with()
}

fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

fn whole(nr: u64) -> PfnRange {
    frames(nr * SECTION, (nr + 1) * SECTION)
}

fn retired(sections: u64, gone: u64) -> Result<Retired, RetireError> {
    Ok(Retired { sections, gone, lost: LostBlocks::default() })
}

#[test]
fn memory_that_holds_the_leaf_of_a_section_goes_last() {
    let (lower, upper) = (frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 2 * SECTION));
    for (holder, other) in [(lower, upper), (upper, lower)] {
        let (mut env, model) = up();
        let mut writer = model.write().unwrap();
        env.memmaps_at(holder.start());
        writer.install(&mut env, frames(SECTION, 2 * SECTION), NODE).unwrap();
        assert_eq!(env.in_altmap(), 1, "one large leaf");
        let refused = RetireError::HoldsMemmap { frames: holder, needed_by: other };
        assert_eq!(writer.retire(&mut env, holder), Err(refused));
        assert!(model.is_valid(holder.start()) && model.is_valid(other.start()));
        assert_eq!(writer.retire(&mut env, other), retired(1, 0));
        assert_eq!((env.in_altmap(), writer.retire(&mut env, holder)), (1, retired(1, 1)));
        assert!(env.is_whole());
    }
}

/// The leaf at either end of a range may hold descriptors of frames beside it.
#[test]
fn the_leaves_at_both_ends_of_a_range_are_looked_at() {
    // The range that goes, the section whose leaf lies in it, and what stays of that section.
    for (range, section, stays) in [
        (frames(HALF, 2 * SECTION), 0, frames(0, HALF)),
        (frames(0, SECTION + HALF), 1, frames(SECTION + HALF, 2 * SECTION)),
    ] {
        let (mut env, model) = up();
        let mut writer = model.write().unwrap();
        writer.install(&mut env, whole(1 - section), NODE).unwrap();
        env.memmaps_at(range.start());
        writer.install(&mut env, whole(section), NODE).unwrap();
        let refused = RetireError::HoldsMemmap { frames: range, needed_by: stays };
        assert_eq!(writer.retire(&mut env, range), Err(refused));
        // All that needs it may go at once.
        assert_eq!(writer.retire(&mut env, frames(0, 2 * SECTION)), retired(2, 2));
        assert!(env.is_whole());
    }
}

/// A leaf that a section has in common with its neighbour, whose altmap it came from, ties the section to the altmap too:
/// also when nothing else of the section is in one.
#[test]
fn a_neighbours_altmap_holds_the_descriptors_of_a_section_that_took_none_from_it() {
    let (mut env, model) = up_with::<X86_64, Odd, { X86_64::NR_ROOTS_LEN }>();
    let mut writer = model.write().unwrap();
    // The leaves of section 1 lie in section 0, and the first holds the last descriptors of section 0.
    env.memmaps_at(whole(0).start());
    writer.install(&mut env, whole(1), NODE).unwrap();
    writer.install(&mut env, whole(0), NODE).unwrap();
    assert_eq!(env.in_altmap(), 2, "the leaf that section 0 needs was there");
    // Section 1 comes again, from elsewhere, and finds the leaf that was kept for section 0.
    assert_eq!(writer.retire(&mut env, whole(1)), retired(1, 1));
    assert_eq!(env.in_altmap(), 1);
    env.memmaps_anywhere();
    writer.install(&mut env, whole(1), NODE).unwrap();
    let first = model.lookup(whole(1).start()).unwrap().addr().get() as u64;
    let lies_at = env.machine.translate(VirtAddr::new(first)).unwrap().unwrap().to;
    assert!(lies_at < whole(0).end().phys::<X86_64>().unwrap());
    let Err(RetireError::HoldsMemmap { needed_by, .. }) = writer.retire(&mut env, whole(0)) else {
        panic!("memory went that holds the descriptor of {}", whole(1).start());
    };
    assert!(whole(1).contains_range(needed_by), "{needed_by}");
    assert_eq!(writer.retire(&mut env, frames(0, 2 * SECTION)), retired(2, 2));
    assert!(env.is_whole());
}

/// RAM begins a section, a device goes on in it and beyond, and its altmap lies where it begins. The frames there have
/// descriptors of boot, but the leaf of the next section is in their memory.
#[test]
fn a_device_that_begins_in_a_section_of_ram_stays_under_its_own_memmap() {
    let (mut env, model) = up();
    let mut writer = model.write().unwrap();
    let ram = [MemoryRange { frames: frames(SECTION, SECTION + HALF), node: NODE }];
    writer.boot(&mut env, ram.into_iter(), &mut |event| panic!("{event:?}")).unwrap();
    let (low, high) = (frames(SECTION + HALF, 2 * SECTION), whole(2));
    env.memmaps_at(low.start());
    writer.install(&mut env, low, NODE).unwrap();
    writer.install(&mut env, high, NODE).unwrap();
    assert_eq!(env.in_altmap(), 1, "the leaf of the second section, in the first");
    assert_eq!(writer.retire(&mut env, low), Err(RetireError::HoldsMemmap { frames: low, needed_by: high }));
    assert_eq!(writer.retire(&mut env, high), retired(1, 1));
    assert_eq!((env.in_altmap(), writer.retire(&mut env, low)), (0, retired(1, 0)));
}

/// A leaf of 2 MiB lies in two subsections of this geometry: neither goes before the frames whose descriptors it holds.
#[test]
fn memory_that_holds_the_end_of_a_leaf_stays() {
    let (mut env, model) = up_with::<Fine, Page, { Fine::NR_ROOTS_LEN }>();
    let mut writer = model.write().unwrap();
    env.memmaps_at(whole(1).start());
    writer.install(&mut env, whole(1), NODE).unwrap();
    assert_eq!(env.in_altmap(), 1, "one large leaf");
    let (part, held) = (Fine::PAGES_PER_SUBSECTION, SECTION + 2 * Fine::PAGES_PER_SUBSECTION);
    for start in [SECTION, SECTION + part] {
        let refused = writer.retire(&mut env, frames(start, start + part));
        assert!(matches!(refused, Err(RetireError::HoldsMemmap { .. })), "{start}: {refused:?}");
    }
    assert_eq!(writer.retire(&mut env, frames(held, 2 * SECTION)), retired(1, 0));
    assert_eq!(writer.retire(&mut env, frames(SECTION, held)), retired(1, 1));
    assert!(env.is_whole());
}

/// An undoing does not ask who needs the memory, so it takes nothing but whole installations.
#[test]
fn half_of_a_section_that_holds_the_leaf_of_the_rest_is_not_undone() {
    let (mut env, model) = up();
    let lower = frames(SECTION, SECTION + HALF);
    env.memmaps_at(lower.start());
    let mut writer = model.write().unwrap();
    writer.install(&mut env, whole(1), NODE).unwrap();
    let refused = RetireError::NotInstalled { frames: lower, installed: whole(1) };
    assert_eq!(writer.undo_install(&mut env, lower), Err(refused));
    drop(writer);
    let mut writer = model.write().unwrap();
    assert_eq!(writer.undo_install(&mut env, lower), Err(refused));
    assert_eq!(writer.undo_install(&mut env, whole(1)), retired(1, 1));
    assert!(env.is_whole());
}
