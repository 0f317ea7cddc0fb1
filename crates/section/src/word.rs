//! The section word: memmap pointer and state of a section in one machine word.
//!
//! | state | rest of the word | flags | lookups |
//! |---|---|---|---|
//! | absent | 0 | none | fail |
//! | about to be added, with planes | the bit above the flags | none | succeed as the plane says |
//! | marked (boot, before its memmap) | node number << 5 | `PRESENT`, `ONLINE` | fail |
//! | claimed (one processor makes its memmap) | as marked, and the highest bit | `PRESENT`, `ONLINE` | fail |
//! | early | encoded memmap | `PRESENT`, `HAS_MEM_MAP`, `ONLINE`, `EARLY` | succeed for every frame of the section |
//! | hot-added | encoded memmap | `PRESENT`, `HAS_MEM_MAP` (and `ONLINE` once online) | succeed where the subsection bit is set |
//! | shared with a device | encoded memmap | also `TAINT_ZONE_DEVICE` | as before |
//!
//! A word with a memmap has one more bit, which no other code sees: that the subsections are *alike*, which means all of them
//! populated, and all or none of them online. Lookups then need no subsection map. A marked word has the highest bit to
//! itself: that a processor has *claimed* the section. Differs from Linux.
//!
//! The encoded memmap is the address of the section's first descriptor, minus the section's first frame number counted
//! in descriptors: adding any frame number of the section gives the frame's descriptor, without knowing the section.
//!
//! Source: Linux `section_mem_map`, `sparse_encode_mem_map`, `SECTION_NID_SHIFT` (2005 to 6.12).
//!
//! # Invariants
//!
//! 1. The low [`SECTION_FLAG_BITS`] bits are flags and nothing else. An encoded pointer has zeros there, and in the bit above
//!    them, which is free for the model's own.
//! 2. The encoded pointer carries the provenance of the memmap it was made from.

use core::fmt;
use core::ptr::NonNull;

use sparsemem_core::{NodeId, Pfn, SECTION_FLAG_BITS, SectionFlags};

/// The bits of a word that are flags.
const FLAG_MASK: usize = (1 << SECTION_FLAG_BITS) - 1;
/// The bit of a word with a memmap whose section's subsections are alike.
const ALIKE: usize = 1 << SECTION_FLAG_BITS;
/// The number of low bits that an encoded memmap pointer leaves free.
pub(crate) const FREE_BITS: u32 = SECTION_FLAG_BITS + 1;
/// The bits of a word with a memmap that are no part of the pointer.
const FREE_MASK: usize = FLAG_MASK | ALIKE;
/// The lowest bit of the early node number (Linux: `SECTION_NID_SHIFT`).
const NODE_SHIFT: u32 = SECTION_FLAG_BITS;

/// The bit of a word without memmap whose section a processor has claimed.
const CLAIMED: usize = 1 << (usize::BITS - 1);

/// The error for a memmap pointer whose encoding would lose its low bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memmap at {address:#x} for frames from {first} does not leave {FREE_BITS} bits for flags")]
pub struct NotEncodable {
    /// Address of the memmap.
    pub address: usize,
    /// The section's first frame.
    pub first: Pfn,
}

/// The error for a node number that does not fit a section word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node} does not fit a section word")]
pub struct NodeTooLarge {
    /// The node.
    pub node: NodeId,
}

/// The word of one section, as a value.
pub struct SectionWord<P>(*mut P);

impl<P> SectionWord<P> {
    /// The word of a section that is absent.
    pub const ABSENT: Self = Self(core::ptr::null_mut());

    /// The word of a section whose bits are in a plane already and which has no memmap in its word yet: it is known to walks,
    /// and absent for everybody else.
    pub(crate) const COMING: Self = Self(core::ptr::without_provenance_mut(ALIKE));

    /// Takes a word as it was stored.
    #[inline]
    pub(crate) const fn from_raw(raw: *mut P) -> Self {
        Self(raw)
    }

    /// The word as it is stored.
    #[inline]
    pub(crate) const fn into_raw(self) -> *mut P {
        self.0
    }

    /// The word of a section that was reported at boot and has no memmap yet.
    ///
    /// # Errors
    ///
    /// [`NodeTooLarge`] if the node number does not fit beside the flags.
    pub fn marked(node: NodeId, flags: SectionFlags) -> Result<Self, NodeTooLarge> {
        let shifted = usize::try_from(node.get())
            .ok()
            .and_then(|raw| raw.checked_mul(1 << NODE_SHIFT))
            .filter(|shifted| shifted & CLAIMED == 0)
            .ok_or(NodeTooLarge { node })?;
        Ok(Self(core::ptr::without_provenance_mut(shifted | bits(flags))))
    }

    /// The word of a section whose first descriptor is at `memmap`.
    ///
    /// # Errors
    ///
    /// [`NotEncodable`] if the encoded pointer would have bits where the flags are.
    pub fn mapped(memmap: NonNull<P>, first: Pfn, flags: SectionFlags) -> Result<Self, NotEncodable> {
        let coded = memmap.as_ptr().wrapping_sub(index(first));
        if coded.addr() & FREE_MASK != 0 {
            return Err(NotEncodable { address: memmap.as_ptr().addr(), first });
        }
        let flags = flags | SectionFlags::HAS_MEM_MAP;
        Ok(Self(coded.map_addr(|address| address | bits(flags))))
    }

