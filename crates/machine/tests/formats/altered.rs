//! Formats some of whose entries are not what their contract says, for the machine to notice.

use sparsemem_core::{Origin, PagingDepth, PhysAddr};
use sparsemem_page_table::{EntryFormat, InUse, Level, Root, Target};

/// The entries of `F` that are not as they should be; all are by default.
pub(crate) trait Alter<F: EntryFormat>: Copy + 'static {
    /// [`EntryFormat::IN_USE`].
    const IN_USE: InUse = F::IN_USE;

    /// [`EntryFormat::table`].
    fn table(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        F::table(at, level, origin)
    }

    /// [`EntryFormat::leaf`].
    fn leaf(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        F::leaf(at, level, origin)
    }

    /// [`EntryFormat::shared`].
    fn shared(at: PhysAddr) -> u64 {
        F::shared(at)
    }
}

/// The format `F` with the entries of `A`.
#[derive(Clone, Copy)]
pub(crate) struct Altered<F, A>(F, A);

// SAFETY: it breaks the contract on purpose, and the tests use nothing that it maps.
unsafe impl<F: EntryFormat, A: Alter<F>> EntryFormat for Altered<F, A> {
    const BASE_SHIFT: u32 = F::BASE_SHIFT;
    const FRESH: u64 = F::FRESH;
    const NARROW_ROOT: bool = F::NARROW_ROOT;
    const IN_USE: InUse = A::IN_USE;

    fn root(depth: PagingDepth) -> Root {
        F::root(depth)
    }

    fn shift(level: Level) -> u32 {
        F::shift(level)
    }

    fn index_bits(level: Level) -> u32 {
        F::index_bits(level)
    }

    fn has_leaves(level: Level) -> bool {
        F::has_leaves(level)
    }

    fn empty(level: Level) -> u64 {
        F::empty(level)
    }

    fn holds(at: PhysAddr) -> bool {
        F::holds(at)
    }

    fn table(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        A::table(at, level, origin)
    }

    fn leaf(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        A::leaf(at, level, origin)
    }

    fn shared(at: PhysAddr) -> u64 {
        A::shared(at)
    }

    fn target(raw: u64, level: Level) -> Target {
        F::target(raw, level)
    }

    fn published() {
        F::published();
    }
}
