//! Folded compounds: what they take, what readers find, and that every failure leaves everything as it was.

mod common;

use std::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    CompoundOrder, FoldError, InstallError, MemoryModel, MemoryRange, NodeId, Page, PageCount,
    PageDescriptor, Pfn, PfnRange, ReadOnlyTails, Reclaim, SectionLoss, SectionShape, initialise,
    initialise_fresh, reset,
};
use sparsemem_fixture::{Env, NODE};
use sparsemem_machine::{HostRcu, Machine, MachineConfig, Which, place};
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

use common::{GIB, MIB, Odd, section, why};

struct Readers;
type ModelOf<P> = Vmemmap<X86_64, P, HostRcu<Readers>, DynamicBase, { X86_64::NR_ROOTS_LEN }>;

const PAGE: u64 = 4096;
/// A page that compounds share, and its record.
const SHARED: u64 = PAGE + 32;

fn order(order: u8) -> CompoundOrder {
    CompoundOrder::new(order).unwrap()
}

fn read_only(order: CompoundOrder) -> ReadOnlyTails {
    // SAFETY: a test that stores to a tail's descriptor expects the fault.
    unsafe { ReadOnlyTails::promise(order) }
}

/// Compounds of 2 MiB and of 1 GiB.
fn huge() -> [CompoundOrder; 2] {
    [order(9), order(18)]
}

fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

/// A model that is alone on its machine.
fn up_with<P: PageDescriptor>() -> (Env, Box<ModelOf<P>>) {
    let env = Env::new();
    let model = place::<ModelOf<P>>();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(env.machine.window_ptr(), env.machine.window().count().get()) };
    (env, model)
}

fn up() -> (Env, Box<ModelOf<Page>>) {
    up_with()
}

/// Folds the memory of sections, one after the other.
fn fold(env: &mut Env, model: &ModelOf<Page>, memory: PfnRange, order: CompoundOrder) {
    for (_, part) in memory.by_section::<X86_64>() {
        model.write().unwrap().install_compounds(env, part, NODE, read_only(order)).unwrap();
    }
    assert_eq!(env.machine.mirror_matches_tables(), Ok(()));
}

fn retire(env: &mut Env, model: &ModelOf<Page>, memory: PfnRange) {
    let retired = model.write().unwrap().retire(env, memory).unwrap();
    assert!(retired.lost.is_empty());
    assert_eq!(env.machine.mirror_matches_tables(), Ok(()));
}

