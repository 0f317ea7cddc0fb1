//! The section word: memmap pointer and state of a section in one machine word.
//!
//! | state | rest of the word | flags | lookups |
//! |---|---|---|---|
//! | absent | 0 | none | fail |
//! | about to be added, with planes | the bit above the flags | none | succeed as the plane says |
//! | marked (boot, before its memmap) | node number << 5 | `PRESENT`, `ONLINE` | fail |
//! | early | encoded memmap | `PRESENT`, `HAS_MEM_MAP`, `ONLINE`, `EARLY` | succeed for every frame of the section |
//! | hot-added | encoded memmap | `PRESENT`, `HAS_MEM_MAP` (and `ONLINE` once online) | succeed where the subsection bit is set |
//! | shared with a device | encoded memmap | also `TAINT_ZONE_DEVICE` | as before |
//!
//! A word with a memmap has one more bit, which no other code sees: that the subsections are *alike*, which means all of them
//! populated, and all or none of them online. Lookups then need no subsection map. Differs from Linux.
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

    /// Whether the word is zero: the section is absent.
    #[inline]
    #[must_use]
    pub fn is_absent(self) -> bool {
        self.0.is_null()
    }

    /// Whether lookups of the section succeed.
    #[inline]
    #[must_use]
    pub fn has_memmap(self) -> bool {
        self.flags().contains(SectionFlags::HAS_MEM_MAP)
    }

    /// Whether the subsections are alike, or all of `flags` are set; asked of a word with a memmap.
    #[inline]
    pub(crate) fn is_alike_or(self, flags: SectionFlags) -> bool {
        self.0.addr() & (ALIKE | bits(flags)) != 0
    }

    /// Whether the subsections are alike; asked of a word with a memmap.
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
        u32::try_from(self.0.addr() >> NODE_SHIFT).ok().map(NodeId::new)
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

/// Whether the subsections of a section are alike.
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
mod tests {
    use super::*;
    use sparsemem_core::presets::X86_64;
    use sparsemem_core::{Page, SectionNr};

    /// A pointer that is only a number, as the vectors give it.
    fn at(address: usize) -> NonNull<Page> {
        NonNull::new(core::ptr::without_provenance_mut(address)).unwrap()
    }

    fn first(section: u64) -> Pfn {
        SectionNr::new(section).first_pfn::<X86_64>().unwrap()
    }

    #[test]
    fn encodes_as_in_the_worked_vectors() {
        // The worked vectors (T-05).
        let memmap = at(0xffff_8880_1234_5000);
        let coded = |section| {
            let word = SectionWord::mapped(memmap, first(section), SectionFlags::empty()).unwrap();
            word.coded().addr()
        };
        assert_eq!(coded(0), 0xffff_8880_1234_5000);
        assert_eq!(coded(1), 0xffff_8880_1214_5000);
        assert_eq!(coded(32), 0xffff_8880_0e34_5000);
        assert_eq!(coded(524_287), 0xffff_8780_1254_5000);
        for section in [0, 1, 32, 524_287] {
            let word = SectionWord::mapped(memmap, first(section), SectionFlags::EARLY).unwrap();
            let fifth = Pfn::new(first(section).get() + 5);
            assert_eq!(word.descriptor(fifth).addr(), memmap.as_ptr().addr() + 0x140);
            assert_eq!(word.frame(word.descriptor(fifth)), fifth);
        }
    }

    /// Descriptors of `P`, whose flags may be cleared before or after the frame is added.
    fn finds_descriptors_of<P>() {
        let memmap = NonNull::new(core::ptr::without_provenance_mut::<P>(0x7000_0000)).unwrap();
        for flags in [SectionFlags::empty(), SectionFlags::all()] {
            let word = SectionWord::mapped(memmap, first(3), flags).unwrap();
            for offset in [0, 1, 5, 0x7fff] {
                let pfn = Pfn::new(first(3).get() + offset);
                let bytes = usize::try_from(offset).unwrap() * size_of::<P>();
                assert_eq!(word.descriptor(pfn).addr(), 0x7000_0000 + bytes, "{} bytes", size_of::<P>());
                assert_eq!(word.frame(word.descriptor(pfn)), pfn);
            }
        }
    }

    #[test]
    fn flags_are_no_part_of_the_address_whatever_the_size() {
        finds_descriptors_of::<[u64; 1]>();
        finds_descriptors_of::<[u64; 4]>();
        finds_descriptors_of::<[u64; 7]>();
        finds_descriptors_of::<[u64; 8]>();
        finds_descriptors_of::<[u64; 10]>();
    }

