//! Hotplug that asks the registry, on all three models: memory does not go from under a memmap, and a memmap does not
//! get into the page allocator's hands.

#![allow(unreachable_pub, reason = "the machine is a module of its own")]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "these tests do not need everything")]
mod world;

use sparsemem_bootmem_registration::{PageUse, Removal, SearchSlot, User};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, PfnRange, SectionNr, SectionShape};
use sparsemem_fixture::{Backend, on_every_backend};
use sparsemem_hotplug::{BlockSize, BlockState, Limits, OfflineError, Reason};
use world::{System, both, section};

/// Pages of a memmap.
const MEMMAP: usize = 512;

on_every_backend!(
    sparse
    a_block_with_anothers_memmap_stays_until_that_is_gone,
    what_comes_back_online_holds_no_metadata,
    one_block_goes_with_what_its_sections_hold_of_each_other,
);

fn boot(backend: Backend, block: BlockSize<X86_64>) -> System {
    System::boot(backend, Limits::new(block))
}

/// Asserts that frames stay, because of what section 1 has in section 0, and that nothing has changed.
fn stays(system: &mut System, frames: PfnRange) {
    let before = system.allocator.frames();
    let Err(OfflineError::Allocator { why, .. }) = system.offline(frames) else { panic!("{frames} went") };
    assert_eq!(why.reason, Reason::PINNED);
    assert!(section(0).contains_range(why.frames) && !why.frames.is_empty());
    let user = User::Section(SectionNr::new(1));
    assert_eq!(system.registry().page_use(why.frames.start()), PageUse::InUse(user));
    assert_eq!(system.allocator.frames(), before);
    assert!(system.hotplug.blocks().iter().all(|block| block.state == BlockState::Online));
}

fn a_block_with_anothers_memmap_stays_until_that_is_gone(backend: Backend) {
    let mut system = boot(backend, BlockSize::SECTION);
    stays(&mut system, section(0));
    // Together is no better: they could still be removed one by one.
    stays(&mut system, both());
    let (mut slots, mut steps) = ([SearchSlot::default(); 2], [SectionNr::new(0); 2]);
    let plan = system.registry().removal_plan(SectionNr::new(0), &mut slots, &mut steps).unwrap();
    assert_eq!(plan, Removal::Order(&[1, 0].map(SectionNr::new)));

    let usable = system.usable_in(section(0));
    system.offline(section(1)).unwrap();
    let early = system.offline(section(0));
    assert!(
        matches!(early, Err(OfflineError::Allocator { .. })),
        "section 1 is offline, not gone: {early:?}"
    );
    let freed = system.remove(section(1), &[1]);
    assert!(freed >= MEMMAP, "the memmap of section 1 is the allocator's now: {freed} pages");
    assert_eq!(system.usable_in(section(0)), usable + freed);

    system.offline(section(0)).unwrap();
    assert_eq!(system.remove(section(0), &[0]), 0, "the rest leaves with section 0");
    assert_eq!(system.registry().pieces().count(), 0);
}

fn what_comes_back_online_holds_no_metadata(backend: Backend) {
    let mut system = boot(backend, BlockSize::SECTION);
    let before = system.allocator.frames();
    system.offline(section(1)).unwrap();
    assert_eq!(system.usable_in(section(1)), 0);
    system.online(section(1)).unwrap();
    assert_eq!(system.allocator.frames(), before);

    system.offline(section(1)).unwrap();
    system.remove(section(1), &[1]);
    let before = system.allocator.frames();
    let tag = |system: &System| {
        let memmap = system.registry().own_memmap_pages(SectionNr::new(0)).next().unwrap();
        system.registry().tag(memmap).unwrap()
    };
    let tagged = tag(&system);
    assert!(tagged.is_some());
    system.offline(section(0)).unwrap();
    assert_eq!(system.usable_in(section(0)), 0);
    system.online(section(0)).unwrap();
    assert_eq!(system.allocator.frames(), before, "all but the memmap of section 0 and what belongs to it");
    assert!(system.usable_in(section(0)) <= usize::try_from(section(0).count().get()).unwrap() - MEMMAP);
    assert_eq!(tag(&system), tagged);
}

fn one_block_goes_with_what_its_sections_hold_of_each_other(backend: Backend) {
    let block = BlockSize::new(ByteLen::new(2 * X86_64::SECTION_SIZE)).unwrap();
    let mut system = boot(backend, block);
    let before = system.allocator.frames();
    system.offline(both()).unwrap();
    assert_eq!(system.usable_in(both()), 0);
    system.online(both()).unwrap();
    assert_eq!(system.allocator.frames(), before);
    system.offline(both()).unwrap();
    assert_eq!(system.remove(both(), &[1, 0]), 0, "what is free lies in what is gone");
    assert_eq!(system.registry().pieces().count(), 0);
}
