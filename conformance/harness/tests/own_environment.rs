//! An environment of one's own as the world: the scenarios find what is wrong with it.

use core::alloc::Layout;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Block, ForeignBlock, MetadataMemory, NodeId, OutOfMemory, Page, Rejected, SectionShape, forward_to_field,
};
use sparsemem_environments::StdHeap;
use sparsemem_harness::{Capabilities, Host, HostRcu, Verdict, place};
use sparsemem_sparse_extreme::SparseExtreme;

enum Readers {}
type Model = SparseExtreme<X86_64, Page, HostRcu<Readers>, { X86_64::NR_ROOTS_LEN }>;

fn a_heap(host: Host) -> Verdict {
    host.hotplug_in(StdHeap::default(), || (place::<Model>(), Capabilities::LEAST))
}

sparsemem_harness::tests!(a_heap);

/// The promise that a heap breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Zero,
    TakingBack,
}

/// A heap that breaks one promise.
struct Broken {
    heap: StdHeap,
    breaks: Breaks,
}

// SAFETY: the heap's memory stays in its place.
forward_to_field!(unsafe impl [] PhysMap for Broken => heap);

// SAFETY: the heap's own blocks; a promise is broken only where a test wants that, and any bytes are a `Page`.
unsafe impl MetadataMemory for Broken {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.heap.alloc_zeroed(layout, node)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let block = self.heap.alloc_memmap(layout, node)?;
        if self.breaks == Breaks::Zero {
            // SAFETY: the block is owned and has so many bytes.
            unsafe { block.start().write_bytes(1, layout.size()) };
        }
        Ok(block)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if self.breaks == Breaks::TakingBack {
            return Err(Rejected { error: block.foreign(), returned: block });
        }
        self.heap.free(block)
    }
}

/// Runs a scenario with a heap that breaks a promise, and returns what the failure says.
fn caught(breaks: Breaks, scenario: &str) -> String {
    let scenario = sparsemem_suite::find(scenario).unwrap();
    let host = Host::new(sparsemem_harness::MACHINES[0], scenario);
    let broken = Broken { heap: StdHeap::default(), breaks };
    host.hotplug_in(broken, || (place::<Model>(), Capabilities::LEAST)).unwrap_err().to_string()
}

#[test]
fn a_promise_that_is_broken_is_found_by_a_scenario() {
    let dirty = caught(Breaks::Zero, "lookup/fresh-zero");
    assert!(dirty.contains("frame"), "{dirty}");
    let kept = caught(Breaks::TakingBack, "teardown/everything-back");
    assert!(kept.contains("teardown") && kept.contains("refused"), "{kept}");
}
