//! A picture of the machine's memory and what the model makes of it, for people.

use alloc::string::String;

use sparsemem::{BootSummary, MemoryModel, NodeId, Pfn, PfnRange, PhysRange, SectionShape, presets::X86_64};
use sparsemem_suite::World;

use crate::glue::MODEL;
use crate::trial::Ground;
use crate::{lookups, say};

/// Draws it.
pub(crate) fn picture(backend: &str, memory: &[(PhysRange, NodeId)], summary: BootSummary, ground: &Ground) {
    say!("A kernel on {backend}, {:?} levels of page tables", ground.depth());
    say!("");
    for (range, node) in memory {
        let kib = range.count().get() >> 10;
        say!("  RAM  {:#014x}..{:#014x}  {kib:>10} KiB  node {node}", range.start().get(), range.end().get());
    }
    say!("");
    say!("  sections of 128 MiB, a character per 2 MiB: # has memory, . has none");
    for nr in MODEL.present_sections() {
        let state = MODEL.section(nr);
        let line: String = (0..64)
            .map(|at| if state.subsections.contains(sparsemem::SubsectionIdx::new(at)) { '#' } else { '.' })
            .collect();
        say!("  {nr:>6}  {line}");
    }
    let all = PfnRange::new(Pfn::new(0), Pfn::new(X86_64::MAX_PFN)).unwrap_or_default();
    let valid: u64 = MODEL.valid_ranges(all).map(|run| run.count().get()).sum();
    let ends = MODEL.valid_ranges(all).flat_map(|run| [run.start(), Pfn::new(run.end().get() - 1)]);
    let differ = ends.filter(|pfn| !lookups::agree(*pfn)).count();
    let balance = ground.balance();
    say!("");
    say!("  {} sections in {} runs, {valid} frames with descriptors", summary.sections, summary.runs);
    say!("  checked and unchecked lookups differ at {differ} of their ends");
    say!("  metadata: {} blocks of {} bytes in all", balance.boot.blocks, balance.bytes());
}
