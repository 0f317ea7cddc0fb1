//! A format that no processor has, so that the walker cannot depend on the format of a real one: an empty entry is not
//! zero, there are three or four levels, 1 GiB leaves do not exist, and FRESH is two bits.

mod heap;
mod populated;
mod walker;

use std::cell::Cell;

use sparsemem_core::{LeafSize, Origin, PagingDepth, PhysAddr};

use crate::{EntryFormat, Level, Target};

pub(crate) use heap::{Heap, RawTable};

const TABLE: u64 = 1;
const LEAF: u64 = 2;
const KIND: u64 = 3;
const ORIGIN_SHIFT: u32 = 2;
/// Addresses are kept without their lowest 12 bits, from here on.
const ADDRESS_SHIFT: u32 = 8;
/// Physical addresses have 40 bits.
const ADDRESS_BITS: u32 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Toy;

std::thread_local! {
    static PUBLISHED: Cell<u32> = const { Cell::new(0) };
}

/// The number of times that this thread published entries since the last call.
pub(crate) fn nr_published() -> u32 {
    PUBLISHED.replace(0)
}

// SAFETY: kind, origin, address and FRESH have bits of their own; no processor reads these tables.
unsafe impl EntryFormat for Toy {
    const EMPTY: u64 = 0xe00;
    const FRESH: u64 = 0b101 << 60;

    fn root_level(depth: PagingDepth) -> Level {
        match depth {
            PagingDepth::Four => Level::PUD,
            PagingDepth::Five => Level::P4D,
        }
    }

    fn address_bits(depth: PagingDepth) -> u32 {
        match depth {
            PagingDepth::Four => 39,
            // One less than four levels could translate: half of the root is unused.
            PagingDepth::Five => 47,
        }
    }

    fn leaf_size(level: Level) -> Option<LeafSize> {
        match level {
            Level::PTE => Some(LeafSize::Size4KiB),
            Level::PMD => Some(LeafSize::Size2MiB),
            _ => None,
        }
    }

    fn holds(at: PhysAddr) -> bool {
        at.get() >> ADDRESS_BITS == 0
    }

    fn table(at: PhysAddr, origin: Origin) -> u64 {
        pack(at, origin) | TABLE
    }

    fn leaf(at: PhysAddr, _: LeafSize, origin: Origin) -> u64 {
        pack(at, origin) | LEAF
    }

    fn target(raw: u64, level: Level) -> Target {
        let at = PhysAddr::new((raw & !Self::FRESH) >> ADDRESS_SHIFT << 12);
        let origin = Origin::from_code((raw >> ORIGIN_SHIFT & 3) as u8).unwrap();
        match (raw & KIND, Self::leaf_size(level)) {
            (TABLE, _) => Target::Table { at, origin },
            (LEAF, Some(size)) => Target::Leaf { size, at, origin },
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
