//! Boots over ordinary memory and claims frames.

use sparsemem::{MemoryRange, NodeId, Pfn, PfnRange, PhysAddr, PhysRange};
use sparsemem_environments::DirectMap;
use sparsemem_example_get_slot::{GetFrameError, boot, claim, get_slot};

#[test]
fn a_frame_is_claimed_once_and_a_hole_never() {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(16 << 20)).unwrap();
    let layout = std::alloc::Layout::from_size_align(16 << 20, 4096).unwrap();
    // SAFETY: the layout is not empty.
    let ram = unsafe { std::alloc::alloc(layout) };
    let frames = |start, end| PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap();
    let ranges =
        [frames(0, 0x9f), frames(0x100, 0x8000)].map(|frames| MemoryRange { frames, node: NodeId::new(0) });
    // SAFETY: the memory is leaked, and nobody else has it.
    unsafe { boot(DirectMap::new(ram.expose_provenance(), memory), &ranges, |_| Some(PhysAddr::new(4096))) };
    assert!(claim(0x10_0000).is_ok());
    assert_eq!(claim(0x10_0000).unwrap_err(), GetFrameError::InUse);
    assert_eq!(get_slot(0x10_0800).unwrap_err(), GetFrameError::NotAligned);
    for hole in [0x9_f000, 0xf_f000, 0x800_0000, !0xfff] {
        assert_eq!(get_slot(hole).unwrap_err(), GetFrameError::OutOfBound, "{hole:#x}");
    }
}
