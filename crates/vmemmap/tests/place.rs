//! A place belongs to one model: a second one neither changes nor looks at what is mapped there, and others have nothing in it
//! or around it.

mod common;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    AddressSpace, ArrayPlace, BootEvent, BootModel, ByteLen, Footprint, LeafSize, LostBlocks, MemoryModel,
    MemoryRange, OtherAddressSpace, Page, PageCount, Pfn, PfnRange, PlaceClaim, RetireError, SectionLoss,
    SectionShape, TearDownError, VirtAddr, VirtRange,
};
use sparsemem_machine::{Which, place};
use sparsemem_page_table::{Choice, Fate, PageTable};
use sparsemem_vmemmap::{ConstBase, Vmemmap};
use sparsemem_x86_64_page_table::X86_64 as Entries;

use common::{
    BLOCK, GIB, MIB, NODE, Odd, OnPaper, Rcu, UPPER, machine, on_paper, section, upper_array, upper_array_of,
    why,
};

type At<A> = Vmemmap<X86_64, Page, Rcu, ConstBase<A>, { X86_64::NR_ROOTS_LEN }>;

/// Declares a place in the upper half: nothing here reaches a descriptor.
macro_rules! far {
    ($name:ident: $start:literal) => {
        struct $name;

        // SAFETY: nothing else of this program uses these addresses, nor any in the 512 GiB around them.
        unsafe impl ArrayPlace for $name {
            const START: u64 = $start;
            const BYTES: u64 = 1 << 40;

            fn claim() -> &'static PlaceClaim {
                static CLAIM: PlaceClaim = PlaceClaim::new();
                &CLAIM
            }
        }
    };
}

far!(Far: 0xffff_ea00_0000_0000);
far!(Farther: 0xffff_c000_0000_0000);
far!(Failing: 0xffff_d000_0000_0000);
far!(Occupied: 0xffff_e000_0000_0000);

#[test]
fn a_second_model_keeps_away_from_a_place_until_the_first_is_down() {
    let mut env = on_paper();
    let untouched = env.0.state_digest();
    let (mut first, mut second) = (place::<At<Far>>(), place::<At<Far>>());
    let memory = [MemoryRange { frames: section(0), node: NODE }];
    let before = second.footprint();
    assert_eq!((before.memmap_bytes, before.page_table_bytes), (0, 0));
    let mut writer = first.write().unwrap();
    let up = writer.boot(&mut env, memory.into_iter(), &mut |event| panic!("{event:?}")).unwrap();
    drop(writer);
    assert_eq!(up.sections, 1);
    let of_first = first.footprint();
    assert_eq!(of_first.memmap_bytes, 2 * MIB);

    // Neither what comes later nor what is there at boot.
    let mut writer = second.write().unwrap();
    assert_eq!(why(writer.install(&mut env, section(1), NODE)), SectionLoss::PlaceTaken);
    let mut events = Vec::new();
    let lost = writer.boot(&mut env, memory.into_iter(), &mut |event| events.push(event)).unwrap();
    drop(writer);
    assert_eq!((lost.sections, lost.lost), (0, 1));
    assert!(matches!(*events, [BootEvent::SectionLost { why: SectionLoss::PlaceTaken, .. }]), "{events:?}");
    let of_second = second.footprint();
    let seen = Footprint { memmap_bytes: 0, page_table_bytes: 0, ..of_second };
    assert_eq!(of_second, seen, "the first model's mappings are not the second's");
    assert_eq!(first.footprint(), of_first);

    // A model that is down without having had the place does not give it back.
    second.tear_down(&mut env).unwrap();
    assert_eq!(why(second.write().unwrap().install(&mut env, section(1), NODE)), SectionLoss::PlaceTaken);

    // The place goes from one to the other, and back.
    first.tear_down(&mut env).unwrap();
    assert_eq!(env.0.state_digest(), untouched);
    second.write().unwrap().install(&mut env, section(1), NODE).unwrap();
    assert_eq!(second.footprint().memmap_bytes, 2 * MIB);
    assert_eq!(why(first.write().unwrap().install(&mut env, section(0), NODE)), SectionLoss::PlaceTaken);
    second.tear_down(&mut env).unwrap();
    first.write().unwrap().install(&mut env, section(0), NODE).unwrap();
    first.tear_down(&mut env).unwrap();
    assert_eq!(env.0.state_digest(), untouched);
}

/// The most that safe code can do with a claim: that it cannot give one back is a test of `PlaceClaim`.
#[test]
fn whoever_takes_a_claim_keeps_models_out() {
    let mut env = on_paper();
    let untouched = env.0.state_digest();
    assert!(Farther::claim().take());
    let mut model = place::<At<Farther>>();
    assert_eq!(why(model.write().unwrap().install(&mut env, section(0), NODE)), SectionLoss::PlaceTaken);
    model.tear_down(&mut env).unwrap();
    assert!(!Farther::claim().take(), "it is not the model's to give back");
    assert_eq!(env.0.state_digest(), untouched);
}

