//! A module is plugged in and pulled out.

use sparsemem::{MemoryModel, NodeId, PageCount, Pfn, PfnRange, PhysAddr, PhysRange};
use sparsemem_environments::StdHeap;
use sparsemem_example_hotplug::{Frames, MODEL, Model, boot};
use sparsemem_hotplug::{Hotplug, Ram};
use std::sync::Mutex;

/// The place where a kernel keeps its hotplug, with the environment of its slow operations.
static HOTPLUG: Mutex<Option<(Hotplug<'static, Model>, StdHeap)>> = Mutex::new(None);

#[test]
fn a_module_is_plugged_in_used_and_pulled_out() {
    let mut heap = StdHeap::default();
    let mut frames = Frames::default();
    let ram = PhysRange::new(PhysAddr::new(0), PhysAddr::new(256 << 20)).unwrap();
    let all = PfnRange::new(Pfn::new(0), Pfn::new(1 << 34)).unwrap();
    let hotplug = boot(&mut heap, &[(ram, NodeId::new(0))], all);
    *HOTPLUG.lock().unwrap() = Some((hotplug, heap));

    // 128 MiB at 4 GiB, on node 1.
    let module = PfnRange::from_start_count(Pfn::new(0x10_0000), PageCount::new(0x8000)).unwrap();
    let mut locked = HOTPLUG.lock().unwrap();
    let (hotplug, heap) = locked.as_mut().unwrap();
    let at_boot = heap.blocks();
    hotplug.add_memory(heap, module, NodeId::new(1), Ram::default()).unwrap();
    hotplug.online(&mut frames, module).unwrap();
    assert_eq!(frames.free, 0x8000);
    assert!(MODEL.read().online_page(module.start()).is_some());

    hotplug.offline(&mut frames, module).unwrap();
    let removed = hotplug.remove_memory(heap, module).unwrap();
    assert!(removed.lost.is_empty() && MODEL.read().page(module.start()).is_none());
    assert_eq!((frames.free, heap.blocks()), (0, at_boot), "everything came back");
}
