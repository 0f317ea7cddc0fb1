//! A place belongs to one model: a second one neither changes nor looks at what is mapped there, and page tables are shared
//! with nobody, or under one writer slot.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    AddressSpace, ArrayPlace, Block, BootEvent, BootModel, ByteLen, Footprint, ForeignBlock, InstallError,
    LeafSize, LinkRefused, LostBlocks, MemoryModel, MemoryRange, MetadataMemory, NodeId, OtherAddressSpace,
    OutOfMemory, Page, PageCount, PagingDepth, Pfn, PfnRange, PhysAddr, PhysRange, PlaceClaim, Rejected,
    RetireError, SectionLoss, SectionShape, TearDownError, VirtAddr, VirtRange, WriterSlot, forward_to_field,
};
use sparsemem_machine::{Access, HostRcu, Machine, MachineConfig, Which, place, probe};
use sparsemem_page_table::{Choice, Fate, PageTable};
use sparsemem_section::{ConstNew, RootedTable, SparseModel};
use sparsemem_vmemmap::{ConstBase, DynamicBase, VirtualArray, Vmemmap};
use sparsemem_x86_64_page_table::X86_64 as Entries;

const NODE: NodeId = NodeId::new(0);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What the array's page tables below one entry of the top-level table translate.
const BLOCK: u64 = 512 * GIB;
/// A block of the upper half: addresses that this program does not have.
const UPPER: u64 = 0xffff_eb00_0000_0000;

struct Readers;
type Rcu = HostRcu<Readers>;
type Table = RootedTable<X86_64, Page, { X86_64::NR_ROOTS_LEN }>;
type At<A> = Vmemmap<X86_64, Page, Rcu, ConstBase<A>, { X86_64::NR_ROOTS_LEN }>;
type Placed = Vmemmap<X86_64, Page, Rcu, DynamicBase, { X86_64::NR_ROOTS_LEN }>;

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

/// The machine's memory, with page tables that no processor uses.
struct OnPaper(Machine);

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl [] PhysMap for OnPaper => 0);

// SAFETY: the machine's own blocks.
unsafe impl MetadataMemory for OnPaper {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.0.alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.0.free(block)
    }
}

// SAFETY: tables of the machine; there is no processor that could use them.
unsafe impl AddressSpace for OnPaper {
    fn root(&self) -> PhysAddr {
        self.0.root()
    }

    fn depth(&self) -> PagingDepth {
        self.0.depth()
    }

    fn flush(&mut self, _range: VirtRange) {}
}

/// A machine with this much memory, and half a GiB of addresses for each of two arrays.
fn machine(bytes: u64) -> Machine {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(bytes)).unwrap();
    Machine::new(&MachineConfig::new().memory(memory, NODE).vmemmap_bytes(GIB)).unwrap()
}

fn on_paper() -> OnPaper {
    OnPaper(machine(256 * MIB))
}

fn section(nr: u64) -> PfnRange {
    let pages = X86_64::PAGES_PER_SECTION;
    PfnRange::from_start_count(Pfn::new(nr * pages), PageCount::new(pages)).unwrap()
}

fn why<T: core::fmt::Debug>(result: Result<T, InstallError>) -> SectionLoss {
    match result {
        Err(InstallError::NoMetadata { why, lost, .. }) if lost.is_empty() => why,
        other => panic!("{other:?}"),
    }
}

/// An array of half a GiB, for whose addresses no processor asks.
fn upper_array(start: u64) -> Box<Placed> {
    let model = place::<Placed>();
    let start = usize::try_from(start).unwrap();
    let start = NonNull::new(core::ptr::without_provenance_mut(start)).unwrap();
    // SAFETY: nothing of this program uses addresses of the upper half. Where a test breaks the promise to be alone in the
    // block, it is about what the model then finds, on tables that no processor uses.
    unsafe { model.placement().base().reserve(start, GIB / 2) };
    model
}

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

/// Each with a slot of its own, they could change the tables between them at the same time.
#[test]
fn two_models_without_a_common_writer_do_not_get_one_block() {
    let mut env = on_paper();
    let untouched = env.0.state_digest();
    let (first, second) = (upper_array(UPPER), upper_array(UPPER + GIB / 2));
    first.write().unwrap().install(&mut env, section(0), NODE).unwrap();
    let with_first = env.0.state_digest();
    let refused = why(second.write().unwrap().install(&mut env, section(0), NODE));
    assert_eq!(refused, SectionLoss::PlaceShared { at: VirtAddr::new(UPPER) });
    assert_eq!(env.0.state_digest(), with_first);
    assert!(first.write().unwrap().retire(&mut env, section(0)).unwrap().lost.is_empty());
    assert_eq!(env.0.state_digest(), untouched);
}

/// A machine, and somebody who is asked whether a mapping may be.
struct Asking<'e> {
    machine: &'e mut Machine,
    may_be: &'e dyn Fn() -> bool,
}

// SAFETY: the borrow keeps the machine.
forward_to_field!(unsafe impl ['e] PhysMap for Asking<'e> => machine);

// SAFETY: the machine's own blocks.
unsafe impl MetadataMemory for Asking<'_> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.machine.alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.machine.free(block)
    }
}

// SAFETY: that of the machine; nobody who is asked here unwinds, or the test fails.
unsafe impl AddressSpace for Asking<'_> {
    fn root(&self) -> PhysAddr {
        self.machine.root()
    }

    fn depth(&self) -> PagingDepth {
        self.machine.depth()
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        if !(self.may_be)() {
            return Err(LinkRefused { at });
        }
        self.machine.linked(at, to, size)
    }

    fn flush(&mut self, range: VirtRange) {
        self.machine.flush(range);
    }
}

