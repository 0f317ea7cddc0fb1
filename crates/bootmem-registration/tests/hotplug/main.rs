//! Hotplug that asks the registry, on all three models: memory does not go from under a memmap, and a memmap does not
//! get into the page allocator's hands.

#![allow(unreachable_pub, reason = "the machine is a module of its own")]

#[path = "../common/mod.rs"]
mod common;
mod frames;
mod world;

use sparsemem_bootmem_registration::{PageUse, PlanSlot, Removal, User};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, PfnRange, SectionNr, SectionShape};
use sparsemem_hotplug::{BlockSize, BlockState, Limits, OfflineError, Reason};
use sparsemem_machine::Machine;
use world::{Bench, Model, machine, section, sections};

/// Pages of a memmap.
const MEMMAP: usize = 512;

on_every_model!(
    a_block_with_anothers_memmap_stays_until_that_is_gone,
    what_comes_back_online_holds_no_metadata,
    one_block_goes_with_what_its_sections_hold_of_each_other
);

fn boot<M: Model>(model: impl Fn(&Machine) -> Box<M>, block: BlockSize<X86_64>) -> Bench<M> {
    let machine = machine();
    Bench::boot(model(&machine), machine, Limits::new(block))
}

/// Asserts that frames stay, because of what section 1 has in section 0, and that nothing has changed.
fn stays<M: Model>(bench: &mut Bench<M>, frames: PfnRange) {
    let before = bench.allocator.clone();
    let Err(OfflineError::Allocator { why, .. }) = bench.offline(frames) else { panic!("{frames} went") };
    assert_eq!(why.reason, Reason::PINNED);
    assert!(section(0).contains_range(why.frames) && !why.frames.is_empty());
    let user = User::Section(SectionNr::new(1));
    assert_eq!(bench.registry().page_use(why.frames.start()), PageUse::InUse(user));
    assert_eq!(bench.allocator, before);
    assert!(bench.hotplug.blocks().iter().all(|block| block.state == BlockState::Online));
}

fn a_block_with_anothers_memmap_stays_until_that_is_gone<M: Model>(model: impl Fn(&Machine) -> Box<M>) {
    let mut bench = boot(model, BlockSize::SECTION);
    stays(&mut bench, section(0));
    // Together is no better: they could still be removed one by one.
    stays(&mut bench, sections(0, 2));
    let (mut slots, mut steps) = ([PlanSlot::default(); 2], [SectionNr::new(0); 2]);
    let plan = bench.registry().removal_plan(SectionNr::new(0), &mut slots, &mut steps).unwrap();
    assert_eq!(plan, Removal::Order(&[1, 0].map(SectionNr::new)));

    let usable = bench.allocator.usable_in(section(0));
    bench.offline(section(1)).unwrap();
    let early = bench.offline(section(0));
    assert!(
        matches!(early, Err(OfflineError::Allocator { .. })),
        "section 1 is offline, not gone: {early:?}"
    );
    let freed = bench.remove(section(1), &[1]);
    assert!(freed >= MEMMAP, "the memmap of section 1 is the allocator's now: {freed} pages");
    assert_eq!(bench.allocator.usable_in(section(0)), usable + freed);

    bench.offline(section(0)).unwrap();
    assert_eq!(bench.remove(section(0), &[0]), 0, "the rest leaves with section 0");
    assert_eq!(bench.registry().pieces().count(), 0);
}

fn what_comes_back_online_holds_no_metadata<M: Model>(model: impl Fn(&Machine) -> Box<M>) {
    let mut bench = boot(model, BlockSize::SECTION);
    let before = bench.allocator.clone();
    bench.offline(section(1)).unwrap();
    assert_eq!(bench.allocator.usable_in(section(1)), 0);
    bench.online(section(1)).unwrap();
    assert_eq!(bench.allocator, before);

    bench.offline(section(1)).unwrap();
    bench.remove(section(1), &[1]);
    let before = bench.allocator.clone();
    let tag = |bench: &Bench<M>| {
        let memmap = bench.registry().own_memmap_pages(SectionNr::new(0)).next().unwrap();
        bench.registry().tag(memmap).unwrap()
    };
    let tagged = tag(&bench);
    assert!(tagged.is_some());
    bench.offline(section(0)).unwrap();
    assert_eq!(bench.allocator.usable_in(section(0)), 0);
    bench.online(section(0)).unwrap();
    assert_eq!(bench.allocator, before, "all but the memmap of section 0 and what belongs to it");
    assert!(before.usable_in(section(0)) <= usize::try_from(section(0).count().get()).unwrap() - MEMMAP);
    assert_eq!(tag(&bench), tagged);
}

fn one_block_goes_with_what_its_sections_hold_of_each_other<M: Model>(model: impl Fn(&Machine) -> Box<M>) {
    let both = BlockSize::new(ByteLen::new(2 * X86_64::SECTION_SIZE)).unwrap();
    let mut bench = boot(model, both);
    let before = bench.allocator.clone();
    bench.offline(sections(0, 2)).unwrap();
    assert_eq!(bench.allocator.usable_in(sections(0, 2)), 0);
    bench.online(sections(0, 2)).unwrap();
    assert_eq!(bench.allocator, before);
    bench.offline(sections(0, 2)).unwrap();
    assert_eq!(bench.remove(sections(0, 2), &[1, 0]), 0, "what is free lies in what is gone");
    assert_eq!(bench.registry().pieces().count(), 0);
}
