//! This kernel takes the driver of virtio-mem devices: it finds the device, and its page allocator gets the memory.
//!
//! # Invariants
//!
//! 1. The direct map has memory of the device only while that is plugged, or while nobody uses it: from before the device
//!    is asked to plug it until after it is unplugged.
//! 2. Memory of the device holds no metadata and no page tables, so that it can go ([`crate::frames::Frames::leaves_from`]).

use sparsemem::{NodeId, PfnRange, PhysRange};
use sparsemem_hotplug::{AllocatorHooks, FramesRefused, Hotplug, Reason};
use sparsemem_virtio_mem::{Config, Device, KeepsOff, VirtioDevice, VirtioMem};
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::PciTransport;

use crate::arch::Sizes;
use crate::defect::Defect;
use crate::frames::{FRAMES, Pages, take_zeroed};
use crate::model::Model;
use crate::paging;
use crate::virtio::{self, DeviceError, Machine};

/// The device on the transport of this machine.
pub(crate) type MemoryDevice = VirtioDevice<Machine, PciTransport>;

/// The reason why the device cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// There is none, or it is not as the standard has it.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// It has no queue.
    #[error("the queue of the device cannot be set up: {0}")]
    Queue(#[from] virtio_drivers::Error),
    /// It does not tell its configuration.
    #[error(transparent)]
    Config(#[from] sparsemem_virtio_mem::Fault),
    /// Its memory cannot be used.
    #[error(transparent)]
    Attach(#[from] sparsemem_virtio_mem::AttachError),
}

/// The first virtio-mem device, reset; it keeps the blocks that it has plugged.
///
/// # Errors
///
/// [`ProbeError`].
pub(crate) fn device() -> Result<(MemoryDevice, Config), ProbeError> {
    let mut device = MemoryDevice::new(virtio::find(DeviceType::Memory)?)?;
    let config = device.config()?;
    Ok((device, config))
}

/// A driver for a device with this configuration, which may be started. A proximity domain is the node of that number.
///
/// # Errors
///
/// [`ProbeError`].
pub(crate) fn driver(config: &Config, hotplug: &Hotplug<'_, Model>) -> Result<VirtioMem<Sizes>, ProbeError> {
    let node = config.proximity_domain().map_or(NodeId::new(0), |domain| NodeId::new(domain.into()));
    let driver = VirtioMem::new(config, hotplug.limits(), node)?;
    FRAMES.lock().leaves_from(driver.region().start());
    Ok(driver)
}

/// The page allocator, for memory of the device: it lets the direct map reach the memory that it is given, which may take
/// page tables, and hides what it gives up.
#[derive(Debug, Default)]
pub(crate) struct DevicePages {
    /// The number of page tables that there is memory for, in a simulated shortage.
    tables_left: Option<u64>,
    /// The tables that were refused.
    refused: u64,
}

impl DevicePages {
    /// Leaves memory for so many page tables from now on.
    pub(crate) const fn arm(&mut self, tables: u64) {
        self.tables_left = Some(tables);
    }

    /// Ends the shortage, and returns how many tables were refused in it.
    pub(crate) const fn heal(&mut self) -> u64 {
        self.tables_left = None;
        core::mem::replace(&mut self.refused, 0)
    }

    /// Memory for a page table.
    fn table(&mut self) -> Option<sparsemem::PhysAddr> {
        let left = self.tables_left.map(|left| left.checked_sub(1));
        if left == Some(None) {
            self.refused += 1;
            return None;
        }
        self.tables_left = left.flatten();
        take_zeroed()
    }
}

/// The bytes of frames, which the device has named by bytes.
fn bytes(frames: PfnRange) -> PhysRange {
    frames.bytes::<Sizes>().unwrap_or_default()
}

impl AllocatorHooks for DevicePages {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let range = bytes(frames);
        let given = match paging::map(range, &mut || self.table()) {
            Err(_) if !Defect::UnreachedMemory.is_on() => {
                let reason = Reason::Policy("the direct map has no memory for a page table");
                Err(FramesRefused { frames, reason })
            }
            _ => Pages.give(frames),
        };
        given.inspect_err(|_| paging::unmap(range))
    }

    fn release(&mut self, frames: PfnRange) {
        Pages.release(frames);
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        Pages.isolate(frames)
    }

    fn evacuate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        let evacuated = Pages.evacuate(frames);
        if Defect::UsedMemoryGoes.is_on() { Ok(()) } else { evacuated }
    }

    fn take(&mut self, frames: PfnRange) {
        Pages.take(frames);
        paging::unmap(bytes(frames));
    }
}

/// `Pages` keeps bits of frames, and accesses no memory of them.
impl KeepsOff for DevicePages {}