/// Mappings of others below, above and at the very end of the block that the array lies in.
#[test]
fn a_place_with_mappings_of_others_in_its_block_is_refused() {
    let last_block = u64::MAX - BLOCK + 1;
    for (block, other, leaf) in [
        (UPPER, UPPER, LeafSize::Size4KiB),
        (UPPER, UPPER + GIB - 4096, LeafSize::Size4KiB),
        (UPPER, UPPER + GIB + GIB / 2, LeafSize::Size4KiB),
        (UPPER, UPPER + 2 * GIB, LeafSize::Size2MiB),
        (UPPER, UPPER + BLOCK - 2 * MIB, LeafSize::Size2MiB),
        (last_block, u64::MAX - 8191, LeafSize::Size4KiB),
    ] {
        let mut env = on_paper();
        let model = upper_array(block + GIB);
        let at = VirtAddr::new(other);
        let range = VirtRange::from_start_count(at, ByteLen::new(4096)).unwrap();
        // SAFETY: the machine's root table, which nobody else changes.
        let tables = unsafe { PageTable::<Entries>::new(env.root(), env.depth()) };
        let mut lost = LostBlocks::default();
        let choose = |_, size| if size <= leaf { Choice::Place } else { Choice::Smaller };
        let made = tables.populate(&mut env, NODE, range, choose, &mut lost).unwrap();
        assert_eq!(made.leaves().total(), 1);
        let of_others = env.0.state_digest();

        let mut writer = model.write().unwrap();
        for _ in 0..2 {
            let refused = why(writer.install(&mut env, section(0), NODE));
            assert_eq!(refused, SectionLoss::PlaceShared { at });
            assert_eq!(env.0.state_digest(), of_others);
        }
        // It is looked again, and then never again: later mappings of others are theirs to keep away.
        let gone = tables.unmap(&mut env, range, |_| Fate::Drop, &mut lost).unwrap();
        assert_eq!((gone.dropped().total(), lost.count()), (1, 0));
        writer.install(&mut env, section(0), NODE).unwrap();
        assert!(writer.retire(&mut env, section(0)).unwrap().lost.is_empty());
        assert!(env.0.balance().is_zero(), "{:?}", env.0.balance());
    }
}

#[test]
fn mappings_of_others_in_the_next_block_do_not_matter() {
    let mut env = on_paper();
    let (low, high) = (upper_array(UPPER + BLOCK - GIB), upper_array(UPPER + BLOCK));
    low.write().unwrap().install(&mut env, section(0), NODE).unwrap();
    high.write().unwrap().install(&mut env, section(0), NODE).unwrap();
    for model in [&low, &high] {
        assert!(model.write().unwrap().retire(&mut env, section(0)).unwrap().lost.is_empty());
    }
    assert!(env.0.balance().is_zero());
}

/// Memory of the machine of the model, page tables of another one: none of the operations begins.
#[test]
fn a_model_keeps_to_the_page_tables_that_it_came_up_with() {
    let (mut env, mut other) = (on_paper(), OnPaper(machine(512 * MIB)));
    let (own, given) = (env.root(), other.root());
    assert_ne!(own, given);
    let wrong = OtherAddressSpace { own, given };
    let mut model = upper_array(UPPER);
    let mut writer = model.write().unwrap();
    writer.install(&mut env, section(0), NODE).unwrap();
    let up = (env.0.state_digest(), other.0.state_digest());
    let refused = why(writer.install(&mut other, section(1), NODE));
    assert_eq!(refused, SectionLoss::OtherAddressSpace(wrong));
    let refused = writer.retire(&mut other, section(0));
    assert_eq!(refused, Err(RetireError::OtherAddressSpace { frames: section(0), why: wrong }));
    drop(writer);
    assert_eq!(model.tear_down(&mut other), Err(TearDownError::OtherAddressSpace(wrong)));
    assert!(model.is_valid(Pfn::new(0)));
    assert_eq!((env.0.state_digest(), other.0.state_digest()), up);
    model.tear_down(&mut env).unwrap();
    assert!(env.0.balance().is_zero());
    // A model that is down may come up with any.
    model.write().unwrap().install(&mut other, section(1), NODE).unwrap();
    model.tear_down(&mut other).unwrap();
    assert!(other.0.balance().is_zero());
}

