//! Every order of readers and a writer on the virtual array, over both tables.
//!
//! Run with `RUSTFLAGS="--cfg sparsemem_loom" cargo test --release -p sparsemem-vmemmap --test loom`. Tables, array and
//! page tables are the real ones. A model checker cannot map memory, so what a processor would do with a virtual address
//! is done by the [`ledger`](fixture::ledger): readers ask it about the addresses that lookups give them, and it follows the mappings that
//! the page tables had when it was last told of a change. What it does not show: stale translations, which no memory
//! model knows of; that nothing is given back before the flush is tested with the page tables.
//!
//! The sizes of descriptors say who shares a page: nobody, a section's two subsections, or two sections. A page that is
//! shared stays until its last user is gone.
#![cfg(sparsemem_loom)]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a tiny geometry, addresses of a 64-bit host")]

#[path = "../../section/tests/fixture/mod.rs"]
mod fixture;

use std::alloc::Layout;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

use sparsemem_core::presets::Minute;
use sparsemem_core::{
    AddressSpace, Block, CompoundOrder, ForeignBlock, GracePeriod, LeafSize, LinkRefused, MemoryModel,
    MetadataMemory, NodeId, OutOfMemory, PagingDepth, Pfn, PhysAddr, PhysMap, QuietDescriptors,
    ReadOnlyTails, Reclaim, Rejected, SectionNr, SectionShape, VirtAddr, VirtRange, WriterSlot,
};
use sparsemem_section::{FlatPlanes, FlatTable, InRoots, RootedTable, SparseModel};
use sparsemem_vmemmap::{ArrayBase, Claim, VirtualArray};

use fixture::Subject;
use fixture::domain::Patient;
use fixture::ledger;
use fixture::mapping;
use fixture::memory::{Descriptor, Memory};
use fixture::race::{SUBSECTION, explore, frames, nothing, race, retire};

/// Bytes of the array: one large leaf, of which only the first pages are ever mapped.
const ARRAY: usize = 2 << 20;
const PAGE: usize = 4 << 10;

thread_local! {
    /// Addresses for the array. There is memory behind them, for descriptors are zeroed through them; what is mapped
    /// there, the ledger knows.
    static WINDOW: NonNull<u8> = {
        // SAFETY: the layout is not empty.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(Layout::from_size_align(ARRAY, ARRAY).unwrap()) }).unwrap()
    };
    /// The top-level table of the execution that runs.
    static ROOT: Cell<usize> = const { Cell::new(0) };
}

/// The array's place.
struct Place {
    start: NonNull<u8>,
}

impl Default for Place {
    fn default() -> Self {
        Self { start: WINDOW.with(|window| *window) }
    }
}

// SAFETY: addresses, which belong to the process.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

// SAFETY: the start never changes, and one model at a time runs on a thread of the host.
unsafe impl ArrayBase for Place {
    fn shared_writer(&self) -> Option<&'static WriterSlot> {
        None
    }

    fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    fn len_bytes(&self) -> u64 {
        ARRAY as u64
    }

    unsafe fn claim(&self) -> Claim {
        Claim::Own
    }
}

/// Memory with an address space.
struct Mapped;

// SAFETY: that of the memory.
unsafe impl PhysMap for Mapped {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        Memory.phys_to_virt(at)
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        Memory.virt_to_phys(at)
    }
}

// SAFETY: that of the memory.
unsafe impl MetadataMemory for Mapped {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        Memory.alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        Memory.free(block)
    }
}

// SAFETY: the root is live until the execution ends; nobody but the model changes its tables; the ledger forgets what a
// flush finds without an entry.
unsafe impl AddressSpace for Mapped {
    fn root(&self) -> PhysAddr {
        PhysAddr::new(ROOT.get() as u64)
    }

    fn depth(&self) -> PagingDepth {
        PagingDepth::Four
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        assert_eq!(size, LeafSize::Size4KiB);
        let at = at.get() as usize;
        mapping::map(at..at + PAGE, to.get() as usize);
        Ok(())
    }

