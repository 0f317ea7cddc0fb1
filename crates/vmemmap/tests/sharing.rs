//! Page tables are shared with nobody, or under one writer slot.

mod common;
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use sparsemem_core::{
    AddressSpace, ArrayPlace, BootModel, LeafSize, LinkRefused, MemoryModel, PageCount, PagingDepth, Pfn,
    PfnRange, PhysAddr, PlaceClaim, SectionLoss, TearDownError, VirtAddr, VirtRange, WriterSlot,
    forward_to_field,
};
use sparsemem_machine::{Access, Machine, probe};
use sparsemem_section::{ConstNew, SparseModel};
use sparsemem_vmemmap::{ConstBase, DynamicBase, VirtualArray};

use common::{GIB, MIB, NODE, Placed, Rcu, Table, UPPER, machine, on_paper, section, upper_array, why};

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

/// Declares a place in the block at `UPPER` for models with the slot `COMMON`.
macro_rules! place_in_common_block {
    ($name:ident: $start:expr) => {
        struct $name;

        // SAFETY: nothing else of this program uses the block but places that name the same writer slot.
        unsafe impl ArrayPlace for $name {
            const START: u64 = $start;
            const BYTES: u64 = GIB / 2;

            fn claim() -> &'static PlaceClaim {
                static CLAIM: PlaceClaim = PlaceClaim::new();
                &CLAIM
            }

            fn shared_writer() -> Option<&'static WriterSlot> {
                Some(&COMMON)
            }
        }
    };
}

static COMMON: WriterSlot = WriterSlot::new();
place_in_common_block!(Lower: UPPER);
place_in_common_block!(Higher: UPPER + GIB);

/// A model at a constant place, with a slot of its own or a shared one.
fn at<A: ArrayPlace>(
    slot: Option<&'static WriterSlot>,
) -> Box<SparseModel<Table, VirtualArray<ConstBase<A>>, Rcu>> {
    with_slot(VirtualArray::NEW, slot)
}

/// A model of an array, with a slot of its own or a shared one.
fn with_slot<B>(
    array: VirtualArray<B>,
    slot: Option<&'static WriterSlot>,
) -> Box<SparseModel<Table, VirtualArray<B>, Rcu>> {
    Box::new(match slot {
        None => SparseModel::with(Table::new(), array),
        Some(slot) => SparseModel::with_shared_writer(Table::new(), array, slot),
    })
}

/// Which slot a model has is chosen by safe code: with another slot than its neighbour it would change the neighbour's tables
/// while the neighbour does.
#[test]
fn a_model_with_another_slot_than_its_place_names_gets_no_page_tables() {
    static OTHER: WriterSlot = WriterSlot::new();
    let mut env = on_paper();
    let untouched = env.0.state_digest();
    let mut first = at::<Lower>(Some(&COMMON));
    first.write().unwrap().install(&mut env, section(0), NODE).unwrap();
    let up = env.0.state_digest();
    for slot in [None, Some(&OTHER)] {
        let mut second = at::<Higher>(slot);
        let refused = why(second.write().unwrap().install(&mut env, section(1), NODE));
        assert_eq!((refused, env.0.state_digest()), (SectionLoss::OtherWriter, up));
        second.tear_down(&mut env).unwrap();
    }
    // The refused ones did not keep the place.
    let mut second = at::<Higher>(Some(&COMMON));
    second.write().unwrap().install(&mut env, section(1), NODE).unwrap();
    first.tear_down(&mut env).unwrap();
    second.tear_down(&mut env).unwrap();
    assert_eq!(env.0.state_digest(), untouched);
}

static NAMED: WriterSlot = WriterSlot::new();

/// A place that says when its claim is looked at.
struct Watched;
static ASKED: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

// SAFETY: nothing else of this program uses the block.
unsafe impl ArrayPlace for Watched {
    const START: u64 = UPPER + (8 << 39);
    const BYTES: u64 = GIB / 2;

    fn claim() -> &'static PlaceClaim {
        static CLAIM: PlaceClaim = PlaceClaim::new();
        ASKED.store(true, Ordering::Relaxed);
        &CLAIM
    }

    fn shared_writer() -> Option<&'static WriterSlot> {
        Some(&NAMED)
    }
}

/// Not even for a moment: a model that has the right slot could find the place taken.
#[test]
fn a_model_with_another_slot_does_not_touch_the_claim() {
    let mut env = on_paper();
    let model = at::<Watched>(None);
    let refused = why(model.write().unwrap().install(&mut env, section(0), NODE));
    assert_eq!((refused, ASKED.load(Ordering::Relaxed)), (SectionLoss::OtherWriter, false));
}

#[test]
fn a_place_that_is_found_at_boot_names_its_slot_too() {
    static OTHER: WriterSlot = WriterSlot::new();
    static THIRD: WriterSlot = WriterSlot::new();
    let mut env = on_paper();
    let untouched = env.0.state_digest();
    let start = NonNull::new(core::ptr::without_provenance_mut(usize::try_from(UPPER).unwrap())).unwrap();
    for (named, slot) in [(None, Some(&OTHER)), (Some(&OTHER), None), (Some(&OTHER), Some(&THIRD))] {
        let array = VirtualArray::<DynamicBase>::NEW;
        match named {
            // SAFETY: nothing of this program uses addresses of the upper half.
            None => unsafe { array.base().reserve(start, GIB / 2) },
            // SAFETY: as above.
            Some(named) => unsafe { array.base().reserve_shared(start, GIB / 2, named) },
        }
        let model = with_slot(array, slot);
        let refused = why(model.write().unwrap().install(&mut env, section(0), NODE));
        assert_eq!((refused, env.0.state_digest()), (SectionLoss::OtherWriter, untouched));
    }
}

/// A machine, and somebody who is asked whether a mapping may be.
struct Asking<'e> {
    machine: &'e mut Machine,
    may_be: &'e dyn Fn() -> bool,
}

// SAFETY: the borrow keeps the machine.
forward_to_field!(unsafe impl ['e] PhysMap for Asking<'e> => machine);

// SAFETY: the machine's own blocks.
forward_to_field!(unsafe impl ['e] MetadataMemory for Asking<'e> => machine);

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
    unsafe { array.base().reserve_shared(start, GIB / 2, slot) };
    with_slot(array, Some(slot))
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

/// It cannot be known whether the forgotten writer was of this model or of the other, in whose tables it may still write.
#[test]
fn a_forgotten_writer_of_a_shared_slot_keeps_every_model_up() {
    static SLOT: WriterSlot = WriterSlot::new();
    let mut machine = machine(256 * MIB);
    let (mut first, second) = (half(&machine, 0, &SLOT), half(&machine, 1, &SLOT));
    first.write().unwrap().install(&mut machine, section(0), NODE).unwrap();
    core::mem::forget(second.write());
    drop(second);
    assert!(first.write().is_none());
    assert_eq!(first.tear_down(&mut machine), Err(TearDownError::SharedSlotTaken));
    assert!(first.is_valid(Pfn::new(0)));
}