/// Every byte that the machine gave is in the footprint, under its own name.
#[test]
fn what_an_array_takes_is_counted() {
    let mut env = on_paper();
    let mut model = upper_array(UPPER);
    let fresh = model.footprint();
    let half =
        PfnRange::from_start_count(Pfn::new(0), PageCount::new(X86_64::PAGES_PER_SECTION / 2)).unwrap();
    // A large leaf takes the tables above it; small leaves take one more.
    for (frames, memmap, tables) in [(section(1), 2 * MIB, 2), (half, 3 * MIB, 3)] {
        model.write().unwrap().install(&mut env, frames, NODE).unwrap();
        let now = model.footprint();
        assert_eq!((now.memmap_bytes, now.page_table_bytes), (memmap, tables * 4096));
        let of_table = now.table_bytes - fresh.table_bytes;
        // The root has planes.
        assert_eq!(now.plane_bytes, of_table, "two words of bits beside the two words of an entry");
        let counted = of_table + now.plane_bytes + now.usage_bytes + now.memmap_bytes + now.page_table_bytes;
        assert_eq!(counted, env.0.balance().total().bytes);
    }
    assert!(model.write().unwrap().retire(&mut env, section(1)).unwrap().lost.is_empty());
    let now = model.footprint();
    assert_eq!((now.memmap_bytes, now.page_table_bytes), (MIB, 3 * 4096));
    model.tear_down(&mut env).unwrap();
    assert_eq!(model.footprint(), fresh);
}

#[test]
fn a_dynamic_base_prints_its_place() {
    let text = format!("{:?}", upper_array(UPPER).placement().base());
    assert!(text.contains("0xffffeb0000000000") && text.contains(&(GIB / 2).to_string()), "{text}");
}

/// Whichever request for memory fails, the place is free again.
#[test]
fn a_first_installation_that_fails_gives_the_place_up() {
    let mut env = on_paper();
    let untouched = env.0.state_digest();
    let mut model = place::<At<Failing>>();
    let mut refused = 0;
    loop {
        env.0.faults().fail_nth(Which::All, refused);
        let installed = model.write().unwrap().install(&mut env, section(0), NODE);
        env.0.faults().heal();
        if installed.is_ok() {
            break;
        }
        refused += 1;
        assert!(Failing::claim().take(), "the place is kept after {installed:?}");
        // SAFETY: it was taken a line above, and nothing is there.
        unsafe { Failing::claim().give_back() };
    }
    assert!(refused > 3, "{refused} requests were refused");
    assert!(!Failing::claim().take());
    model.tear_down(&mut env).unwrap();
    assert_eq!(env.0.state_digest(), untouched);
}

/// A leaf of others in the array's own addresses would be used, and zeroed, as descriptors.
#[test]
fn a_place_that_others_have_mapped_is_refused_and_not_kept() {
    let mut env = on_paper();
    // SAFETY: the machine's own tables, which nobody else changes.
    let tables = unsafe { PageTable::<Entries>::new(env.root(), env.depth()) };
    let page = VirtRange::from_start_count(VirtAddr::new(Occupied::START + GIB), ByteLen::new(4096)).unwrap();
    let mut lost = LostBlocks::default();
    let _ = tables.populate(&mut env, NODE, page, |_, _| Choice::Smaller, &mut lost).unwrap();
    let model = place::<At<Occupied>>();
    let refused = model.write().unwrap().install(&mut env, section(0), NODE);
    assert_eq!(why(refused), SectionLoss::PlaceShared { at: page.start() });
    assert!(Occupied::claim().take(), "a place that was refused is kept");
}

/// Whoever has `&mut` of a model knows that there is no writer, also if one was forgotten.
#[test]
fn a_forgotten_writer_ends_with_the_model() {
    let mut env = on_paper();
    let mut model = upper_array(UPPER);
    core::mem::forget(model.write());
    assert!(model.write().is_none());
    model.tear_down(&mut env).unwrap();
    assert!(model.write().is_some());
}

/// 2 MiB hold the descriptors of a section and of some subsections of the next: those come and go as others do.
#[test]
fn an_array_that_ends_within_a_section_gives_its_memory_back() {
    let mut env = on_paper();
    let untouched = env.0.state_digest();
    let mut model = upper_array_of::<Odd>(UPPER, 2 * MIB);
    let fresh = model.footprint();
    let start = section(1).start().get();
    let part = PfnRange::new(Pfn::new(start), Pfn::new(start + X86_64::PAGES_PER_SUBSECTION)).unwrap();
    for _ in 0..2 {
        let mut writer = model.write().unwrap();
        writer.install(&mut env, part, NODE).unwrap();
        assert!(writer.retire(&mut env, part).unwrap().lost.is_empty());
        drop(writer);
        assert_eq!((model.footprint(), env.0.state_digest()), (fresh, untouched));
        model.write().unwrap().install(&mut env, part, NODE).unwrap();
        model.tear_down(&mut env).unwrap();
        assert_eq!((model.footprint(), env.0.state_digest()), (fresh, untouched));
    }
}