    fn flush(&mut self, range: VirtRange) {
        let range = range.start().get() as usize..range.end().get() as usize;
        for at in mapping::mapped_in(&range) {
            match entry(at).map(|entry| entry as usize & ADDRESS) {
                None => mapping::unmap(at),
                Some(to) if to == mapping::translated(at) => {}
                Some(to) => {
                    let _between_accesses = PROCESSORS.lock().unwrap();
                    mapping::unmap(at);
                    mapping::map(at..at + PAGE, to);
                }
            }
        }
    }
}

loom::lazy_static! {
    /// Processors acknowledge a flush between two accesses: those before it happen before its end, and those after it follow the
    /// tables as they are now. Where a mapping goes altogether, readers have been waited for, and nothing is needed.
    static ref PROCESSORS: loom::sync::Mutex<()> = loom::sync::Mutex::new(());
}

/// The bits of an entry that hold an address.
const ADDRESS: usize = 0x000f_ffff_ffff_f000;

/// The entry that leads to an address, if the tables lead anywhere.
fn entry(at: usize) -> Option<u64> {
    let (mut table, mut last) = (ROOT.get(), 0);
    for level in (0..4).rev() {
        let index = at >> (12 + 9 * level) & 511;
        let entry: *const u64 = core::ptr::with_exposed_provenance(table + 8 * index);
        // SAFETY: a table of the execution, which stays allocated until it ends; only this thread of the host runs.
        last = unsafe { entry.read() };
        if last & 1 == 0 {
            return None;
        }
        table = last as usize & ADDRESS;
    }
    Some(last)
}

type Planes = FlatPlanes<Minute, { Minute::NR_SECTIONS_LEN }>;
type Flat<const BYTES: usize> = FlatTable<Minute, Descriptor<BYTES>, { Minute::NR_SECTIONS_LEN }, Planes>;
type Rooted<const BYTES: usize> = RootedTable<Minute, Descriptor<BYTES>, { Minute::NR_ROOTS_LEN }, InRoots>;

