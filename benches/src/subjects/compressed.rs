//! A compressed index, as in Xen: the longest run of address bits that no memory has is taken out of the frame number.

use core::ptr::NonNull;

use sparsemem_core::{MemoryRange, Page, Pfn};

/// Frames of a group that shares a validity bit: 2 MiB.
const GROUP_BITS: u32 = 9;
/// Bits below which nothing is taken out: sections of 128 MiB stay whole.
const LOWEST: u32 = 15;

/// The rule by which frames become indices.
#[derive(Debug)]
pub(super) struct Compressed {
    bottom: u64,
    top: u64,
    shift: u32,
    groups: Vec<u64>,
    array: NonNull<Page>,
}

impl Compressed {
    /// Finds the bits that can be left out.
    pub(super) fn new(memory: &[MemoryRange], array: NonNull<Page>) -> Self {
        let used = memory.iter().fold(0, |used, range| used | bits_of(range));
        let (low, shift) = longest_hole(used);
        let bottom = (1 << low) - 1;
        let top = !0 << (low + shift);
        let mut compressed = Self { bottom, top, shift, groups: Vec::new(), array };
        let end =
            memory.iter().map(|range| compressed.index(range.frames.end().get() - 1) + 1).max().unwrap_or(0);
        compressed.groups = vec![0; usize::try_from((end >> GROUP_BITS) / 64 + 1).unwrap_or(0)];
        for range in memory {
            let (first, last) =
                (range.frames.start().get() >> GROUP_BITS, (range.frames.end().get() - 1) >> GROUP_BITS);
            for group in first..=last {
                let at = compressed.index(group << GROUP_BITS) >> GROUP_BITS;
                compressed.groups[usize::try_from(at / 64).unwrap_or(0)] |= 1 << (at % 64);
            }
        }
        compressed
    }

    #[inline]
    const fn index(&self, pfn: u64) -> u64 {
        (pfn & self.bottom) | ((pfn & self.top) >> self.shift)
    }

    /// The descriptor of a frame that is known to have one.
    #[inline]
    pub(super) fn page(&self, pfn: Pfn) -> NonNull<Page> {
        let index = usize::try_from(self.index(pfn.get())).unwrap_or(usize::MAX);
        // SAFETY: the index of a frame of memory is at most the frame itself, for whose descriptor the array has room.
        unsafe { self.array.add(index) }
    }

    /// The descriptor of a frame, if its group has memory.
    #[inline]
    pub(super) fn checked(&self, pfn: Pfn) -> Option<NonNull<Page>> {
        let hole = !(self.bottom | self.top);
        if pfn.get() & hole != 0 {
            return None;
        }
        let group = self.index(pfn.get()) >> GROUP_BITS;
        let word = self.groups.get(usize::try_from(group / 64).unwrap_or(usize::MAX))?;
        (word >> (group % 64) & 1 == 1).then(|| self.page(pfn))
    }
}

/// Every bit that some frame of a range has.
fn bits_of(range: &MemoryRange) -> u64 {
    let (first, last) = (range.frames.start().get(), range.frames.end().get() - 1);
    let varying = u64::MAX.checked_shr((first ^ last).leading_zeros()).unwrap_or(0);
    first | last | varying
}

/// The longest run of zeros between the lowest section bit and the highest one: where it begins, and its length.
fn longest_hole(used: u64) -> (u32, u32) {
    let highest = 64 - used.leading_zeros();
    let (mut best, mut at) = ((LOWEST, 0), LOWEST);
    while at < highest {
        let zeros = (used >> at).trailing_zeros();
        if zeros > best.1 {
            best = (at, zeros);
        }
        at += zeros + 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{Compressed, longest_hole};
    use core::ptr::NonNull;
    use sparsemem_core::{MemoryRange, NodeId, PageCount, Pfn, PfnRange};

    #[test]
    fn the_longest_hole_is_found() {
        assert_eq!(longest_hole(0x7fff), (15, 0));
        assert_eq!(longest_hole(0x100_7fff), (15, 9));
        assert_eq!(longest_hole(0x100_ffff), (16, 8));
    }

    /// 1 GiB at this address.
    fn gibibyte(start: u64) -> MemoryRange {
        let frames = PfnRange::from_start_count(Pfn::new(start >> 12), PageCount::new(1 << 18));
        MemoryRange { frames: frames.unwrap(), node: NodeId::new(0) }
    }

    #[test]
    fn a_far_range_comes_near_and_holes_stay_holes() {
        let memory = [gibibyte(0), gibibyte(1 << 40)];
        let compressed = Compressed::new(&memory, NonNull::dangling());
        assert_eq!(compressed.shift, 10, "bits 30 to 39 of addresses");
        assert!(compressed.checked(memory[1].frames.start()).is_some());
        assert!(compressed.checked(Pfn::new(1 << 20)).is_none(), "a bit that was taken out");
        let last = Pfn::new(memory[1].frames.end().get() - 1);
        assert_eq!(compressed.index(last.get()), (2 << 18) - 1, "right behind the first");
    }

    #[test]
    fn without_a_common_hole_nothing_is_taken_out() {
        let compressed =
            Compressed::new(&[gibibyte(0), gibibyte((1 << 40) - (1 << 30))], NonNull::dangling());
        assert_eq!(compressed.shift, 0);
    }
}
