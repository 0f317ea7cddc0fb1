//! Finds virtio devices on the PCI bus, and gives them memory that they may access.
//!
//! # Invariants
//!
//! 1. A device accesses only memory that it was given here and that was not taken back: frames of the page allocator, and
//!    buffers of this kernel while a request is under way.

use core::ptr::NonNull;

use sparsemem::{ByteLen, PageCount, PhysAddr, PhysRange, VirtAddr};
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{Command, PciRoot};
use virtio_drivers::transport::pci::{PciTransport, VirtioPciError, virtio_device_type};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE};

use crate::arch::{Sizes, pci};
use crate::frames::{FRAMES, take_zeroed};
use crate::{direct_map, paging};

/// The reason why there is no device to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// There is no device of this type.
    #[error("there is no virtio device of type {0:?} on the first PCI bus")]
    Absent(DeviceType),
    /// The device is not as the standard has it.
    #[error("the virtio device cannot be used: {0}")]
    Transport(VirtioPciError),
}

/// The first device of a type, reset and without interrupts.
///
/// # Errors
///
/// [`DeviceError`].
pub(crate) fn find(wanted: DeviceType) -> Result<PciTransport, DeviceError> {
    // SAFETY: this kernel runs on QEMU's boards only, and looks for one device at a time.
    let mut root = PciRoot::new(unsafe { pci::Configuration::new() });
    let found = root.enumerate_bus(0).find(|(_, info)| virtio_device_type(info) == Some(wanted));
    let (at, _) = found.ok_or(DeviceError::Absent(wanted))?;
    root.set_command(at, Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE);
    PciTransport::new::<Machine, _>(&mut root, at).map_err(DeviceError::Transport)
}

/// The memory of this machine, as devices see it: at physical addresses.
#[derive(Debug)]
pub(crate) struct Machine;

// SAFETY: (1) the page allocator gives frames to one owner at a time, the direct map reaches them, and they are zeroed here;
// (2) the registers of a device are at their place in the direct map, where no other memory is; (3) buffers are at the
// addresses that the page tables have for them.
unsafe impl Hal for Machine {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (u64, NonNull<u8>) {
        let at = FRAMES.lock().take(pages, 1);
        let Some((at, place)) = at.and_then(|at| Some((at, direct_map::to_virt(at)?))) else {
            // The caller takes address 0 for a refusal.
            return (0, NonNull::dangling());
        };
        // SAFETY: the frames were just taken, so no other code uses them, and the direct map reaches them.
        unsafe { place.write_bytes(0, pages * PAGE_SIZE) };
        (at.get(), place)
    }

    unsafe fn dma_dealloc(at: u64, _: NonNull<u8>, pages: usize) -> i32 {
        let first = PhysAddr::new(at).pfn::<Sizes>();
        (0..pages as u64).for_each(|nr| FRAMES.lock().put(first.saturating_add(PageCount::new(nr))));
        0
    }

    unsafe fn mmio_phys_to_virt(at: u64, size: usize) -> NonNull<u8> {
        let at = PhysAddr::new(at);
        let range = PhysRange::from_start_count(at, ByteLen::new(size as u64));
        let mapped = range.is_some_and(|range| paging::map(range, &mut take_zeroed).is_ok());
        let place = direct_map::to_virt(at).filter(|_| mapped);
        place.unwrap_or_else(|| panic!("the registers of a device, {size} bytes at {at}, cannot be reached"))
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> u64 {
        let at = buffer.cast::<u8>().addr().get() as u64;
        // The image and the direct map are at one distance from physical addresses each, so the buffer has no gaps.
        let leaf = paging::leaf_at(VirtAddr::new(at));
        let leaf =
            leaf.unwrap_or_else(|| panic!("a buffer for a device lies at {at:#x}, where nothing is mapped"));
        leaf.to.get() + (at - leaf.at.get())
    }

    unsafe fn unshare(_: u64, _: NonNull<[u8]>, _: BufferDirection) {}
}
