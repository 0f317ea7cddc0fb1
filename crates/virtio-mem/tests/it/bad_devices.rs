//! Devices that break the specification, hosts that change their mind, and allocators that touch what they must not.

use crate::common::doubles::Wire;
use crate::common::{FIRST, MIB, Model, System, region};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, NodeId, PfnRange, PhysAddr, PhysRange};
use sparsemem_fixture::{Backend, Fixture, Pc, on_every_backend, subsections};
use sparsemem_hotplug::{AllocatorHooks, BlockSize, Limits};
use sparsemem_machine::{HostRcu, Misbehaviour, VirtioMemDevice};
use sparsemem_virtio_mem::{
    AttachError, Config, Device, DeviceRefused, Error, Features, Refusal, State, VirtioMem,
};

on_every_backend!([X86_64] a_reset_that_took_memory_is_noticed, a_host_that_changes_its_mind);
on_every_backend!([X86_64] ranges_that_are_not_units_are_refused, memory_beyond_the_usable_region_is_noticed);

fn a_reset_that_took_memory_is_noticed<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(10).unwrap();
    // A reset of the device leaves its blocks as they are.
    system.driver.start(&system.hotplug, &mut system.wire).unwrap();
    let before = system.snapshot();
    system.device.system_reset();
    let error = system.driver.start(&system.hotplug, &mut system.wire).unwrap_err();
    let frames = subsections::<X86_64>(FIRST, 0, 5);
    assert_eq!(error, Error::Disagree { frames, model: State::Plugged, device: State::Unplugged });
    assert_eq!(error.to_string(), format!("{frames} is unplugged in the device, and plugged in the model"));
    // Nothing is done by half meanwhile.
    assert!(matches!(system.resize(20).unwrap_err(), Error::Sizes { .. }));
    let now = system.snapshot();
    assert_eq!((now.sections, now.blocks, now.frames), (before.sections, before.blocks, before.frames));
}

/// The host requests less while the driver plugs, or other blocks are plugged than the driver knows.
fn a_host_that_changes_its_mind<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(10).unwrap();
    let before = system.snapshot();
    let error = system.plug(subsections::<X86_64>(FIRST, 9, 1)).unwrap_err();
    assert!(matches!(error, Error::Device(DeviceRefused { why: Refusal::Nack, .. })), "{error}");
    assert!(!error.is_busy() && error.to_string().contains("read the requested size again"), "{error}");
    assert_eq!(system.snapshot(), before);
    // Somebody plugged another block behind the driver.
    system.device.request(ByteLen::new(64 * MIB));
    let mut request = [0; 24];
    request[8..16].copy_from_slice(&(region().start().get() + 40 * MIB).to_le_bytes());
    request[16] = 1;
    assert_eq!(system.device.answer(&request)[0], 0);
    let error = system.driver.verify(&system.hotplug, &mut system.wire).unwrap_err();
    assert!(
        matches!(error, Error::Disagree { model: State::Unplugged, device: State::Mixed, .. }),
        "{error}"
    );
    let error = system.plug(subsections::<X86_64>(FIRST, 20, 1)).unwrap_err();
    assert!(matches!(error, Error::Device(DeviceRefused { why: Refusal::Error, .. })), "{error}");
    assert!(matches!(system.resize(64).unwrap_err(), Error::Sizes { .. }));
}

/// The usable region may only shrink when everything is unplugged.
fn memory_beyond_the_usable_region_is_noticed<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(10).unwrap();
    system.unplug(subsections::<X86_64>(FIRST, 0, 2)).unwrap();
    system.device.request(ByteLen::new(6 * MIB));
    system.device.limit(ByteLen::new(6 * MIB));
    let error = system.driver.verify(&system.hotplug, &mut system.wire).unwrap_err();
    assert!(matches!(error, Error::Disagree { device: State::Unplugged, .. }), "{error}");
}

fn ranges_that_are_not_units_are_refused<M: Model>(fixture: Fixture<M>) {
    let mut system = System::new(fixture, ByteLen::new(4 * MIB), BlockSize::SECTION);
    let _ = system.resize(64).unwrap();
    let before = system.snapshot();
    let outside = subsections::<X86_64>(FIRST - 1, 62, 4);
    for frames in [subsections::<X86_64>(FIRST, 1, 2), outside, PfnRange::empty_at(outside.end())] {
        for error in [system.plug(frames).unwrap_err(), system.unplug(frames).unwrap_err()] {
            assert!(matches!(error, Error::NotUnits { .. }), "{error}");
        }
    }
    // Units that are plugged, or not, already.
    assert!(matches!(system.plug(subsections::<X86_64>(FIRST, 0, 2)).unwrap_err(), Error::Kernel(_)));
    assert!(matches!(system.unplug(subsections::<X86_64>(FIRST, 40, 2)).unwrap_err(), Error::Kernel(_)));
    assert_eq!(system.snapshot(), before);
}