    /// Sizes in bytes that are not multiples of 32: their descriptors do touch the flags.
    #[test]
    fn flags_are_no_part_of_the_address_beside_multiples_of_32() {
        finds_descriptors_of::<[u64; 15]>();
        finds_descriptors_of::<[u64; 31]>();
        finds_descriptors_of::<[u64; 33]>();
    }

    #[test]
    fn a_virtual_memmap_encodes_to_its_base() {
        // The worked vectors (T-04).
        let base = 0xffff_ea00_0000_0000_usize;
        for section in [0, 32, 524_287] {
            let memmap = at(base + usize::try_from(first(section).get() * 64).unwrap());
            let word = SectionWord::mapped(memmap, first(section), SectionFlags::PRESENT).unwrap();
            assert_eq!(word.coded().addr(), base);
            assert_eq!(word.flags(), SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP);
        }
    }

    #[test]
    fn an_early_node_sits_above_the_flags() {
        // The worked vectors (T-07).
        let flags = SectionFlags::PRESENT | SectionFlags::ONLINE;
        let word = SectionWord::<Page>::marked(NodeId::new(5), flags).unwrap();
        assert_eq!(word.into_raw().addr(), 0xa5);
        assert_eq!(word.early_node(), Some(NodeId::new(5)));
        assert!(!word.has_memmap());
        let largest = SectionWord::<Page>::marked(NodeId::new(u32::MAX), flags);
        assert_eq!(largest.is_ok(), usize::BITS == 64);
    }

    #[test]
    fn bits_that_are_no_flags_have_no_place_in_a_word() {
        let stray = SectionFlags::from_bits_retain(0xe0) | SectionFlags::PRESENT;
        let word = SectionWord::mapped(at(0x40_0000), first(0), stray).unwrap();
        assert_eq!(word.coded().addr(), 0x40_0000);
        assert_eq!(word.with_flags(stray).coded(), word.coded());
        assert_eq!(
            SectionWord::<Page>::marked(NodeId::new(5), stray).unwrap().early_node(),
            Some(NodeId::new(5))
        );
    }

    #[test]
    fn stray_low_bits_are_refused() {
        let error = SectionWord::mapped(at(0x1008), first(0), SectionFlags::EARLY).unwrap_err();
        assert_eq!(error, NotEncodable { address: 0x1008, first: first(0) });
    }

    #[test]
    fn flags_change_without_the_pointer() {
        let word = SectionWord::mapped(at(0x40_0000), first(1), SectionFlags::PRESENT).unwrap();
        let online = word.with_flags(word.flags() | SectionFlags::ONLINE);
        assert_eq!(online.coded(), word.coded());
        assert!(online.flags().contains(SectionFlags::ONLINE | SectionFlags::HAS_MEM_MAP));
        assert!(
            SectionWord::<Page>::ABSENT.is_absent() && SectionWord::<Page>::ABSENT.early_node().is_none()
        );
    }

    #[test]
    fn a_mapped_word_has_the_flags_that_were_given() {
        for flags in [SectionFlags::empty(), SectionFlags::HAS_MEM_MAP, SectionFlags::all()] {
            let word = SectionWord::mapped(at(0x40_0000), first(0), flags).unwrap();
            assert_eq!(word.flags(), flags | SectionFlags::HAS_MEM_MAP);
            assert_eq!(word.with_flags(flags).flags(), flags);
        }
    }

    #[test]
    fn words_differ_by_flags_and_by_pointer() {
        let word = |address, flags| SectionWord::mapped(at(address), first(0), flags).unwrap();
        let plain = word(0x40_0000, SectionFlags::PRESENT);
        assert_eq!(plain, word(0x40_0000, SectionFlags::PRESENT));
        assert_ne!(plain, word(0x40_0000, SectionFlags::PRESENT | SectionFlags::ONLINE));
        assert_ne!(plain, word(0x80_0000, SectionFlags::PRESENT));
        assert!(plain != SectionWord::ABSENT && !plain.is_absent());
    }

    #[test]
    fn words_print_what_they_hold() {
        let marked = SectionWord::<Page>::marked(NodeId::new(5), SectionFlags::PRESENT).unwrap();
        let mapped = SectionWord::mapped(at(0x40_0000), first(0), SectionFlags::PRESENT).unwrap();
        assert!(std::format!("{marked:?}").contains("node 5"), "{marked:?}");
        assert!(std::format!("{mapped:?}").contains("0x400000"), "{mapped:?}");
    }
}
