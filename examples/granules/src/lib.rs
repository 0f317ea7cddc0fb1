//! The granule table of a realm monitor: the state of each granule of 4 KiB, behind a lock bit of its own.
#![no_std]

use core::sync::atomic::{AtomicU32, Ordering};
use sparsemem::*;
use sparsemem_environments::{BootArena, DirectMap};

/// The use of a granule. Zero bytes are one that the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    Undelegated = 0,
    Delegated = 1,
    RealmDescriptor = 2,
    Data = 3,
}

const LOCKED: u32 = 1 << 31;

/// 8 bytes for each granule: state and lock, and the section, by which an entry leads back to its granule.
#[derive(Debug)]
pub struct Granule {
    word: AtomicU32,
    stamp: Stamp,
}

// SAFETY: atomic integers: zeros are valid, nothing has to be dropped, and nothing unwinds.
unsafe impl PageDescriptor for Granule {
    unsafe fn initialise(&self, _: Pfn, section: SectionNr) {
        // SAFETY: the caller promises the same.
        unsafe { self.stamp.set(section) }
    }
}

// SAFETY: `initialise` sets it.
unsafe impl SectionStamp for Granule {
    fn section(&self) -> SectionNr {
        self.stamp.section()
    }
}

pub struct Monitor;
impl Config for Monitor {
    type Geometry = presets::Arm64Page4K;
    type Page = Granule;
    type Reclaim = NeverReclaim;
    type Array = NoArray;
}

sparsemem::declare! { static GRANULES: Monitor; }

/// A granule that this processor has locked; unlocked in the state that it then has.
#[derive(Debug)]
pub struct Locked {
    granule: &'static Granule,
    pub state: State,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `lock`.
        self.granule.word.store(self.state as u32, Ordering::Release);
    }
}

/// Makes the table for the banks of the manifest, in memory of the monitor's own: `block` says how much it takes.
///
/// # Safety
/// `map` reaches the block, which nobody else uses.
pub unsafe fn boot(map: DirectMap, banks: &[MemoryRange], block: impl FnOnce(ByteLen) -> Option<PhysAddr>) {
    let need = GRANULES.boot_bytes(banks.iter().copied());
    // SAFETY: the caller's promise.
    let mut arena = unsafe { BootArena::new(map, need, block) }.expect("memory for the granules");
    let mut writer = GRANULES.write().expect("one processor");
    let booted = writer.boot(&mut arena, banks.iter().copied(), &mut |_| ()).expect("the first boot");
    assert_eq!(booted.lost, 0, "a bank without granules");
    for bank in banks {
        initialise(&GRANULES, bank.frames);
    }
}

/// Locks the granule at an address that the host names, if it is aligned, in a bank's section, and in this state.
pub fn lock(address: u64, state: State) -> Option<Locked> {
    let at = PhysAddr::new(address);
    let pfn = at.is_aligned(4096).then(|| at.pfn::<presets::Arm64Page4K>())?;
    let granule = StaticReader::new(&GRANULES).online_page(pfn)?;
    let (free, locked) = (state as u32, LOCKED | state as u32);
    // Acquire: pairs with the Release of the one who had it before.
    granule.word.compare_exchange(free, locked, Ordering::Acquire, Ordering::Relaxed).ok()?;
    Some(Locked { granule, state })
}
