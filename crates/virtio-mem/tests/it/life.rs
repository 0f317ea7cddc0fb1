//! The usual life of a device: it requests more and less, and the driver follows.

use crate::common::{FAR, FIRST, MIB, Model, System, region};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, MemoryModel};
use sparsemem_fixture::{Fixture, on_every_backend, sections, subsections};
use sparsemem_hotplug::{BlockNr, BlockState, Direction};

on_every_backend!([X86_64] memory_comes_and_goes_as_requested, only_plugged_memory_is_valid);
on_every_backend!([X86_64] blocks_that_exist_are_filled_first);
on_every_backend!([X86_64] the_usable_region_grows, memory_of_an_earlier_kernel_is_discarded);
on_every_backend!([X86_64] everything_goes_when_the_driver_does);

fn memory_comes_and_goes_as_requested<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let start = system.snapshot();
    for mib in [2, 4, 130, 512, 384, 250, 252, 128, 6, 0] {
        let resized = system.resize(mib).unwrap();
        assert_eq!((resized.plugged, resized.requested), (ByteLen::new(mib * MIB), ByteLen::new(mib * MIB)));
        assert!(resized.lost.is_empty(), "{resized:?}");
        assert_eq!(system.device.plugged(), ByteLen::new(mib * MIB));
        let blocks = (FIRST..FIRST + mib.div_ceil(128)).collect::<Vec<_>>();
        assert_eq!(system.blocks(), [&[0, 1][..], &blocks].concat(), "{mib} MiB");
        system.agrees(&format!("{mib} MiB"));
    }
    assert_eq!(system.snapshot(), start);
}

fn only_plugged_memory_is_valid<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(132).unwrap();
    let part = subsections::<X86_64>(FIRST + 1, 0, 2);
    assert_eq!(system.model.next_valid(sections::<X86_64>(FIRST + 1, 1)), Some(part));
    let block = system.hotplug.blocks().get(BlockNr::new(FIRST + 1)).unwrap();
    assert_eq!((block.state, block.node), (BlockState::Online, Some(FAR)), "the node is the device's");
    assert_eq!(system.hotplug.resource_of(part.start()).unwrap().name, "System RAM (virtio_mem)");
    // A whole memory block is one operation, and the part another.
    let changes = [sections::<X86_64>(FIRST, 1), part].map(|frames| (Direction::Online, frames));
    let heard: Vec<_> =
        system.notifiers[0].take().iter().map(|change| (change.direction, change.frames)).collect();
    assert_eq!(heard, changes);
}

/// A gap in a block that exists is filled before a lower block is made: that takes no block, and often no metadata.
fn blocks_that_exist_are_filled_first<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(132).unwrap();
    system.unplug(sections::<X86_64>(FIRST, 1)).unwrap();
    let _ = system.resize(20).unwrap();
    assert_eq!(system.blocks(), [0, 1, FIRST + 1]);
    let filled = subsections::<X86_64>(FIRST + 1, 0, 10);
    assert_eq!(system.model.next_valid(sections::<X86_64>(FIRST, 4)), Some(filled));
    // What has no room there comes from the lowest block.
    let _ = system.resize(130).unwrap();
    assert_eq!(system.blocks(), [0, 1, FIRST, FIRST + 1]);
    assert_eq!(
        system.model.next_valid(sections::<X86_64>(FIRST, 1)),
        Some(subsections::<X86_64>(FIRST, 0, 1))
    );
    system.agrees("130 MiB");
}

fn the_usable_region_grows<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    system.device.limit(ByteLen::new(8 * MIB));
    let _ = system.resize(8).unwrap();
    let beyond = subsections::<X86_64>(FIRST, 4, 1);
    // The device knows no blocks there, and says so.
    assert!(system.plug(beyond).unwrap_err().to_string().contains("another view of its blocks"));
    system.agrees("a block beyond the usable region");
    let _ = system.resize(200).unwrap();
    assert_eq!(system.driver.plugged(system.model), ByteLen::new(200 * MIB));
    system.agrees("200 MiB");
}

fn memory_of_an_earlier_kernel_is_discarded<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    system.device.request(ByteLen::new(64 * MIB));
    let mut request = [0; 24];
    request[8..16].copy_from_slice(&region().start().get().to_le_bytes());
    request[16] = 3;
    assert_eq!(system.device.answer(&request)[0], 0);
    assert_eq!(system.device.plugged(), ByteLen::new(6 * MIB));
    // Nothing is plugged until that is gone.
    let error = system.resize(64).unwrap_err();
    assert!(error.to_string().starts_with("the device has 0x600000"), "{error}");
    system.driver.start(&system.hotplug, &mut system.wire).unwrap();
    assert_eq!(system.device.plugged(), ByteLen::new(0));
    let _ = system.resize(64).unwrap();
    // With memory in use it goes on, and discards nothing.
    system.driver.start(&system.hotplug, &mut system.wire).unwrap();
    assert_eq!(system.device.plugged(), ByteLen::new(64 * MIB));
    system.agrees("64 MiB");
}

fn everything_goes_when_the_driver_does<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let start = system.snapshot();
    let _ = system.resize(300).unwrap();
    let lost = system.with(|driver, kernel| driver.unplug_all(kernel)).unwrap();
    assert!(lost.is_empty());
    assert_eq!(system.snapshot(), start, "although 300 MiB are requested");
    system.agrees("nothing");
}
