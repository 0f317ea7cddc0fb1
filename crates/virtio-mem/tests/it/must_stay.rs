//! Memory that must stay is never unplugged, and what is unplugged is offline first.

use crate::common::{FIRST, MIB, Model, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, MemoryModel, PfnRange};
use sparsemem_fixture::{Fixture, on_every_backend, sections, subsections};
use sparsemem_hotplug::{Reserved, WithReserved};
use sparsemem_virtio_mem::{Error, Kernel};

on_every_backend!([X86_64] memory_in_use_stays_and_other_memory_goes, reserved_memory_stays);
on_every_backend!([X86_64] a_block_that_somebody_took_offline_stays);

fn memory_in_use_stays_and_other_memory_goes<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(256).unwrap();
    // One frame near the end of each memory block.
    for section in [FIRST, FIRST + 1] {
        system.pages.inner.pinned.insert(subsections::<X86_64>(section, 60, 1).start().get() + 7);
    }
    let resized = system.resize(128).unwrap();
    assert_eq!(resized.plugged, ByteLen::new(128 * MIB), "as much as requested goes, from lower memory");
    assert!(system.model.is_valid(subsections::<X86_64>(FIRST + 1, 60, 1).start()));
    assert_eq!(
        system.model.next_valid(sections::<X86_64>(FIRST + 1, 1)),
        Some(subsections::<X86_64>(FIRST + 1, 60, 1))
    );
    system.agrees("128 MiB");
    // Shrinking to nothing leaves exactly the two, and says which stays first.
    let error = system.resize(0).unwrap_err();
    assert!(matches!(error, Error::Kernel(_)) && error.to_string().contains("in use"), "{error}");
    assert_eq!(system.device.plugged(), ByteLen::new(4 * MIB));
    assert_eq!(system.blocks(), [0, 1, FIRST, FIRST + 1]);
    system.agrees("what stays");
    // When their users are gone, they go.
    system.pages.inner.pinned.clear();
    let _ = system.resize(0).unwrap();
    assert_eq!(system.blocks(), [0, 1]);
}

/// One subsection that must not go, with a run in it that the allocator never gets.
struct Firmware(PfnRange);

impl Reserved for Firmware {
    fn pinned(&self, frames: PfnRange) -> Option<PfnRange> {
        self.next_reserved(frames)
    }

    fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange> {
        self.0.overlaps(frames).then_some(self.0)
    }
}

fn reserved_memory_stays<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let stays = subsections::<X86_64>(FIRST, 3, 1);
    let resize = |system: &mut System<M>, mib| {
        system.device.request(ByteLen::new(mib * MIB));
        let System { machine, hotplug, pages, wire, driver, .. } = system;
        let mut allocator = WithReserved::new(pages, Firmware(stays));
        driver.resize(&mut Kernel { hotplug, env: machine, allocator: &mut allocator, device: wire })
    };
    let _ = resize(&mut system, 20).unwrap();
    assert!(!system.pages.inner.has_usable(stays.start().get()), "the allocator does not get it");
    let error = resize(&mut system, 0).unwrap_err();
    assert!(error.to_string().contains("hold data that other memory needs"), "{error}");
    assert_eq!(system.model.next_valid(sections::<X86_64>(FIRST, 1)), Some(stays));
    assert_eq!(system.device.plugged(), ByteLen::new(2 * MIB));
    system.driver.verify(&system.hotplug, &mut system.wire).unwrap();
}

fn a_block_that_somebody_took_offline_stays<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(200).unwrap();
    let first = sections::<X86_64>(FIRST, 1);
    system.hotplug.offline(&mut system.pages, first).unwrap();
    let error = system.resize(0).unwrap_err();
    assert!(error.to_string().contains("has this mark already"), "{error}");
    assert_eq!(system.device.plugged(), ByteLen::new(128 * MIB));
    // What is missing for a larger request comes from elsewhere.
    let _ = system.resize(150).unwrap();
    assert_eq!(system.device.plugged(), ByteLen::new(150 * MIB));
    system.hotplug.online(&mut system.pages, first).unwrap();
    let _ = system.resize(0).unwrap();
    system.agrees("nothing");
}
