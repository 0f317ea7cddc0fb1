//! Frames that come, are used, and go.

use std::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{GracePeriod, MemoryModel, Page, Pfn, PfnRange};
use sparsemem_fixture::{Fixture, NODE, Pc, PcModel, each_subsection, frames};
use sparsemem_machine::Machine;

/// The number that is written into the descriptor of a frame that is in use; never zero.
pub(crate) fn mark(pfn: Pfn) -> u64 {
    0x5eed_0000_0000_0000 | pfn.get()
}

pub(crate) fn is_marked(page: &Page, pfn: Pfn) -> bool {
    page.private.load(Ordering::Relaxed) == mark(pfn)
}

/// Adds frames that are absent, and begins to use them: marks the first of each subsection.
pub(crate) fn install<R: GracePeriod>(model: &PcModel<R>, machine: &mut Machine, frames: PfnRange) {
    model.write().unwrap().install(machine, frames, NODE).unwrap();
    let reader = model.read();
    for pfn in each_subsection::<X86_64>(frames).map(PfnRange::start) {
        let old = reader.page(pfn).unwrap().private.swap(mark(pfn), Ordering::Relaxed);
        assert_eq!(old, 0, "the descriptor of frame {pfn} was not zero");
    }
}

/// Removes valid frames, online or not.
pub(crate) fn remove<R: GracePeriod>(model: &PcModel<R>, machine: &mut Machine, frames: PfnRange) {
    let mut writer = model.write().unwrap();
    for part in each_subsection::<X86_64>(frames) {
        // What is not online stays so.
        let _ = writer.set_offline(part);
    }
    assert!(writer.retire(machine, frames).unwrap().lost.is_empty());
}

/// Removes all that is left: no metadata may remain, and nobody may hold a page.
pub(crate) fn finish<R: GracePeriod>(fixture: Pc<R>) {
    let Fixture { model, mut machine } = fixture;
    let left: Vec<_> = model.valid_ranges(frames(0, 0, 64 * 512)).collect();
    for part in left.iter().flat_map(|run| each_subsection::<X86_64>(*run)) {
        let references = model.read().page(part.start()).unwrap().references.load(Ordering::Relaxed);
        assert_eq!(references, 0, "somebody else's memory was written to, or a reader's page was replaced");
        remove(&model, &mut machine, part);
    }
    assert!(machine.balance().is_zero(), "left over: {:?}", machine.balance());
    assert_eq!(machine.mirrored().count(), 0);
}
