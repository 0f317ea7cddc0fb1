//! Every order of readers and a writer, as the memory model allows it, on both tables.
//!
//! Run with `RUSTFLAGS="--cfg sparsemem_loom" cargo test --release -p sparsemem-section --test loom`. The code under
//! test is the crate's own, on loom's atomics. Memory is never really freed: it is written off in a
//! [`ledger`](fixture::ledger), and whoever touches what is written off, or is not ordered after its making, fails the
//! test. Broken variants show that the tests bite: a domain that does not wait, the order of CVE-2023-52489, which gave
//! the usage back before it was out of sight, and the same with the memmap. The virtual array has its turn in its own
//! crate.
#![cfg(sparsemem_loom)]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a tiny geometry, addresses of a 64-bit host")]

mod fixture;
mod piecewise;

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use loom::thread;
use sparsemem_core::presets::Minute;
use sparsemem_core::{
    Block, BootEvent, DeferredModel, ForeignBlock, GracePeriod, MemoryModel, MemoryRange, MetadataMemory,
    NodeId, OutOfMemory, Pfn, PhysAddr, PhysMap, Rejected, SectionLoss, SectionNr, SectionShape,
    SectionStamp as _, SectionState, forward_to_field,
};
use sparsemem_section::{Encoded, FlatTable, InRoots, Occupancy, RootedTable, SparseModel};

use fixture::Subject;
use fixture::deferred::Marked;
use fixture::domain::Patient;
use fixture::ledger::Ledger;
use fixture::memory::{Descriptor, Memory};
use fixture::race::{SECTION, explore, frames, is_caught};
use piecewise::Piecewise;

type Flat = FlatTable<Minute, Descriptor<32>, { Minute::NR_SECTIONS_LEN }>;
type Rooted = RootedTable<Minute, Descriptor<32>, { Minute::NR_ROOTS_LEN }>;

/// The same with planes in its roots: lookups read the plane, and then the word.
type Planed = RootedTable<Minute, Descriptor<32>, { Minute::NR_ROOTS_LEN }, InRoots>;

/// Declares a subject: a table and a placement.
macro_rules! subject {
    ($(#[$doc:meta])* $name:ident: $table:ty, $placement:ty = $new:expr) => {
        $(#[$doc])*
        struct $name<R>(PhantomData<R>);

        impl<R: GracePeriod> Subject for $name<R> {
            type Env = Memory;
            type Model = SparseModel<$table, $placement, R>;

            fn model() -> Self::Model {
                SparseModel::with(<$table>::new(), $new)
            }

            fn env() -> Memory {
                Memory
            }
        }
    };
}

subject! {
    /// A flat table with a block per section.
    FlatBlocks: Flat, Encoded = Encoded
}

subject! {
    /// A two-level table with a block per section.
    RootedBlocks: Rooted, Encoded = Encoded
}

subject! {
    /// A flat table with memory per subsection.
    FlatPieces: Flat, Piecewise = Piecewise::new()
}

subject! {
    /// A two-level table with memory per subsection.
    RootedPieces: Rooted, Piecewise = Piecewise::new()
}

subject! {
    /// Planes in roots with a block per section.
    PlanedBlocks: Planed, Encoded = Encoded
}

deferred_scenarios!(planed_blocks_that_wait, PlanedBlocks);
deferred_scenarios!(flat_blocks_that_wait, FlatBlocks);
deferred_scenarios!(rooted_blocks_that_wait, RootedBlocks);
deferred_scenarios!(rooted_pieces_that_wait, RootedPieces);

scenarios!(planed_blocks, PlanedBlocks);
scenarios!(flat_blocks, FlatBlocks);
scenarios!(rooted_blocks, RootedBlocks);
scenarios!(flat_pieces, FlatPieces);
scenarios!(rooted_pieces, RootedPieces);

/// Two threads that both want to write, one of them again and again: never both at once, which the ledger would see; and
/// who is turned away takes nothing and gives nothing back.
#[test]
fn a_second_writer_is_turned_away_or_comes_later() {
    explore(|| {
        let _ledger = Ledger::open();
        let model = Arc::new(RootedBlocks::<Patient>::model());
        let node = NodeId::new(0);
        model.write().unwrap().install(&mut Memory, frames(0, SECTION), node).unwrap();
        let shared = Arc::clone(&model);
        let other = thread::spawn(move || {
            [1, 2].map(|nr| {
                let mut writer = shared.write()?;
                writer.install(&mut Memory, frames(nr * SECTION, SECTION), node).unwrap();
                Some(())
            })
        });
        let retired = model.write().map(|mut writer| writer.retire(&mut Memory, frames(0, SECTION)).unwrap());
        let installed = other.join().unwrap();
        assert!(installed[0].is_some() || retired.is_some(), "one of them was first");
        assert_eq!(model.is_valid(Pfn::new(0)), retired.is_none());
        for (nr, result) in [1, 2].into_iter().zip(installed) {
            assert_eq!(model.is_valid(Pfn::new(nr * SECTION)), result.is_some());
        }
        // Who was turned away may try again.
        assert!(model.write().is_some());
    });
}

/// Memory that has none for descriptors.
struct NoMemmaps(Memory);

// SAFETY: the memory stays in its place.
forward_to_field!(unsafe impl [] PhysMap for NoMemmaps => 0);

// SAFETY: the memory's own blocks, or none.
unsafe impl MetadataMemory for NoMemmaps {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.0.alloc_zeroed(layout, node)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        Err(OutOfMemory::new(layout, node))
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.0.free(block)
    }
}

/// Memory that is not zero where descriptors are.
struct Dirty;

// SAFETY: the memory's own map.
unsafe impl PhysMap for Dirty {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        Memory.phys_to_virt(at)
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        Memory.virt_to_phys(at)
    }
}

