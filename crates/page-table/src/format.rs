//! The parts of a processor that the walker depends on: the format of its entries, and the number of its levels.
//!
//! # Invariants
//!
//! 1. A format does not depend on a tree or on an environment: it is constants and functions of numbers.

use sparsemem_core::{LeafSize, Origin, PagingDepth, PhysAddr};

use crate::Level;

/// The target of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The entry is empty.
    Empty,
    /// A table of the level below.
    Table {
        /// The table's first byte.
        at: PhysAddr,
        /// The origin of the table's memory.
        origin: Origin,
    },
    /// A leaf, which maps memory.
    Leaf {
        /// The size of the memory.
        size: LeafSize,
        /// The memory's first byte.
        at: PhysAddr,
        /// The origin of the memory.
        origin: Origin,
    },
}

/// The page-table entries of one processor architecture.
///
/// An entry is a 64-bit word that the processor reads. Of the bits that the processor ignores, a format uses two for
/// the [`Origin`] of the entry's target (its [`code`](Origin::code) fits), and one or more as [`FRESH`](Self::FRESH),
/// by which a populate in progress recognises its own entries.
///
/// # Safety
///
/// The walker follows entries to memory, and gives their targets back. The implementor promises, for every level
/// up to the root's of a depth:
///
/// 1. **Written is read**: for an address that [`holds`](Self::holds), [`table`](Self::table) decodes, at each level
///    but the lowest, to the [`Target::Table`] that it was made from; [`leaf`](Self::leaf) decodes to its
///    [`Target::Leaf`] at the level whose [`leaf_size`](Self::leaf_size) it has, if the address is a multiple of the
///    size. [`EMPTY`](Self::EMPTY) decodes to [`Target::Empty`] at every level. A leaf is never decoded at a level
///    without leaves, nor with another size than the level's, and a table never at the lowest level.
/// 2. **The processor agrees**: through an entry of `leaf` it reaches exactly the memory that the leaf was made from,
///    to read and to write, and through an entry of `table` it continues in exactly that table. It ignores the bits of
///    the origin and of `FRESH`, and never writes to an entry that `leaf` or `table` made.
/// 3. **Fresh is a mark and nothing else**: `FRESH` is not zero, all of its bits are set in the entries of `table` and
///    `leaf` and clear in `EMPTY`, and an entry with and without them decodes to the same.
/// 4. **Sizes agree**: an entry of the lowest level translates 2^[`BASE_SHIFT`](Self::BASE_SHIFT) bytes, and one of
///    each level above 2^[`INDEX_BITS`](Self::INDEX_BITS) times as many as one of the level below. `leaf_size` is
///    exactly what an entry of the level translates, and the lowest level has leaves.
///    [`address_bits`](Self::address_bits) lies above `BASE_SHIFT` and at most at what the root table translates.
/// 5. **Published is seen**: [`published`](Self::published) keeps its promise.
/// 6. Every function returns the same result for the same arguments, always, and nothing unwinds.
pub unsafe trait EntryFormat: Copy + 'static {
    /// Bits of an address that index a table: a table has two to that power of entries.
    const INDEX_BITS: u32 = 9;

    /// Bits of an address within the smallest page; a table fills one such page.
    const BASE_SHIFT: u32 = 12;

    /// The empty entry.
    const EMPTY: u64;

    /// The bits that mark an entry which the running populate made.
    const FRESH: u64;

    /// The level of the root table.
    fn root_level(depth: PagingDepth) -> Level;

    /// The number of low bits of a virtual address that are translated. The others have to repeat the highest of them;
    /// if they do not, the address is not canonical and nothing can be mapped there.
    fn address_bits(depth: PagingDepth) -> u32;

    /// The size of the leaves that a table of `level` can hold, if it can hold any.
    fn leaf_size(level: Level) -> Option<LeafSize>;

    /// Whether an entry has room for every bit of `at`, which is a multiple of the smallest page.
    fn holds(at: PhysAddr) -> bool;

    /// A fresh entry for the table at `at`.
    fn table(at: PhysAddr, origin: Origin) -> u64;

    /// A fresh entry for a leaf of `size` at `at`: writable, for the kernel only, and not executable.
    fn leaf(at: PhysAddr, size: LeafSize, origin: Origin) -> u64;

    /// The target of the entry `raw`, found in a table of `level`.
    ///
    /// For an entry that `table` and `leaf` do not make, the origin is [`Origin::Boot`] unless the entry says
    /// otherwise: such an entry was made by the kernel's boot.
    fn target(raw: u64, level: Level) -> Target;

    /// Orders the entries that this processor stored before the accesses that it makes through them afterwards.
    ///
    /// A populate calls it once before it returns, if it made anything. When it returns, the calling processor may use
    /// the memory that the entries map, by plain loads and stores. If the processor also caches empty entries, or does
    /// not see its own stores when it walks the tables, this waits until that is over. Other processors are ordered by
    /// the operation that publishes the memory to them.
    fn published();
}
