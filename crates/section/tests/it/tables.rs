//! The models under test: both tables, with descriptors found through the section word.

use std::cell::Cell;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootEvent, BootModel, BootSummary, GracePeriod, InstallModel, LostBlocks, MarkModel, MemoryModel,
    MemoryRange, NodeId, Page, PageCount, Pfn, PfnRange, Reclaim, RetireError, RetireModel, Retired,
    SectionNr, SectionShape, ZeroIsNew,
};
use sparsemem_machine::place;
use sparsemem_section::{Encoded, FlatTable, RootedTable, SparseModel};

use sparsemem_fixture::Env;

pub(crate) type FlatEntries = FlatTable<X86_64, Page, { X86_64::NR_SECTIONS_LEN }>;
pub(crate) type Flat = SparseModel<FlatEntries, Encoded, Alone>;
pub(crate) type Rooted = SparseModel<RootedTable<X86_64, Page, { X86_64::NR_ROOTS_LEN }>, Encoded, Alone>;

/// Frames of a section.
pub(crate) const SECTION: u64 = X86_64::PAGES_PER_SECTION;
/// Frames of half a section.
pub(crate) const HALF: u64 = SECTION / 2;
/// Sections of a root.
pub(crate) const ROOT: u64 = X86_64::SECTIONS_PER_ROOT;
/// Bytes of a section's memmap.
pub(crate) const MEMMAP: u64 = SECTION * size_of::<Page>() as u64;
pub(crate) const NODE: NodeId = NodeId::new(0);

thread_local! {
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

/// The domain of a test's own thread, which counts how often readers were waited for.
pub(crate) struct Alone;

// SAFETY: no test holds a guard across an operation that waits, and each has models of its own.
unsafe impl Reclaim for Alone {
    type Guard = ();

    fn enter() {}
}

// SAFETY: as above: there is nobody to wait for.
unsafe impl GracePeriod for Alone {
    fn synchronize() {
        WAITS.set(WAITS.get() + 1);
    }
}

/// The number of waits for readers since the last question.
pub(crate) fn nr_waits() -> u64 {
    WAITS.replace(0)
}

/// The traits that the tests need of a model.
pub(crate) trait Model:
    BootModel<Env>
    + InstallModel<Env>
    + MarkModel
    + RetireModel<Env>
    + MemoryModel<Geometry = X86_64, Page = Page, Reclaim = Alone>
    + ZeroIsNew
{
}

impl<M> Model for M where
    M: BootModel<Env>
        + InstallModel<Env>
        + MarkModel
        + RetireModel<Env>
        + MemoryModel<Geometry = X86_64, Page = Page, Reclaim = Alone>
        + ZeroIsNew
{
}

/// Frames by number.
pub(crate) fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

/// Whole sections.
pub(crate) fn sections(first: u64, count: u64) -> PfnRange {
    PfnRange::from_start_count(Pfn::new(first * SECTION), PageCount::new(count * SECTION)).unwrap()
}

/// Boots with memory of node 0, every event of which goes to `told`.
pub(crate) fn boot_telling<M: Model>(
    model: &M,
    env: &mut Env,
    memory: &[PfnRange],
    told: &mut dyn FnMut(BootEvent),
) -> BootSummary {
    let memory = memory.iter().map(|&frames| MemoryRange { frames, node: NODE });
    model.write().unwrap().boot(env, memory, told).unwrap()
}

/// Boots with memory of node 0, about which nothing has to be told.
pub(crate) fn boot<M: Model>(model: &M, env: &mut Env, memory: &[PfnRange]) {
    let up = boot_telling(model, env, memory, &mut |event| panic!("{event:?}"));
    assert_eq!(up.lost, 0);
}

/// The result of a retirement that lost nothing.
pub(crate) fn retired(sections: u64, gone: u64) -> Result<Retired, RetireError> {
    Ok(Retired { sections, gone, lost: LostBlocks::default() })
}

/// The sections of which a model knows something.
pub(crate) fn present<M: Model>(model: &M) -> Vec<u64> {
    model.present_sections().map(SectionNr::get).collect()
}

/// Every test on both tables, each with an environment and a model of its own.
macro_rules! on_both_tables {
    ($($name:ident),* $(,)?) => {
        mod flat { $(#[test] fn $name() { crate::tables::alone(super::$name::<crate::tables::Flat>); })* }
        mod rooted { $(#[test] fn $name() { crate::tables::alone(super::$name::<crate::tables::Rooted>); })* }
    };
}
pub(crate) use on_both_tables;

/// Runs a test.
pub(crate) fn alone<M: Model>(test: impl FnOnce(&mut Env, &mut M)) {
    test(&mut Env::new(), &mut place());
}