fn config(region: PhysRange, block: u64) -> Config {
    let device = VirtioMemDevice::new(region, ByteLen::new(block), 0);
    Config::decode(&device.config(), Features::empty()).unwrap()
}

fn attach(region: PhysRange, block: u64, limits: &Limits<X86_64>) -> Result<PfnRange, AttachError> {
    VirtioMem::new(&config(region, block), limits, NodeId::new(0)).map(|driver| driver.region())
}

#[test]
fn only_whole_units_that_the_machine_addresses_are_used() {
    let limits = Limits::new(BlockSize::SECTION);
    assert_eq!(attach(region(), 2 * MIB, &limits), Ok(region().whole_frames::<X86_64>()));
    // Half a subsection at each end.
    let odd = PhysRange::new(PhysAddr::new(513 * MIB), PhysAddr::new(521 * MIB)).unwrap();
    assert_eq!(attach(odd, MIB, &limits), Ok(subsections::<X86_64>(4, 1, 3)));
    let low = limits.addressable(subsections::<X86_64>(0, 0, 64 * 4 + 7));
    assert_eq!(attach(region(), 4 * MIB, &low), Ok(subsections::<X86_64>(4, 0, 6)));
    let none = limits.addressable(subsections::<X86_64>(0, 0, 64));
    assert!(matches!(attach(region(), 2 * MIB, &none), Err(AttachError::NothingUsable { .. })));
    let sliver = PhysRange::new(PhysAddr::new(513 * MIB), PhysAddr::new(514 * MIB)).unwrap();
    assert!(matches!(attach(sliver, MIB, &limits), Err(AttachError::NothingUsable { .. })));
    assert!(matches!(attach(region(), 16, &limits), Err(AttachError::TinyBlocks { .. })));
}

#[test]
fn another_device_needs_another_driver() {
    let mut driver = VirtioMem::<X86_64>::new(
        &config(region(), 2 * MIB),
        &Limits::new(BlockSize::SECTION),
        NodeId::new(0),
    )
    .unwrap();
    let system = usual();
    for (range, block) in
        [(region(), 4 * MIB), (PhysRange::new(region().start(), PhysAddr::new(640 * MIB)).unwrap(), 2 * MIB)]
    {
        let mut other = Wire::new(&VirtioMemDevice::new(range, ByteLen::new(block), 0));
        let error = driver.start(&system.hotplug, &mut other).unwrap_err();
        assert!(matches!(error, Error::Changed { then, .. } if then == region()), "{error}");
    }
}

#[test]
fn a_device_that_does_not_discard_is_asked_again_later() {
    let mut system = usual();
    system.device.request(ByteLen::new(64 * MIB));
    let mut request = [0; 24];
    request[8..16].copy_from_slice(&region().start().get().to_le_bytes());
    request[16] = 1;
    assert_eq!(system.device.answer(&request)[0], 0);
    for (misbehaviour, busy) in [(Misbehaviour::Busy, true), (Misbehaviour::Garbled, false)] {
        system.device.misbehave([Some(misbehaviour)]);
        let error = system.driver.start(&system.hotplug, &mut system.wire).unwrap_err();
        assert_eq!((error.is_busy(), system.device.heal()), (busy, 0), "{error}");
        assert!(error.to_string().starts_with("the device does not unplug all blocks"), "{error}");
    }
    system.driver.start(&system.hotplug, &mut system.wire).unwrap();
    assert_eq!(system.device.plugged(), ByteLen::new(0));
}

fn usual() -> System<sparsemem_fixture::PcModel<HostRcu<()>>> {
    System::usual(Pc::usual(Backend::SparseExtreme))
}

/// The doubles notice an allocator that uses frames before it may.
#[test]
#[should_panic(expected = "Unplugged")]
fn frames_that_are_touched_too_early_are_noticed() {
    let mut system = usual();
    system.pages.touches_early = true;
    let _ = system.resize(2);
}

/// And a driver that takes memory away from the device before the allocator has let it go.
#[test]
#[should_panic(expected = "Unplugged")]
fn memory_that_is_unplugged_too_early_is_noticed() {
    let mut system = usual();
    let _ = system.resize(2).unwrap();
    let run = subsections::<X86_64>(FIRST, 0, 1);
    let start = sparsemem_virtio_mem::Run { start: region().start(), blocks: std::num::NonZeroU16::MIN };
    system.wire.request(sparsemem_virtio_mem::Request::Unplug(start)).unwrap();
    system.pages.isolate(run).unwrap();
}
