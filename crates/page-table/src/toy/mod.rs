//! A format that no processor has, so that the walker cannot depend on the format of a real one: an empty entry is not
//! zero and differs between levels, tables have 256 or 512 entries and the root of four levels has 128, leaves have 4
//! KiB or 1 MiB, and FRESH is two bits.

mod heap;
mod populated;
mod shared;
mod staging;
mod walker;

use std::cell::Cell;

use sparsemem_core::{LeafSize, Origin, PagingDepth, PhysAddr};

use crate::{EntryFormat, InUse, Level, Root, Target};

pub(crate) use heap::{Heap, RawTable};

const TABLE: u64 = 1;
const LEAF: u64 = 2;
const SHARED: u64 = 3;
const KIND: u64 = 3;
const ORIGIN_SHIFT: u32 = 2;
/// Addresses are kept without their lowest 12 bits, from here on.
const ADDRESS_SHIFT: u32 = 8;
/// Physical addresses have 40 bits.
const ADDRESS_BITS: u32 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Toy;

/// The size of the larger leaves.
pub(crate) fn large() -> LeafSize {
    LeafSize::from_shift(20).unwrap()
}

/// The first address of the high end.
pub(crate) fn high_end(depth: PagingDepth) -> u64 {
    Toy::root(depth).high_end().unwrap().get()
}

std::thread_local! {
    static PUBLISHED: Cell<u32> = const { Cell::new(0) };
}

/// The number of times that this thread published entries since the last call.
pub(crate) fn nr_published() -> u32 {
    PUBLISHED.replace(0)
}

// SAFETY: kind, origin, address and FRESH have bits of their own; no processor reads these tables.
unsafe impl EntryFormat for Toy {
    const BASE_SHIFT: u32 = 12;
    const FRESH: u64 = 0b101 << 60;
    const NARROW_ROOT: bool = true;
    const IN_USE: InUse = InUse::MayChange;

    fn root(depth: PagingDepth) -> Root {
        match depth {
            PagingDepth::Three => Root::of_both_ends(Level::PUD, 38),
            PagingDepth::Four => Root::of_both_ends(Level::P4D, 45),
            PagingDepth::Two | PagingDepth::Five => Root::NONE,
        }
    }

    fn shift(level: Level) -> u32 {
        [12, 20, 29, 38, 47][level.position()]
    }

    fn index_bits(level: Level) -> u32 {
        [8, 9, 9, 9, 9][level.position()]
    }

    fn has_leaves(level: Level) -> bool {
        level <= Level::PMD
    }

    fn empty(level: Level) -> u64 {
        0xe00 | u64::from(level.number()) << 12
    }

    fn holds(at: PhysAddr) -> bool {
        at.get() >> ADDRESS_BITS == 0
    }

    fn table(at: PhysAddr, _: Level, origin: Origin) -> u64 {
        pack(at, origin) | TABLE
    }

    fn leaf(at: PhysAddr, _: Level, origin: Origin) -> u64 {
        pack(at, origin) | LEAF
    }

    fn shared(at: PhysAddr) -> u64 {
        pack(at, Origin::Boot) | SHARED
    }

    fn target(raw: u64, level: Level) -> Target {
        let at = PhysAddr::new((raw & !Self::FRESH) >> ADDRESS_SHIFT << 12);
        let origin = Origin::from_code((raw >> ORIGIN_SHIFT & 3) as u8).unwrap();
        match raw & KIND {
            SHARED if level == Level::PTE => Target::Shared { at },
            TABLE if level > Level::PTE => Target::Table { at, origin },
            LEAF if Self::has_leaves(level) => Target::Leaf { at, origin },
            _ => Target::Empty,
        }
    }

    fn published() {
        PUBLISHED.set(PUBLISHED.get() + 1);
    }
}

fn pack(at: PhysAddr, origin: Origin) -> u64 {
    at.get() >> 12 << ADDRESS_SHIFT | u64::from(origin.code()) << ORIGIN_SHIFT | Toy::FRESH
}