// SAFETY: there is none: descriptors begin with other bytes, which are valid descriptors.
unsafe impl MetadataMemory for Dirty {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        Memory.alloc_zeroed(layout, node)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let block = Memory.alloc_zeroed(layout, node)?;
        // SAFETY: the block is fresh.
        unsafe { block.start().write_bytes(1, layout.size()) };
        Ok(block)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        Memory.free(block)
    }
}

/// A section comes up with memory of `E` while a reader looks at a descriptor.
fn a_descriptor_is_looked_at_while_it_comes<E: MetadataMemory>(env: impl Fn() -> E + Send + Sync + 'static) {
    explore(move || {
        let _ledger = fixture::deferred::open();
        let marked = Marked::new(RootedBlocks::<Patient>::model(), &mut Memory, 1);
        let joint = marked.joint;
        let reader = thread::spawn(move || {
            let reader = joint.model().read();
            let page = reader.page(Pfn::new(1));
            assert!(page.is_none_or(|page| page.section().get() == 0), "a descriptor is not zero");
        });
        let up = DeferredModel::bring_up(joint, &mut env(), SectionNr::new(0));
        assert!(fixture::deferred::is_now(up));
        reader.join().unwrap();
    });
}

#[test]
fn nobody_sees_a_descriptor_that_is_not_zero() {
    a_descriptor_is_looked_at_while_it_comes(|| Memory);
    let dirty = std::panic::catch_unwind(|| a_descriptor_is_looked_at_while_it_comes(|| Dirty));
    let text = *dirty.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(text, "a descriptor is not zero");
}

/// Boot gives a section up without waiting for readers: its usage goes back, and nobody may have looked at it.
#[test]
fn the_usage_of_a_section_that_boot_gives_up_is_not_looked_at() {
    explore(|| {
        let _ledger = Ledger::open();
        let model = Arc::new(RootedBlocks::<Patient>::model());
        let shared = Arc::clone(&model);
        let reader = thread::spawn(move || {
            let nr = SectionNr::new(0);
            let state = shared.section(nr);
            assert!(state.subsections.is_empty() && state.online.is_empty(), "{state:?}");
            assert_eq!(shared.next_valid(frames(0, SECTION)), None);
            assert!(!shared.is_valid(Pfn::new(0)));
        });
        let range = MemoryRange { frames: frames(0, SECTION), node: NodeId::new(0) };
        let mut events = Vec::new();
        let mut writer = model.write().unwrap();
        let up = writer
            .boot(&mut NoMemmaps(Memory), core::iter::once(range), &mut |event| events.push(event))
            .unwrap();
        assert_eq!((up.sections, up.lost), (0, 1));
        let [BootEvent::SectionLost { why: SectionLoss::Memmap(_), .. }] = *events else {
            panic!("{events:?}");
        };
        reader.join().unwrap();
        assert_eq!(model.section(SectionNr::new(0)), SectionState::ABSENT);
    });
}

/// The summaries that walks skip by, with slots in two words.
#[test]
fn a_walk_over_summaries_misses_nothing_that_stays() {
    /// Two neighbours in the second word, of which one comes and goes.
    const GOES: u64 = 64 + 6;
    const STAYS: u64 = 64 + 7;
    explore(|| {
        let occupancy = Arc::new(Occupancy::new());
        [3, GOES, STAYS].into_iter().for_each(|slot| occupancy.set(slot));
        let shared = Arc::clone(&occupancy);
        let reader = thread::spawn(move || {
            let first = shared.next(0);
            assert!([3, GOES, STAYS].map(Some).contains(&first), "{first:?}");
            let next = shared.next(4);
            assert!([GOES, STAYS].map(Some).contains(&next), "{next:?}");
            assert_eq!(shared.next(STAYS + 1), None);
        });
        occupancy.clear(3);
        occupancy.clear(GOES);
        occupancy.set(3);
        reader.join().unwrap();
        assert_eq!((occupancy.next(0), occupancy.next(4)), (Some(3), Some(STAYS)));
    });
}

/// A slot is seen in the summaries by whoever sees what is in it.
#[test]
fn a_walk_over_summaries_finds_what_was_announced() {
    use loom::sync::atomic::{AtomicBool, Ordering};
    explore(|| {
        let shared = Arc::new((Occupancy::new(), AtomicBool::new(false)));
        let seen = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            if seen.1.load(Ordering::Acquire) {
                assert_eq!(seen.0.next(0), Some(100));
            }
        });
        shared.0.set(100);
        shared.1.store(true, Ordering::Release);
        reader.join().unwrap();
    });
    // The other way round is caught.
    assert!(is_caught("left == right", || {
        let shared = Arc::new((Occupancy::new(), AtomicBool::new(false)));
        let seen = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            if seen.1.load(Ordering::Acquire) {
                assert_eq!(seen.0.next(0), Some(100));
            }
        });
        shared.1.store(true, Ordering::Release);
        shared.0.set(100);
        reader.join().unwrap();
    }));
}
