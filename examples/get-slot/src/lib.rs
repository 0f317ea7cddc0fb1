//! `get_slot` of a kernel like Asterinas: a typed slot of 64 bytes for each frame, claimed by whoever uses the frame.
#![no_std]

use core::sync::atomic::{AtomicU64, Ordering};
use sparsemem::*;
use sparsemem_environments::{BootArena, DirectMap};

/// The count of a frame that nobody uses. Zero bytes would be a frame in use with no user.
const UNUSED: u64 = u64::MAX;

/// The record that frameworks and drivers keep of a frame.
#[derive(Debug)]
pub struct MetaSlot {
    references: AtomicU64,
    /// The metadata of whoever has the frame.
    pub storage: [AtomicU64; 6],
}

// SAFETY: it does not unwind.
unsafe impl SlotValue for MetaSlot {
    fn new(_: Pfn) -> Self {
        Self { references: AtomicU64::new(UNUSED), storage: [const { AtomicU64::new(0) }; 6] }
    }
}

const _: () = assert!(size_of::<Slot<MetaSlot>>() == 64);

/// The reason why there is no slot.
#[derive(Debug, PartialEq, Eq)]
pub enum GetFrameError {
    /// The address is not that of a frame.
    NotAligned,
    /// There is no RAM.
    OutOfBound,
    /// Somebody uses the frame.
    InUse,
}

pub struct Kernel;
impl Config for Kernel {
    type Geometry = presets::X86_64;
    type Page = Slot<MetaSlot>;
    type Reclaim = NeverReclaim;
    type Array = NoArray;
}

sparsemem::declare! { static MODEL: Kernel; }

/// Makes the slots of all RAM.
///
/// # Safety
/// `map` reaches all memory, and `allocate` gives a block of so many bytes to nobody else.
pub unsafe fn boot(map: DirectMap, ram: &[MemoryRange], allocate: impl FnOnce(ByteLen) -> Option<PhysAddr>) {
    let need = MODEL.boot_bytes(ram.iter().copied());
    // SAFETY: the caller's promise.
    let mut arena = unsafe { BootArena::new(map, need, allocate) }.expect("memory for the slots");
    let booted = MODEL.write().expect("one processor").boot(&mut arena, ram.iter().copied(), &mut |_| ());
    assert_eq!(booted.expect("the first boot").lost, 0, "RAM without slots");
    for range in ram {
        initialise(&MODEL, range.frames);
    }
}

/// The slot of the frame at an address.
///
/// # Errors
/// [`GetFrameError::NotAligned`] and [`GetFrameError::OutOfBound`]: holes are out of bounds, too.
pub fn get_slot(paddr: u64) -> Result<&'static MetaSlot, GetFrameError> {
    let at = PhysAddr::new(paddr);
    if !at.is_aligned(presets::X86_64::PAGE_SIZE) {
        return Err(GetFrameError::NotAligned);
    }
    let slot = StaticReader::new(&MODEL).page(at.pfn::<presets::X86_64>());
    slot.and_then(Slot::get).ok_or(GetFrameError::OutOfBound)
}

/// Claims a frame that nobody uses.
///
/// # Errors
/// As [`get_slot`], and [`GetFrameError::InUse`].
pub fn claim(paddr: u64) -> Result<&'static MetaSlot, GetFrameError> {
    let slot = get_slot(paddr)?;
    let claimed = slot.references.compare_exchange(UNUSED, 1, Ordering::Acquire, Ordering::Relaxed);
    claimed.map(|_| slot).map_err(|_| GetFrameError::InUse)
}
