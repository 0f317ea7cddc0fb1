//! The parts of a processor that the walker depends on: the bits of an entry, and what the entries of each level
//! translate.
//!
//! # Invariants
//!
//! 1. A format does not depend on a tree or on an environment: it is constants and functions of numbers.

use sparsemem_core::{LeafSize, Origin, PagingDepth, PhysAddr};

use crate::{Level, Root};

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
    /// A leaf, which maps memory of the level's [`leaf_size`](EntryFormat::leaf_size).
    Leaf {
        /// The memory's first byte.
        at: PhysAddr,
        /// The origin of the memory.
        origin: Origin,
    },
    /// A leaf of the smallest size that may only be read, and whose memory other entries may map too: it belongs to none
    /// of them.
    Shared {
        /// The memory's first byte.
        at: PhysAddr,
    },
}

/// Says whether an entry that is in use may come to lead to other memory, or to a table of smaller leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InUse {
    /// It may: until the flush, a processor uses the old translation or the new one.
    MayChange,
    /// It may not: it has to be empty, and flushed, before it leads elsewhere, and an access in between faults.
    BreaksFirst,
}

/// The page-table entries of one processor architecture, in one of its granules or modes.
///
/// An entry is a 64-bit word that the processor reads. A format keeps the [`Origin`] of the entry's target (its
/// [`code`](Origin::code) has two bits) in bits that the processor ignores, and marks the entries that a running
/// populate made with [`FRESH`](Self::FRESH). No origin has the code 3: in a leaf of the smallest size it says that the
/// memory is shared, so that a format with two bits for software has room for that as well.
///
/// # Safety
///
/// The walker follows entries to memory, and gives their targets back. The implementor promises, for every depth and
/// every level from the lowest up to that of the depth's root:
///
/// 1. **Written is read**: for an address that [`holds`](Self::holds), [`table`](Self::table) decodes, at its level,
///    which is not the lowest, to the [`Target::Table`] that it was made from; [`leaf`](Self::leaf) decodes at its
///    level to its [`Target::Leaf`], if the level has leaves and the address is a multiple of their size;
///    [`shared`](Self::shared) decodes at the lowest level to its [`Target::Shared`].
///    [`empty`](Self::empty) decodes to [`Target::Empty`]. A leaf is never decoded at a level without leaves, and a
///    table never at the lowest level.
/// 2. **The processor agrees**: through an entry of `leaf` it reaches exactly the memory that the leaf was made from,
///    to read and to write, and through an entry of `table` it continues in exactly that table. Through an entry of
///    `shared` it reaches exactly that memory to read, and a store faults. The bits of the origin
///    and of `FRESH` do not change that, nor does it matter that `FRESH` changes while the entry is in use. The
///    processor never writes to an entry that `leaf`, `shared` or `table` made.
/// 3. **Fresh is a mark and nothing else**: `FRESH` is not zero, all of its bits are set in the entries of `table`,
///    `leaf` and `shared` and clear in those of `empty`, and an entry with and without them decodes to the same.
/// 4. **Levels agree**: [`shift`](Self::shift) is [`BASE_SHIFT`](Self::BASE_SHIFT) at the lowest level, which has
///    leaves, and at the level above more by [`index_bits`](Self::index_bits), which is above zero. So many entries fit a
///    page of the smallest size. The root's are those that its [`Root`] has addresses for: as many, unless
///    [`NARROW_ROOT`](Self::NARROW_ROOT).
/// 5. **Published is seen**: [`published`](Self::published) keeps its promise.
/// 6. **In use**: if [`IN_USE`](Self::IN_USE) is [`InUse::MayChange`], a processor that meets an entry which was changed while
///    it was in use follows what it was or what it became, in each access as a whole, and after a flush what it became; it
///    does so also where a leaf became a table of smaller leaves, and where address and size change together.
/// 7. Every function returns the same result for the same arguments, always, and nothing unwinds.
pub unsafe trait EntryFormat: Copy + 'static {
    /// Bits of an address within the smallest page; a table fills one such page.
    const BASE_SHIFT: u32;

    /// The bits that mark an entry which the running populate made.
    const FRESH: u64;

    /// True if a root may have fewer entries than other tables.
    const NARROW_ROOT: bool;

    /// Says whether an entry that is in use may be changed; by default it breaks first, which every processor allows.
    const IN_USE: InUse = InUse::BreaksFirst;

    /// The root table of a tree of this depth; [`Root::NONE`] for a depth that the processor does not have.
    fn root(depth: PagingDepth) -> Root;

    /// An entry of a table of `level` translates two to this power bytes.
    fn shift(level: Level) -> u32;

    /// A table of `level` that is not the root's has two to this power entries.
    fn index_bits(level: Level) -> u32;

    /// True if an entry of a table of `level` can map memory.
    fn has_leaves(level: Level) -> bool;

    /// The size of the leaves that a table of `level` can hold, if it can hold any.
    #[inline]
    #[must_use]
    fn leaf_size(level: Level) -> Option<LeafSize> {
        if Self::has_leaves(level) { LeafSize::from_shift(Self::shift(level)) } else { None }
    }

    /// The empty entry of a table of `level`.
    fn empty(level: Level) -> u64;

    /// True if an entry has room for every bit of `at`, which is a multiple of the smallest page.
    fn holds(at: PhysAddr) -> bool;

    /// A fresh entry, in a table of `level`, for the table at `at`.
    fn table(at: PhysAddr, level: Level, origin: Origin) -> u64;

    /// A fresh entry, in a table of `level`, for a leaf at `at`: writable, for the kernel only, and not executable.
    fn leaf(at: PhysAddr, level: Level, origin: Origin) -> u64;

    /// A fresh entry, in a table of the lowest level, for a page at `at` that other entries may map too: for the kernel
    /// only, to read only, and not executable.
    fn shared(at: PhysAddr) -> u64;

    /// The target of the entry `raw`, found in a table of `level`.
    ///
    /// For an entry that `table` and `leaf` do not make, the origin is [`Origin::Boot`] unless the entry says
    /// otherwise: such an entry was made by the kernel's boot.
    fn target(raw: u64, level: Level) -> Target;

    /// Orders the entries that this processor stored before the accesses that it makes through them afterwards.
    ///
    /// A populate calls it once before it returns, if it made anything. When it returns, the calling processor may use
    /// the memory that the entries map, by plain loads and stores. If the processor also caches empty entries, or does
    /// not see its own stores when it walks the tables, this waits until that is over. The environment sees to other
    /// processors ([`AddressSpace::published`](sparsemem_core::AddressSpace::published), which is called next).
    fn published();
}