    /// The flags.
    #[inline]
    #[must_use]
    pub fn flags(self) -> SectionFlags {
        #[expect(clippy::cast_possible_truncation, reason = "masked to five bits")]
        SectionFlags::from_bits_retain((self.0.addr() & FLAG_MASK) as u8)
    }

    /// True if the word is zero: the section is absent.
    #[inline]
    #[must_use]
    pub fn is_absent(self) -> bool {
        self.0.is_null()
    }

    /// True if lookups of the section succeed.
    #[inline]
    #[must_use]
    pub fn has_memmap(self) -> bool {
        self.flags().contains(SectionFlags::HAS_MEM_MAP)
    }

    /// True if the subsections are alike, or all of `flags` are set; asked of a word with a memmap.
    #[inline]
    pub(crate) fn is_alike_or(self, flags: SectionFlags) -> bool {
        self.0.addr() & (ALIKE | bits(flags)) != 0
    }

    /// True if the subsections are alike; asked of a word with a memmap.
    #[inline]
    pub(crate) fn is_alike(self) -> bool {
        self.is_alike_or(SectionFlags::empty())
    }

    /// The same word, of a section whose subsections are alike or not.
    #[inline]
    pub(crate) fn with_alike(self, usage_is_alike: Alike) -> Self {
        let bit = match usage_is_alike {
            Alike::Yes => ALIKE,
            Alike::No => 0,
        };
        Self(self.0.map_addr(|address| address & !ALIKE | bit))
    }

    /// The node of a section that is marked and has no memmap yet.
    #[must_use]
    pub fn early_node(self) -> Option<NodeId> {
        if self.has_memmap() || self.flags().is_empty() {
            return None;
        }
        u32::try_from((self.0.addr() & !CLAIMED) >> NODE_SHIFT).ok().map(NodeId::new)
    }

    /// True if the section is marked, and waits for the processor that brings it up.
    pub(crate) fn is_deferred(self) -> bool {
        self.early_node().is_some() && !self.is_claimed()
    }

    /// True if a processor has claimed the section; asked of a word without memmap.
    pub(crate) fn is_claimed(self) -> bool {
        self.0.addr() & CLAIMED != 0
    }

    /// The word of a section that is claimed; asked of a word without memmap.
    pub(crate) fn claimed(self) -> Self {
        Self(self.0.map_addr(|address| address | CLAIMED))
    }

    /// The address of the descriptor of `pfn`, if the word has a memmap and the frame is of this section.
    #[inline]
    #[must_use]
    pub fn descriptor(self, pfn: Pfn) -> *mut P {
        if const { size_of::<P>() % (FREE_MASK + 1) == 0 } {
            // A whole number of descriptors does not touch the flags, so the flags may be cleared last. The word then
            // need not outlive the addition in a register of its own: one instruction less than the other order, in
            // every checked lookup.
            return self.0.wrapping_add(index(pfn)).map_addr(|address| address & !FREE_MASK);
        }
        self.coded().wrapping_add(index(pfn))
    }

    /// The frame of a descriptor of this section.
    #[inline]
    #[must_use]
    pub fn frame(self, descriptor: *mut P) -> Pfn {
        let bytes = descriptor.addr().wrapping_sub(self.coded().addr());
        Pfn::new((bytes / size_of::<P>()) as u64)
    }

    /// The same word with other flags. It says as before whether subsections are alike.
    #[must_use]
    pub fn with_flags(self, flags: SectionFlags) -> Self {
        Self(self.0.map_addr(|address| address & !FLAG_MASK | bits(flags)))
    }

    /// The encoded pointer without flags.
    #[inline]
    #[must_use]
    pub fn coded(self) -> *mut P {
        self.0.map_addr(|address| address & !FREE_MASK)
    }
}

/// Says whether the subsections of a section are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alike {
    /// All of them are populated, and all or none online.
    Yes,
    /// Some differ from others.
    No,
}

/// Flags as bits of a word. Other bits are dropped.
const fn bits(flags: SectionFlags) -> usize {
    flags.bits() as usize & FLAG_MASK
}

/// A frame number as an array index. Frames of a section with a memmap fit: their descriptors have addresses.
#[inline]
const fn index(pfn: Pfn) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "wrapping arithmetic modulo the address space")]
    {
        pfn.get() as usize
    }
}

impl<P> Clone for SectionWord<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for SectionWord<P> {}

impl<P> PartialEq for SectionWord<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0.addr() == other.0.addr()
    }
}

impl<P> Eq for SectionWord<P> {}

impl<P> fmt::Debug for SectionWord<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.early_node() {
            Some(node) => write!(f, "SectionWord({:?}, node {node})", self.flags()),
            None => write!(f, "SectionWord({:?}, {:p})", self.flags(), self.coded()),
        }
    }
}

#[cfg(test)]
mod tests;
