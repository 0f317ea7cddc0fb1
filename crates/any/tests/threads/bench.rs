//! Models on a machine, for threads.

use std::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{InstallModel, MarkModel, MemoryModel, Page, PageCount, Pfn, PfnRange, RetireModel};
use sparsemem_machine::Machine;

use crate::common::{Bench, NODE, SUBSECTION, frames};

/// What the tests need of a model.
pub(crate) trait Model:
    InstallModel<Machine> + MarkModel + MemoryModel<Geometry = X86_64, Page = Page> + RetireModel<Machine>
{
}

impl<M> Model for M where
    M: InstallModel<Machine> + MarkModel + MemoryModel<Geometry = X86_64, Page = Page> + RetireModel<Machine>
{
}

/// The subsections of a range, one by one.
pub(crate) fn subsections(range: PfnRange) -> impl Iterator<Item = PfnRange> {
    let count = range.count().get() / SUBSECTION;
    (0..count).map(move |index| {
        let start = Pfn::new(range.start().get() + index * SUBSECTION);
        PfnRange::from_start_count(start, PageCount::new(SUBSECTION)).unwrap()
    })
}

/// What is written into the descriptor of a frame that is in use; never zero.
pub(crate) fn mark(pfn: Pfn) -> u64 {
    0x5eed_0000_0000_0000 | pfn.get()
}

pub(crate) fn is_marked(page: &Page, pfn: Pfn) -> bool {
    page.private.load(Ordering::Relaxed) == mark(pfn)
}

/// Adds frames that are absent, and begins to use them: marks the first of each subsection.
pub(crate) fn install<M: Model>(model: &M, machine: &mut Machine, frames: PfnRange) {
    model.write().unwrap().install(machine, frames, NODE).unwrap();
    let reader = model.read();
    for pfn in subsections(frames).map(PfnRange::start) {
        let old = reader.page(pfn).unwrap().private.swap(mark(pfn), Ordering::Relaxed);
        assert_eq!(old, 0, "the descriptor of frame {pfn} was not zero");
    }
}

/// Removes valid frames, online or not.
pub(crate) fn remove<M: Model>(model: &M, machine: &mut Machine, frames: PfnRange) {
    let mut writer = model.write().unwrap();
    for part in subsections(frames) {
        // What is not online stays so.
        let _ = writer.set_offline(part);
    }
    assert!(writer.retire(machine, frames).unwrap().lost.is_empty());
}

/// Removes all that is left: no metadata may remain, and nobody may hold a page.
pub(crate) fn finish<M: Model>(bench: Bench<M>) {
    let Bench { model, mut machine } = bench;
    let left: Vec<_> = model.valid_ranges(frames(0, 0, 64 * 512)).collect();
    for part in left.iter().flat_map(|run| subsections(*run)) {
        let references = model.read().page(part.start()).unwrap().references.load(Ordering::Relaxed);
        assert_eq!(references, 0, "somebody else's memory was written to, or a reader's page was replaced");
        remove(&*model, &mut machine, part);
    }
    assert!(machine.balance().is_zero(), "left over: {:?}", machine.balance());
    assert_eq!(machine.mirrored().count(), 0);
}