/// Declares a subject: a table.
macro_rules! subject {
    ($(#[$doc:meta])* $name:ident: $table:ty) => {
        $(#[$doc])*
        struct $name<R>(PhantomData<R>);

        impl<R: GracePeriod> Subject for $name<R> {
            type Env = Mapped;
            type Model = SparseModel<$table, VirtualArray<Place>, R>;

            fn model() -> Self::Model {
                let page = Layout::from_size_align(PAGE, PAGE).unwrap();
                ROOT.set(ledger::allocate(page).expose_provenance());
                SparseModel::with(<$table>::new(), VirtualArray::default())
            }

            fn env() -> Mapped {
                Mapped
            }
        }
    };
}

subject! {
    /// A page per subsection.
    Own: Rooted<2048>
}

subject! {
    /// A page per section: it stays while one of the two subsections does.
    OfSection: Rooted<1024>
}

subject! {
    /// A page per two sections.
    OfNeighbours: Rooted<512>
}

subject! {
    /// The same over the flat table.
    FlatOfNeighbours: Flat<512>
}

subject! {
    /// A page per descriptor, so that a compound of two frames has a page of its own and a shared one.
    OfFrames: Rooted<4096>
}

/// Installs a section of compounds of two frames, subsection by subsection.
fn fold(model: &<OfFrames<Patient> as Subject>::Model, env: &mut Mapped, subsections: &[u64]) {
    // SAFETY: the readers of these tests only look.
    let tails = unsafe { ReadOnlyTails::promise(CompoundOrder::new(1).unwrap()) };
    for subsection in subsections {
        let part = frames(subsection * SUBSECTION, SUBSECTION);
        model.write().unwrap().install_compounds(env, part, NodeId::new(0), tails).unwrap();
    }
}

/// Whoever finds a tail under one guard, before and after the question what is folded, has been told that it is one:
/// `initialise` and `reset` rely on that.
fn what_is_found_is_known_as_folded(model: &<OfFrames<Patient> as Subject>::Model) {
    let (tail, guard) = (Pfn::new(1), Patient::enter());
    let before = model.lookup_with(tail, &guard).is_some();
    let is_known =
        model.folded(SectionNr::new(0), &guard).is_some_and(|folded| folded.shares::<Minute>(tail));
    let after = model.lookup_with(tail, &guard).is_some();
    assert!(is_known || !before || !after, "a tail was found, and not known as one");
}

#[test]
fn a_tail_is_known_while_its_section_arrives() {
    explore(|| {
        let arrive = |model: &_, env: &mut _| fold(model, env, &[0]);
        race::<OfFrames<Patient>>(nothing::<OfFrames<Patient>>(), what_is_found_is_known_as_folded, arrive);
    });
}

#[test]
fn a_tail_is_known_while_its_section_leaves() {
    explore(|| {
        let whole = |model: &_, env: &mut _| fold(model, env, &[0]);
        let leave = retire::<OfFrames<Patient>>(0, SUBSECTION);
        race::<OfFrames<Patient>>(whole, what_is_found_is_known_as_folded, leave);
    });
}

#[test]
fn a_tail_is_known_while_its_subsection_leaves() {
    explore(|| {
        let whole = |model: &_, env: &mut _| fold(model, env, &[0, 1]);
        let leave = retire::<OfFrames<Patient>>(0, SUBSECTION);
        race::<OfFrames<Patient>>(whole, what_is_found_is_known_as_folded, leave);
    });
}

/// Whoever was told under a guard that a frame does not share its descriptor may write to it until the guard is gone: no
/// processor is led to a shared page meanwhile. And the memory of a descriptor that was found is there at any time.
fn who_may_write_has_a_page(model: &<OfFrames<Patient> as Subject>::Model) {
    let (tail, guard) = (Pfn::new(1), Patient::enter());
    let Some(page) = model.lookup_with(tail, &guard) else { panic!("it is up") };
    let is_shared =
        model.folded(SectionNr::new(0), &guard).is_some_and(|folded| folded.shares::<Minute>(tail));
    for _ in 0..2 {
        let at = page.as_ptr().addr();
        {
            let _access = PROCESSORS.lock().unwrap();
            ledger::assert_live(at);
        }
        let leads_to_shared = entry(at).is_some_and(|entry| entry >> 9 & 0b11 == 0b11);
        assert!(is_shared || !leads_to_shared, "a store would fault");
        // A point at which the writer may run.
        loom::thread::yield_now();
    }
}

fn fold_up(model: &<OfFrames<Patient> as Subject>::Model, env: &mut Mapped) {
    // SAFETY: the readers of these tests only look.
    let tails = unsafe { ReadOnlyTails::promise(CompoundOrder::new(1).unwrap()) };
    let (part, none) = (frames(0, SUBSECTION), QuietDescriptors::none());
    let done = model.write().unwrap().fold(env, part, NodeId::new(0), tails, none).unwrap();
    assert!(done.lost.is_empty());
}

fn unfold(model: &<OfFrames<Patient> as Subject>::Model, env: &mut Mapped) {
    let done = model.write().unwrap().unfold(env, frames(0, SUBSECTION), NodeId::new(0)).unwrap();
    assert!(done.lost.is_empty());
}

#[test]
fn a_tail_is_known_before_its_descriptor_is_shared() {
    explore(|| {
        let up = fixture::race::install::<OfFrames<Patient>>(0, SUBSECTION);
        race::<OfFrames<Patient>>(up, who_may_write_has_a_page, fold_up);
    });
}

#[test]
fn a_tail_is_known_until_its_descriptor_is_its_own() {
    explore(|| {
        let folded = |model: &_, env: &mut _| fold(model, env, &[0]);
        race::<OfFrames<Patient>>(folded, who_may_write_has_a_page, unfold);
    });
}

const _: () = assert!(size_of::<Descriptor<2048>>() == 2048 && size_of::<Descriptor<512>>() == 512);

deferred_scenarios!(own_pages_that_wait, Own);
deferred_scenarios!(pages_of_neighbours_that_wait, OfNeighbours);

scenarios!(own_pages, Own);
scenarios!(pages_of_a_section, OfSection);
scenarios!(pages_of_neighbours, OfNeighbours);
scenarios!(flat_pages_of_neighbours, FlatOfNeighbours);
