//! The virtual addresses that are reserved for a virtual memmap.
//!
//! A call to the host for every leaf would make boots of large machines slow: replacing a part of a mapping costs the
//! host several times what changing its protection does. So the first leaf in a gigabyte of the window maps all of
//! that gigabyte, inaccessible, at the same distance to physical memory; leaves at that distance only have to be made
//! accessible. Other leaves are mapped one by one.
//!
//! # Invariants
//!
//! 1. The window begins and ends at multiples of 1 GiB.
//! 2. Exactly the addresses of shown leaves are accessible, unless they are shaded.
//! 3. In a slot with a `base`, addresses without a shown leaf are mapped to the memory at that base plus the offset
//!    in the slot.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::io::{self, Errno};
use sparsemem_core::{ByteLen, LeafSize, PhysAddr, VirtAddr, VirtRange};

use crate::config::HOST_ADDRESSES;
use crate::host::{Protection, Reservation};
use crate::{Leaf, MachineError};

/// Border of the window, and size of a slot.
const BORDER: u64 = LeafSize::Size1GiB.bytes();

/// A gigabyte of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The start of the memory that the slot is prepared to show.
    base: Option<PhysAddr>,
    /// The number of shown leaves.
    shown: u64,
}

/// Reserved addresses, of which parts are mapped to physical memory.
#[derive(Debug)]
pub(crate) struct Window {
    space: Option<Reservation>,
    /// Bytes from the start of the reservation to the first border in it.
    skipped: u64,
    range: VirtRange,
    /// Slots, by offset in the window.
    slots: BTreeMap<u64, Slot>,
}

impl Window {
    /// A window of at least `bytes` bytes below `end`; an empty one for zero.
    pub(crate) fn new(bytes: u64, end: u64) -> Result<Self, MachineError> {
        if bytes == 0 {
            return Ok(Self { space: None, skipped: 0, range: VirtRange::default(), slots: BTreeMap::new() });
        }
        let len = bytes.checked_next_multiple_of(BORDER).filter(|len| *len <= HOST_ADDRESSES - 2 * BORDER);
        let len = len.ok_or(MachineError::WindowTooLarge { bytes })?;
        let space = Reservation::below(len + BORDER, end)?;
        let lowest = space.start().addr().get() as u64;
        let start = lowest.next_multiple_of(BORDER);
        let range = VirtRange::from_start_count(VirtAddr::new(start), ByteLen::new(len));
        let range = range.ok_or(MachineError::WindowTooLarge { bytes })?;
        Ok(Self { space: Some(space), skipped: start - lowest, range, slots: BTreeMap::new() })
    }

    /// The addresses of the window.
    pub(crate) const fn range(&self) -> VirtRange {
        self.range
    }

