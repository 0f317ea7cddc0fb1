//! Boots over ordinary memory, with a hole and a region that ends within a section.

use sparsemem::{MemoryRange, NodeId, Pfn, PfnRange, PhysAddr, PhysRange};
use sparsemem_environments::DirectMap;
use sparsemem_example_frame_list::{boot, get_frame};

#[test]
fn every_frame_of_ram_has_its_record_and_no_other_frame() {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(32 << 20)).unwrap();
    let layout = std::alloc::Layout::from_size_align(32 << 20, 4096).unwrap();
    // SAFETY: the layout is not empty.
    let ram = unsafe { std::alloc::alloc(layout) };
    let frames = |start, end| MemoryRange {
        frames: PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap(),
        node: NodeId::new(0),
    };
    // SAFETY: the memory is leaked, and nobody else has it.
    unsafe {
        let map = DirectMap::new(ram.expose_provenance(), memory);
        boot(map, &[frames(0x8_0100, 0x9_0000), frames(0x100, 0x1234)], |_| Some(PhysAddr::new(4096)));
    }
    let first = get_frame(Pfn::new(0x100)).unwrap();
    // SAFETY: the test has one thread.
    unsafe { (*first).next = get_frame(Pfn::new(0x8_ffff)).unwrap() };
    // SAFETY: as above.
    assert_eq!(unsafe { ((*first).number, (*(*first).next).number) }, (0x100, 0x8_ffff));
    for hole in [0, 0xff, 0x1234, 0x7fff, 0x8_00ff, 0x9_0000] {
        assert!(get_frame(Pfn::new(hole)).is_none(), "frame {hole:#x} is no RAM");
    }
}