fn refusal(result: Result<(), InstallError>) -> FoldError {
    match why(result) {
        SectionLoss::Unfoldable(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_gibibyte_of_compounds_takes_a_page_for_each_and_one_for_all() {
    let gibibyte = frames(GIB / PAGE, 2 * GIB / PAGE);
    let heads = huge().map(|order| gibibyte.count().get() / order.frames().get());
    assert_eq!(heads, [512, 1]);
    for (order, heads) in huge().into_iter().zip(heads) {
        let (mut env, model) = up();
        let in_model = model.footprint().table_bytes;
        fold(&mut env, &model, gibibyte, order);
        let footprint = model.footprint();
        assert_eq!(footprint.memmap_bytes, heads * PAGE + SHARED, "instead of 16 MiB");
        // A table for each two MiB of descriptors, and those above.
        assert_eq!(footprint.page_table_bytes, (8 + 2) * PAGE);
        let taken = footprint.memmap_bytes + footprint.page_table_bytes;
        let others = footprint.usage_bytes + footprint.table_bytes + footprint.plane_bytes;
        // The pointers to the roots are in the model.
        assert_eq!(env.bytes_out(), taken + others - in_model, "what is reported is what is out");
        retire(&mut env, &model, gibibyte);
        assert!(env.is_whole());
        assert_eq!(model.footprint().memmap_bytes, 0);
    }
}

#[test]
fn readers_find_heads_of_their_own_and_tails_that_are_alike() {
    let (mut env, model) = up();
    fold(&mut env, &model, section(8), order(9));
    let start = section(8).start().get();
    let reader = model.read();
    let page = |offset| reader.page(Pfn::new(start + offset)).unwrap();
    for offset in [0, 63, 512, 512 + 63] {
        page(offset).private.store(offset + 1, Ordering::Relaxed);
    }
    for offset in [0, 63, 512, 512 + 63] {
        assert_eq!(page(offset).private.load(Ordering::Relaxed), offset + 1);
    }
    let of = |tail: u64| env.machine.translate(common::address_of(page(tail))).unwrap().unwrap().to;
    assert!(of(0) != of(512) && of(64) == of(511) && of(64) == of(512 + 64) && of(64) == of(32767));
    assert!([64, 511, 32767].iter().all(|tail| page(*tail).private.load(Ordering::Relaxed) == 0));
    // Descriptors of different frames have different addresses, so the way back is the same for all.
    for offset in [0, 64, 511, 512, 32767] {
        let (pfn, head) = (Pfn::new(start + offset), Pfn::new(start + offset / 512 * 512));
        // SAFETY: a valid frame's descriptor, protected by the reader.
        assert_eq!(unsafe { model.pfn_of(page(offset).into()) }, pfn);
        let found = reader.head(pfn).unwrap();
        assert!(found.0 == head && core::ptr::eq(found.1, page(offset / 512 * 512)));
    }
    let folded = model.folded(pfn_section(8), &HostRcu::<Readers>::enter()).unwrap();
    assert_eq!((folded.order, folded.own), (order(9), PageCount::new(64)));
    assert!(reader.head(Pfn::new(start - 1)).is_none(), "a frame without a descriptor has no head");
    let past = section(9).start();
    drop(reader);
    model.write().unwrap().install(&mut env, section(9), NODE).unwrap();
    assert!(model.folded(pfn_section(9), &HostRcu::<Readers>::enter()).is_none());
    assert_eq!(model.read().head(past).unwrap().0, past);
    retire(&mut env, &model, frames(start, section(9).end().get()));
}

fn pfn_section(nr: u64) -> sparsemem_core::SectionNr {
    sparsemem_core::SectionNr::new(nr)
}

#[test]
fn whoever_writes_descriptors_leaves_tails_alone() {
    let (mut env, model) = up();
    fold(&mut env, &model, section(8), order(9));
    model.write().unwrap().install(&mut env, section(9), NODE).unwrap();
    let both = frames(section(8).start().get(), section(9).end().get());
    // A store to a tail would end the process.
    let own = 64 * 64 + X86_64::PAGES_PER_SECTION;
    assert_eq!((initialise(&*model, both).get(), reset(&*model, both).get()), (own, own));
    // SAFETY: nobody else uses the model.
    assert_eq!(unsafe { initialise_fresh(&*model, both) }.get(), own);
    retire(&mut env, &model, both);
    assert!(env.is_whole());
}

#[test]
fn compounds_of_an_order_and_a_node_share_one_page_and_it_goes_with_the_last() {
    let memory = |from, to| {
        sparsemem_core::PhysRange::new(sparsemem_core::PhysAddr::new(from), sparsemem_core::PhysAddr::new(to))
            .unwrap()
    };
    let config =
        MachineConfig::new().memory(memory(0, GIB), NODE).memory(memory(GIB, 2 * GIB), NodeId::new(1));
    let mut machine = Machine::new(&config.vmemmap_bytes(GIB)).unwrap();
    let model = place::<ModelOf<Page>>();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(machine.window_ptr(), machine.window().count().get()) };
    let heads = |order: CompoundOrder| X86_64::PAGES_PER_SECTION / order.frames().get() * PAGE;
    let mut expected = 0;
    // The number of a section, its order and node, and whether it brings another shared page.
    let steps = [(16, 9, 0, true), (17, 9, 0, false), (18, 10, 0, true), (19, 9, 1, true), (20, 9, 1, false)];
    for (nr, log2, node, is_first) in steps {
        model
            .write()
            .unwrap()
            .install_compounds(&mut machine, section(nr), NodeId::new(node), read_only(order(log2)))
            .unwrap();
        expected += heads(order(log2)) + if is_first { SHARED } else { 0 };
        assert_eq!(model.footprint().memmap_bytes, expected, "section {nr}");
    }
    for (nr, log2, is_last) in [(19, 9, false), (16, 9, false), (20, 9, true), (18, 10, true), (17, 9, true)]
    {
        let retired = model.write().unwrap().retire(&mut machine, section(nr)).unwrap();
        assert!(retired.lost.is_empty());
        expected -= heads(order(log2)) + if is_last { SHARED } else { 0 };
        assert_eq!(model.footprint().memmap_bytes, expected, "section {nr}");
        assert_eq!(machine.mirror_matches_tables(), Ok(()));
    }
    assert!(expected == 0 && machine.balance().is_zero());
}

#[test]
fn what_cannot_be_folded_is_refused_and_nothing_changes() {
    let (mut env, model) = up();
    let mut writer = model.write().unwrap();
    fn install(
        writer: &mut sparsemem_core::Writer<'_, ModelOf<Page>>,
        env: &mut Env,
        memory: PfnRange,
        log2: u8,
    ) -> FoldError {
        let before = env.machine.state_digest();
        let refused = refusal(writer.install_compounds(env, memory, NODE, read_only(order(log2))));
        assert!(env.machine.state_digest() == before);
        refused
    }
    let start = section(8).start().get();
    let (own, half) = (PageCount::new(64), frames(start, start + 0x200));
    assert_eq!(install(&mut writer, &mut env, half, 6), FoldError::TooSmall { order: order(6), own });
    assert_eq!(
        install(&mut writer, &mut env, half, 10),
        FoldError::Unaligned { frames: half, order: order(10) }
    );
    writer.install_compounds(&mut env, half, NODE, read_only(order(9))).unwrap();
    let other = FoldError::OtherOrder { section: pfn_section(8), order: order(9) };
    assert_eq!(install(&mut writer, &mut env, frames(start + 0x400, start + 0x800), 10), other);
    // Other frames of the section may have descriptors of their own, or be compounds of the same order.
    writer.install(&mut env, frames(start + 0x200, start + 0x400), NODE).unwrap();
    writer
        .install_compounds(&mut env, frames(start + 0x400, start + 0x800), NODE, read_only(order(9)))
        .unwrap();
    assert_eq!(
        model.folded(pfn_section(8), &HostRcu::<Readers>::enter()).unwrap().subsections.words()[0],
        0b1101
    );
    let _ = writer.retire(&mut env, frames(start, start + 0x800)).unwrap();
    assert!(env.is_whole());
}

/// A large leaf of which a part is needed stays, and so nothing can be shared where it is.
#[test]
fn descriptors_that_are_there_are_not_replaced() {
    let (mut env, model) = up();
    let mut writer = model.write().unwrap();
    let start = section(8).start().get();
    let (first, rest) = (frames(start, start + 0x200), frames(start + 0x200, section(8).end().get()));
    writer.install(&mut env, section(8), NODE).unwrap();
    let _ = writer.retire(&mut env, first).unwrap();
    let before = env.machine.state_digest();
    let refused = refusal(writer.install_compounds(&mut env, first, NODE, read_only(order(9))));
    assert!(matches!(refused, FoldError::Mapped { .. }), "{refused:?}");
    assert!(env.machine.state_digest() == before && !model.is_valid(first.start()));
    writer.install(&mut env, first, NODE).unwrap();
    let _ = writer.retire(&mut env, frames(start, rest.end().get())).unwrap();
    assert!(env.is_whole());
}

#[test]
fn a_part_of_a_compound_goes_and_comes_back_as_it_likes() {
    let (mut env, model) = up();
    fold(&mut env, &model, section(8), order(10));
    let start = section(8).start().get();
    // The second half of the first compound: tails only.
    let half = frames(start + 0x200, start + 0x400);
    retire(&mut env, &model, half);
    assert_eq!(model.read().head(Pfn::new(start + 0x100)).unwrap().0, Pfn::new(start));
    model.write().unwrap().install(&mut env, half, NODE).unwrap();
    let page = half.start();
    assert_eq!(model.read().head(page).unwrap().0, page);
    assert_eq!(initialise(&*model, half), half.count(), "these have descriptors of their own");
    retire(&mut env, &model, section(8));
    assert!(env.is_whole());
}

#[test]
fn descriptors_that_do_not_fill_pages_are_not_shared() {
    let (mut env, model) = up_with::<Odd>();
    let refused = model.write().unwrap().install_compounds(&mut env, section(8), NODE, read_only(order(9)));
    assert_eq!(refusal(refused), FoldError::Unsupported);
    assert!(env.is_whole());
}

#[test]
fn compounds_in_a_section_of_boot_keep_their_descriptors() {
    let (mut env, model) = up();
    let start = section(8).start().get();
    let ram = frames(start, start + 0x4000);
    let memory = core::iter::once(MemoryRange { frames: ram, node: NODE });
    model.write().unwrap().boot(&mut env, memory, &mut |event| panic!("{event:?}")).unwrap();
    let (hole, before) = (frames(start + 0x4000, start + 0x8000), model.footprint().memmap_bytes);
    fold(&mut env, &model, hole, order(9));
    assert_eq!(
        (model.footprint().memmap_bytes, model.folded(pfn_section(8), &HostRcu::<Readers>::enter())),
        (before, None)
    );
    assert_eq!(initialise(&*model, hole), hole.count());
    let tail = Pfn::new(hole.start().get() + 100);
    assert_eq!(model.read().head(tail).unwrap().0, tail);
}

#[test]
fn heads_lie_in_an_altmap_and_the_shared_page_does_not() {
    let (mut env, model) = up();
    env.memmaps_at(section(1).start());
    fold(&mut env, &model, section(1), order(9));
    assert_eq!(env.in_altmap(), 64, "a page for each head");
    // Compounds of other memory share it, and stay when the altmap goes.
    env.memmaps_anywhere();
    fold(&mut env, &model, section(8), order(9));
    retire(&mut env, &model, section(1));
    assert_eq!((env.in_altmap(), model.footprint().memmap_bytes), (0, 64 * PAGE + SHARED));
    assert!(model.is_valid(section(8).start()));
    retire(&mut env, &model, section(8));
    assert!(env.is_whole());
}

#[test]
fn every_failure_leaves_everything_as_it_was() {
    let (mut env, model) = up();
    for which in [Which::Blocks, Which::Links] {
        for with_neighbour in [false, true] {
            if with_neighbour {
                fold(&mut env, &model, section(9), order(9));
            }
            let before = (env.machine.state_digest(), model.footprint());
            let mut tried = 0;
            loop {
                env.machine.faults().fail_nth(which, tried);
                let made =
                    model.write().unwrap().install_compounds(&mut env, section(8), NODE, read_only(order(9)));
                env.machine.faults().heal();
                assert_eq!(env.machine.mirror_matches_tables(), Ok(()));
                if made.is_ok() {
                    break;
                }
                assert!(env.machine.state_digest() == before.0, "{which:?} {tried}: {made:?}");
                assert!(
                    model.footprint() == before.1
                        && model.folded(pfn_section(8), &HostRcu::<Readers>::enter()).is_none()
                );
                // The later of many are tried less densely.
                tried += 1 + if which == Which::Links { tried / 4 } else { 0 };
            }
            // 64 heads and 448 shared leaves; a usage and a table, and what a neighbour has already: the shared page and
            // its record, the upper tables and the root.
            let requests = match which {
                Which::Links => 512,
                _ if with_neighbour => 64 + 2,
                _ => 64 + 2 + 5,
            };
            assert!(tried >= requests, "{which:?}: {tried}");
            retire(&mut env, &model, section(8));
            if with_neighbour {
                retire(&mut env, &model, section(9));
            }
            assert!(env.is_whole());
        }
    }
}

#[test]
fn a_compound_of_which_the_array_is_taken_down_leaves_nothing() {
    let (mut env, mut model) = up();
    fold(&mut env, &model, section(8), order(9));
    fold(&mut env, &model, section(9), order(12));
    sparsemem_core::BootModel::tear_down(&mut *model, &mut env).unwrap();
    assert!(env.is_whole() && env.machine.mirror_matches_tables().is_ok());
    assert!(model.footprint().memmap_bytes == 0 && MIB > SHARED);
}
