//! The room of a machine beside its memory: a device that can be plugged, and addresses for a virtual array.

use sparsemem_core::{PhysAddr, PhysRange};
use sparsemem_suite::Shape;

/// The number of sections between the end of memory and the device that can be plugged: room to plug RAM into.
const GAP_SECTIONS: u64 = 8;
/// The number of sections of the device.
const DEVICE_SECTIONS: u64 = 4;
/// The least size of a window in bytes, so that walks over long distances are possible.
const LEAST_WINDOW: u64 = 1 << 40;
/// The number of sections past the end of memory that have a place in the window.
const SPARE_SECTIONS: u64 = 64;

/// The room beside a machine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The first address past all memory.
    pub end: PhysAddr,
    /// The device: some sections past the end of memory, if the geometry has addresses there.
    pub device: Option<PhysRange>,
    /// Bytes for a virtual array: enough for the geometry's maximum, or fewer if a process does not have that many
    /// addresses.
    pub window_bytes: u64,
}

impl Room {
    /// The room of a machine with `memory`, for models of a geometry and a size of descriptors.
    #[must_use]
    pub fn beside(memory: impl Iterator<Item = PhysRange>, shape: &Shape, descriptor_bytes: u64) -> Self {
        Self::past(memory.map(PhysRange::end).max().unwrap_or_default(), shape, descriptor_bytes)
    }

    /// The same for memory that ends there.
    #[must_use]
    pub fn past(end: PhysAddr, shape: &Shape, descriptor_bytes: u64) -> Self {
        let device = device(shape, end);
        Self { end, device, window_bytes: window_bytes(shape, descriptor_bytes, end) }
    }

    /// The first address past memory and device.
    #[must_use]
    pub fn limit(&self) -> PhysAddr {
        self.device.map_or(self.end, PhysRange::end)
    }

    /// Addresses of the host for all of it: one for each of the machine's, and those of the window.
    #[must_use]
    pub fn addresses(&self) -> u64 {
        self.limit().get().saturating_add(self.window_bytes)
    }

    /// All that scenarios may add: the memory between the end and the limit.
    #[must_use]
    pub fn plugged(&self) -> PhysRange {
        PhysRange::new(self.end, self.limit()).unwrap_or_default()
    }
}

fn device(shape: &Shape, end: PhysAddr) -> Option<PhysRange> {
    let section = shape.section_bytes();
    let start = end.get().checked_next_multiple_of(section)?.checked_add(GAP_SECTIONS * section)?;
    let end = start.checked_add(DEVICE_SECTIONS * section).filter(|end| end >> shape.physical_bits == 0)?;
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).ok()
}

fn window_bytes(shape: &Shape, descriptor_bytes: u64, end: PhysAddr) -> u64 {
    let whole = shape.frames().saturating_mul(descriptor_bytes);
    let spare = SPARE_SECTIONS * shape.section_frames();
    let frames = (end.get() >> shape.page_bits).next_multiple_of(shape.section_frames()) + spare;
    whole.min(frames.saturating_mul(descriptor_bytes).max(LEAST_WINDOW))
}
