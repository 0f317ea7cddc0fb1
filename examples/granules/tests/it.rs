//! Delegates a granule, and refuses all that a host must not name.

use sparsemem::{MemoryRange, NodeId, PhysAddr, PhysRange, presets::Arm64Page4K};
use sparsemem_environments::DirectMap;
use sparsemem_example_granules::{State, boot, lock};

#[test]
fn granules_are_locked_in_their_state_and_nothing_else_is() {
    let bytes = |start, end| PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap();
    let layout = std::alloc::Layout::from_size_align(8 << 20, 4096).unwrap();
    // SAFETY: the layout is not empty.
    let own = unsafe { std::alloc::alloc(layout) };
    let banks = [bytes(0x8000_0000, 0x9000_0000), bytes(0x8_8000_0000, 0x8_9000_0000)]
        .map(|bank| MemoryRange::from_bytes::<Arm64Page4K>(bank, NodeId::new(0)));
    // SAFETY: the memory is leaked, and nobody else has it.
    unsafe {
        let map = DirectMap::new(own.expose_provenance(), bytes(0, 8 << 20));
        boot(map, &banks, |need| (need.get() < 3 << 19).then_some(PhysAddr::new(4096)));
    }
    let address = 0x8_8765_4000;
    let mut granule = lock(address, State::Undelegated).expect("the host has it");
    assert!(lock(address, State::Undelegated).is_none(), "it is locked");
    granule.state = State::Delegated;
    drop(granule);
    assert!(lock(address, State::Undelegated).is_none());
    assert!(lock(address, State::Delegated).is_some());
    assert!(lock(address + 8, State::Delegated).is_none(), "no granule begins there");
    assert!(
        [0, 0x7fff_f000, 0x9000_0000, u64::MAX << 12]
            .iter()
            .all(|at| lock(*at, State::Undelegated).is_none())
    );
}