/// An array on half of the machine's window.
fn half(machine: &Machine, nr: usize, slot: &'static WriterSlot) -> Box<Placed> {
    let array = VirtualArray::<DynamicBase>::NEW;
    let bytes = usize::try_from(GIB / 2).unwrap();
    let start = NonNull::new(machine.window_ptr().as_ptr().wrapping_add(nr * bytes)).unwrap();
    // SAFETY: the halves of the window, one for each of two models, which share a writer slot.
    unsafe { array.base().reserve(start, GIB / 2) };
    Box::new(SparseModel::with_shared_writer(Table::new(), array, slot))
}

/// The tables above both halves are made by whoever comes first, and freed by whoever goes last. While one model writes,
/// in the midst of an operation too, the other cannot begin.
#[test]
fn models_with_a_common_writer_share_a_block() {
    static SLOT: WriterSlot = WriterSlot::new();
    let mut machine = machine(256 * MIB);
    let untouched = machine.state_digest();
    let (mut first, mut second) = (half(&machine, 0, &SLOT), half(&machine, 1, &SLOT));
    let part = |nr: u64| PfnRange::from_start_count(Pfn::new(nr * 512), PageCount::new(512)).unwrap();

    let writer = first.write().unwrap();
    assert!(second.write().is_none() && first.write().is_none());
    drop(writer);
    let writer = second.write().unwrap();
    assert!(first.write().is_none());
    drop(writer);

    // Refused in the midst of it: the tables that the first made are in place, and the second cannot come to use them.
    let asked = Cell::new(0);
    let may_be = || {
        assert!(second.write().is_none(), "it would share tables that go away in a moment");
        asked.set(asked.get() + 1);
        false
    };
    let mut env = Asking { machine: &mut machine, may_be: &may_be };
    let refused = why(first.write().unwrap().install(&mut env, part(0), NODE));
    assert!(matches!(refused, SectionLoss::Mapping(_)), "{refused:?}");
    assert_eq!((asked.get(), machine.state_digest()), (1, untouched));

    first.write().unwrap().install(&mut machine, part(0), NODE).unwrap();
    let with_first = machine.state_digest();
    // The second fails where the first is up: what is undone is not the first's.
    let mut env = Asking { machine: &mut machine, may_be: &|| false };
    let refused = why(second.write().unwrap().install(&mut env, part(1), NODE));
    assert!(matches!(refused, SectionLoss::Mapping(_)), "{refused:?}");
    assert_eq!(machine.state_digest(), with_first);
    second.write().unwrap().install(&mut machine, part(1), NODE).unwrap();
    machine.mirror_matches_tables().unwrap();

    for (model, pfn) in [(&first, 0), (&second, 512)] {
        let page = model.lookup(Pfn::new(pfn)).unwrap();
        assert_eq!(probe(page.cast().as_ptr()), Access::Readable);
        let reader = model.read();
        assert_eq!(reader.page(Pfn::new(pfn)).unwrap().private.swap(pfn + 1, Ordering::Relaxed), 0);
        assert!(reader.page(Pfn::new(512 - pfn)).is_none(), "the other's frames");
    }

    // The first goes, with its mappings; what the second has stays.
    assert!(first.write().unwrap().retire(&mut machine, part(0)).unwrap().lost.is_empty());
    machine.mirror_matches_tables().unwrap();
    let reader = second.read();
    assert_eq!(reader.page(Pfn::new(512)).unwrap().private.load(Ordering::Relaxed), 513);
    drop(reader);
    assert!(second.write().unwrap().retire(&mut machine, part(1)).unwrap().lost.is_empty());
    assert_eq!(machine.state_digest(), untouched);

    // The same with teardown, the other way round.
    first.write().unwrap().install(&mut machine, part(0), NODE).unwrap();
    second.write().unwrap().install(&mut machine, part(1), NODE).unwrap();
    first.tear_down(&mut machine).unwrap();
    machine.mirror_matches_tables().unwrap();
    assert!(second.is_valid(Pfn::new(512)) && machine.mirrored().count() == 8);
    second.tear_down(&mut machine).unwrap();
    assert_eq!(machine.state_digest(), untouched);
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
        let counted = of_table + now.usage_bytes + now.memmap_bytes + now.page_table_bytes;
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

/// `&mut` of one model says nothing about the other that changes the same tables.
#[test]
fn a_teardown_keeps_off_tables_that_another_model_writes_to() {
    static SLOT: WriterSlot = WriterSlot::new();
    let mut machine = machine(256 * MIB);
    let untouched = machine.state_digest();
    let (mut first, mut second) = (half(&machine, 0, &SLOT), half(&machine, 1, &SLOT));
    first.write().unwrap().install(&mut machine, section(0), NODE).unwrap();
    let up = machine.state_digest();
    let mut writer = second.write().unwrap();
    assert_eq!(first.tear_down(&mut machine), Err(TearDownError::SharedSlotTaken));
    assert_eq!(machine.state_digest(), up, "the refused teardown changed something");
    assert!(first.is_valid(Pfn::new(0)));
    writer.install(&mut machine, section(1), NODE).unwrap();
    drop(writer);
    first.tear_down(&mut machine).unwrap();
    assert!(second.write().is_some(), "the teardown kept the slot");
    second.tear_down(&mut machine).unwrap();
    assert_eq!(machine.state_digest(), untouched);
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
