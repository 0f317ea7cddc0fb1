//! The driver over a real virtqueue: a transport that is a device, with the queue in memory that both share.
//!
//! The device's side of the queue is written here from VIRTIO 1.2, 2.7 "Split Virtqueues", and the requests are answered by
//! the device of the simulated machine.
#![cfg(feature = "transport")]
#![allow(unsafe_code, reason = "memory that a device shares is behind raw pointers")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering, fence};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, MemoryModel, MemoryRange, NodeId, PhysAddr};
use sparsemem_fixture::{Agreeable, Backend, Fixture, NODE, Pc, boot, bytes, sections, storage};
use sparsemem_hotplug::{BlockSize, Hotplug, Limits};
use sparsemem_machine::{HostRcu, VirtioMemDevice};
use sparsemem_virtio_mem::{Device, Fault, Features, KeepsOff, Kernel, VirtioDevice, VirtioMem};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE};

const MIB: u64 = 1 << 20;

/// Addresses of the device are those of this process.
struct Host;

fn pages(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap()
}

// SAFETY: (1) memory comes zeroed from the allocator of this process, with the alignment of a page; (2) what is shared is
// reached at its own address.
unsafe impl Hal for Host {
    fn dma_alloc(count: usize, _direction: BufferDirection) -> (u64, NonNull<u8>) {
        // SAFETY: the layout has a size.
        let start = NonNull::new(unsafe { alloc_zeroed(pages(count)) }).unwrap();
        (start.as_ptr().expose_provenance() as u64, start)
    }

    unsafe fn dma_dealloc(_paddr: u64, vaddr: NonNull<u8>, count: usize) -> i32 {
        // SAFETY: the caller's promise: it was allocated above with this layout.
        unsafe { dealloc(vaddr.as_ptr(), pages(count)) };
        0
    }