    /// The first address, with provenance over the window; dangling if the window is empty.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.space.as_ref().map_or(NonNull::dangling(), |space| space.at(self.skipped))
    }

    /// Shows the memory of a leaf, which must lie in the window and overlap no shown leaf.
    pub(crate) fn show(&mut self, leaf: Leaf, ram: BorrowedFd<'_>) -> io::Result<()> {
        let (place, wanted) = (self.place(leaf.at), self.wanted_base(leaf));
        let mut slot = self.slots.get(&place.slot).copied().unwrap_or_default();
        if slot.shown == 0 && slot.base != wanted {
            slot.base = self.prepare(place.slot, wanted, ram);
            self.slots.insert(place.slot, slot);
        }
        if wanted.is_some() && slot.base == wanted {
            self.space()?.protect(place.offset, leaf.size.bytes(), Protection::Open)?;
        } else {
            self.show_alone(leaf, ram)?;
        }
        self.slots.insert(place.slot, Slot { shown: slot.shown + 1, ..slot });
        Ok(())
    }

    /// Shows the memory of other leaves in the place of a shown one, which has the addresses of all of them. Each address
    /// shows the old memory or the new, and never faults in between.
    pub(crate) fn replace(
        &mut self,
        old: Leaf,
        new: &[(Leaf, Protection)],
        ram: BorrowedFd<'_>,
    ) -> io::Result<()> {
        for (leaf, access) in new {
            let offset = self.place(leaf.at).offset;
            self.space()?.map(offset, leaf.size.bytes(), *access, ram, leaf.to.get())?;
        }
        self.forget(old);
        self.slots.entry(self.place(old.at).slot).or_default().shown += new.len() as u64;
        Ok(())
    }

    /// Makes shown leaves inaccessible, which must follow each other without a gap.
    pub(crate) fn hide(&mut self, run: &[Leaf]) -> io::Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let bytes = last.range().end().offset_from(first.at).map_or(0, ByteLen::get);
        let offset = self.place(first.at).offset;
        self.space()?.protect(offset, bytes, Protection::Shut)?;
        run.iter().for_each(|leaf| self.forget(*leaf));
        Ok(())
    }

    /// Changes the allowed access to a leaf that is shown.
    pub(crate) fn shade(&mut self, leaf: Leaf, access: Protection) -> io::Result<()> {
        let offset = self.place(leaf.at).offset;
        self.space()?.protect(offset, leaf.size.bytes(), access)
    }

    /// Leaves everything mapped for good.
    pub(crate) fn keep_mapped(&mut self) {
        if let Some(space) = &mut self.space {
            space.keep_mapped();
        }
    }

    /// Maps a whole slot, inaccessible, to the memory from `base`; returns the base that it has now.
    fn prepare(&mut self, slot: u64, base: Option<PhysAddr>, ram: BorrowedFd<'_>) -> Option<PhysAddr> {
        let (offset, from) = (self.skipped + slot, base?.get());
        let space = self.space.as_mut()?;
        if space.map(offset, BORDER, Protection::Shut, ram, from).is_ok() {
            return base;
        }
        // The host may have removed the mapping before it refused.
        let _ = space.blank(offset, BORDER);
        None
    }

    /// Maps one leaf over the mapping for which the slot is prepared.
    fn show_alone(&mut self, leaf: Leaf, ram: BorrowedFd<'_>) -> io::Result<()> {
        let (place, bytes) = (self.place(leaf.at), leaf.size.bytes());
        let mapped = self.space()?.map(place.offset, bytes, Protection::Open, ram, leaf.to.get());
        if mapped.is_err() {
            // As in `prepare`; and invariant 3 cannot be relied on in this slot any more.
            let _ = self.space()?.blank(place.offset, bytes);
            self.slots.entry(place.slot).or_default().base = None;
        }
        mapped
    }

    /// Counts a leaf that was made inaccessible as no longer shown.
    fn forget(&mut self, leaf: Leaf) {
        let wanted = self.wanted_base(leaf);
        let slot = self.slots.entry(self.place(leaf.at).slot).or_default();
        slot.shown = slot.shown.saturating_sub(1);
        if slot.base != wanted {
            // The leaf was shown alone, so other memory is mapped here than invariant 3 requires.
            slot.base = None;
        }
    }

    /// The base of a slot in which this leaf would only have to be made accessible.
    fn wanted_base(&self, leaf: Leaf) -> Option<PhysAddr> {
        let place = self.place(leaf.at);
        leaf.to.checked_sub(ByteLen::new(place.offset - self.skipped - place.slot))
    }

    /// The place of an address of the window.
    fn place(&self, at: VirtAddr) -> Place {
        let inside = at.offset_from(self.range.start()).map_or(0, ByteLen::get);
        Place { slot: inside / BORDER * BORDER, offset: inside + self.skipped }
    }

    fn space(&mut self) -> io::Result<&mut Reservation> {
        self.space.as_mut().ok_or(Errno::INVAL)
    }
}

/// The place of an address of the window.
#[derive(Clone, Copy)]
struct Place {
    /// Offset of the slot in the window.
    slot: u64,
    /// Offset of the address in the reservation.
    offset: u64,
}