    unsafe fn mmio_phys_to_virt(_paddr: u64, _size: usize) -> NonNull<u8> {
        unreachable!("this transport has no registers in memory")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> u64 {
        buffer.cast::<u8>().as_ptr().expose_provenance() as u64
    }

    unsafe fn unshare(_paddr: u64, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

/// A pointer to an address that the driver shared.
fn shared<T>(at: u64, offset: u64) -> *mut T {
    std::ptr::with_exposed_provenance_mut(usize::try_from(at + offset).unwrap())
}

/// Reads from memory that the driver shared.
fn load<T: Copy>(at: u64, offset: u64) -> T {
    // SAFETY: the driver shares this memory while the request is under way, and waits.
    unsafe { shared::<T>(at, offset).read_unaligned() }
}

/// The addresses of a queue.
#[derive(Clone, Copy, Default)]
struct Queue {
    size: u16,
    descriptors: u64,
    driver: u64,
    device: u64,
    /// The entries of the available ring that were dealt with.
    seen: u16,
}

/// A transport that is the device.
struct Wired {
    device: VirtioMemDevice,
    offered: u64,
    accepted: u64,
    status: DeviceStatus,
    queue: Queue,
}

impl Wired {
    fn new(device: &VirtioMemDevice, offered: u64) -> Self {
        let (device, status) = (device.clone(), DeviceStatus::empty());
        Self { device, offered, accepted: 0, status, queue: Queue::default() }
    }

    /// Answers all requests that are in the queue.
    fn serve(&mut self) {
        let queue = &mut self.queue;
        // SAFETY: the index of the available ring, which both sides access as an atomic.
        let available = unsafe { AtomicU16::from_ptr(shared(queue.driver, 2)) };
        // Acquire: the ring and the descriptors are written before the index.
        while queue.seen != available.load(Ordering::Acquire) {
            let head: u16 = load(queue.driver, 4 + 2 * u64::from(queue.seen % queue.size));
            let entry = |nr: u16| 16 * u64::from(nr);
            let field = |nr: u16, offset| load::<u64>(queue.descriptors, entry(nr) + offset);
            let short = |nr: u16, offset| load::<u16>(queue.descriptors, entry(nr) + offset);
            let length = |nr: u16| load::<u32>(queue.descriptors, entry(nr) + 8);
            assert_eq!((length(head), short(head, 12)), (24, 1), "a request that the device reads, and more");
            let tail = short(head, 14);
            assert_eq!(
                (length(tail), short(tail, 12)),
                (10, 2),
                "a response that the device writes, and no more"
            );
            let response = self.device.answer(&load(field(head, 0), 0));
            // SAFETY: the driver shares these bytes for the response.
            unsafe { shared::<[u8; 10]>(field(tail, 0), 0).write_unaligned(response) };
            let used = 4 + 8 * u64::from(queue.seen % queue.size);
            // SAFETY: an entry of the used ring, which the driver reads after the index says so.
            unsafe { shared::<[u32; 2]>(queue.device, used).write_unaligned([head.into(), 10]) };
            queue.seen = queue.seen.wrapping_add(1);
            // The response and the entry are there before the index says so.
            fence(Ordering::Release);
            // SAFETY: the index of the used ring, which both sides access as an atomic.
            unsafe { AtomicU16::from_ptr(shared(queue.device, 2)) }.store(queue.seen, Ordering::Release);
        }
    }
}

impl Transport for Wired {
    fn device_type(&self) -> DeviceType {
        DeviceType::Memory
    }

    fn read_device_features(&mut self) -> u64 {
        self.offered
    }

    fn write_driver_features(&mut self, features: u64) {
        self.accepted = features;
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        if queue == 0 { 128 } else { 0 }
    }

    fn notify(&mut self, queue: u16) {
        assert!(queue == 0 && self.status.contains(DeviceStatus::DRIVER_OK), "the device may be used");
        self.serve();
    }

    fn get_status(&self) -> DeviceStatus {
        self.status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.status = status;
    }

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, descriptors: u64, driver: u64, device: u64) {
        assert_eq!(queue, 0, "guest-request is the only queue");
        self.queue = Queue { size: u16::try_from(size).unwrap(), descriptors, driver, device, seen: 0 };
    }

    fn queue_unset(&mut self, _queue: u16) {
        self.queue = Queue::default();
    }

    fn queue_used(&mut self, _queue: u16) -> bool {
        self.queue.size > 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: zerocopy::FromBytes + zerocopy::IntoBytes>(
        &self,
        offset: usize,
    ) -> Result<T, Error> {
        assert!(size_of::<T>() <= 4, "no transport promises more");
        let (value, _) =
            T::read_from_prefix(&self.device.config()[offset..]).map_err(|_| Error::ConfigSpaceTooSmall)?;
        Ok(value)
    }

    fn write_config_space<T: zerocopy::IntoBytes + zerocopy::Immutable>(
        &mut self,
        _: usize,
        _: T,
    ) -> Result<(), Error> {
        panic!("the driver must not write to the configuration space")
    }
}

/// An allocator without pages.
struct NoPages(Agreeable);

impl sparsemem_hotplug::AllocatorHooks for NoPages {
    fn give(&mut self, frames: sparsemem_core::PfnRange) -> Result<(), sparsemem_hotplug::FramesRefused> {
        self.0.give(frames)
    }

    fn release(&mut self, frames: sparsemem_core::PfnRange) {
        self.0.release(frames);
    }

    fn isolate(&mut self, frames: sparsemem_core::PfnRange) -> Result<(), sparsemem_hotplug::FramesRefused> {
        self.0.isolate(frames)
    }

    fn evacuate(&mut self, frames: sparsemem_core::PfnRange) -> Result<(), sparsemem_hotplug::FramesRefused> {
        self.0.evacuate(frames)
    }

    fn take(&mut self, frames: sparsemem_core::PfnRange) {
        self.0.take(frames);
    }
}

impl KeepsOff for NoPages {}

fn device() -> VirtioMemDevice {
    VirtioMemDevice::new(bytes::<X86_64>(sections::<X86_64>(4, 4)), ByteLen::new(2 * MIB), 3)
}

#[test]
fn memory_comes_and_goes_through_the_queue() {
    let Fixture { model, mut machine } = Pc::<HostRcu<()>>::usual(Backend::Vmemmap);
    let ram = sections::<X86_64>(0, 1);
    boot(&model, &mut machine, &[MemoryRange { frames: ram, node: NODE }]);
    let mut hotplug = Hotplug::new(&model, Limits::new(BlockSize::SECTION), storage(8, 1, 8));
    hotplug.adopt_boot(bytes::<X86_64>(ram), NODE).unwrap();

    let host = device();
    // Features of rings that the driver does not know are offered, too.
    let offered = 0b11 | 1 << 28 | 1 << 29 | 1 << 32;
    let mut wired = VirtioDevice::<Host, _>::new(Wired::new(&host, offered)).unwrap();
    assert_eq!(wired.features(), Features::all());
    assert!(wired.ack_interrupt() == InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT);
    let config = wired.config().unwrap();
    assert_eq!((config.proximity_domain(), config.region().start()), (Some(3), PhysAddr::new(512 * MIB)));

    let mut driver = VirtioMem::new(&config, hotplug.limits(), NodeId::new(3)).unwrap();
    driver.start(&hotplug, &mut wired).unwrap();
    // Long enough for the ring to go around.
    for mib in [2, 300, 30, 130, 128, 4, 512, 0] {
        host.request(ByteLen::new(mib * MIB));
        let (env, allocator) = (&mut machine, &mut NoPages(Agreeable));
        let mut kernel = Kernel { hotplug: &mut hotplug, env, allocator, device: &mut wired };
        let _ = driver.resize(&mut kernel).unwrap();
        assert_eq!(host.plugged(), ByteLen::new(mib * MIB));
        driver.verify(&hotplug, &mut wired).unwrap();
    }
    assert_eq!(model.present_sections().count(), 1);
}

#[test]
fn what_is_not_offered_is_not_used() {
    let mut wired = VirtioDevice::<Host, _>::new(Wired::new(&device(), 1 << 32)).unwrap();
    assert_eq!(wired.features(), Features::empty());
    assert_eq!(wired.config().unwrap().proximity_domain(), None);
}

/// A transport whose queue is taken, and one that has none.
#[test]
fn a_queue_that_cannot_be_set_up_is_an_error() {
    let mut taken = Wired::new(&device(), 0);
    taken.queue.size = 2;
    assert_eq!(VirtioDevice::<Host, _>::new(taken).err(), Some(Error::AlreadyUsed));
    let fault = Fault::from(Error::ConfigSpaceMissing);
    assert!(fault.to_string().starts_with("the device cannot be reached: "), "{fault}");
}
