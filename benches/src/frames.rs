//! The frames that are looked up, and their order.

use sparsemem_core::{MemoryRange, PageCount, Pfn};

/// An order of looking frames up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// A few frames of one section again and again.
    Hot,
    /// One frame after the other.
    Sequential,
    /// Anywhere in the machine.
    Random,
    /// Anywhere in a machine whose section table is larger than the last-level cache.
    Cold,
    /// Anywhere, and the descriptor is read, from memory and not from a cache.
    RandomTouch,
    /// One after the other, and the descriptor is read.
    SequentialTouch,
    /// As many descriptors as fit the second-level cache, each on a page of its own, and they are read.
    TlbTouch,
}

impl Pattern {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::Hot,
        Self::Sequential,
        Self::Random,
        Self::Cold,
        Self::SequentialTouch,
        Self::RandomTouch,
        Self::TlbTouch,
    ];

    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Sequential => "sequential",
            Self::Random => "random",
            Self::Cold => "cold table",
            Self::RandomTouch => "random, touched",
            Self::SequentialTouch => "sequential, touched",
            Self::TlbTouch => "TLB pressure, touched",
        }
    }

    /// True if the descriptor is read.
    #[must_use]
    pub const fn touches(self) -> bool {
        matches!(self, Self::RandomTouch | Self::SequentialTouch | Self::TlbTouch)
    }

    /// True if everything has to come from memory: caches are emptied before each sample, and a list is swept once.
    #[must_use]
    pub const fn begins_cold(self) -> bool {
        matches!(self, Self::Cold | Self::RandomTouch)
    }

    /// The number of frames in a list: few enough to stay in the first caches, except where caches are to be missed.
    const fn frames(self) -> usize {
        match self {
            Self::Hot => 64,
            // 24 KiB of the list leave room for a table in a first cache of 32 KiB.
            Self::Sequential | Self::Random | Self::SequentialTouch => 3072,
            Self::TlbTouch => 4096,
            Self::RandomTouch => 1 << 16,
            Self::Cold => 1 << 18,
        }
    }

    /// Frames of `memory` in this order; the same in every run.
    #[must_use]
    pub fn list(self, memory: &[MemoryRange]) -> Vec<Pfn> {
        let (mut random, places) = (Random::new(), Places::new(memory));
        // From the middle of the machine on.
        let (count, middle) = (self.frames() as u64, places.total / 2);
        match self {
            Self::Hot => (0..count).map(|index| places.nth(4 * (index % 16))).collect(),
            Self::Sequential | Self::SequentialTouch => {
                (0..count).map(|index| places.nth(middle + index)).collect()
            }
            Self::Random | Self::Cold | Self::RandomTouch => {
                (0..count).map(|_| places.nth(random.below(places.total))).collect()
            }
            Self::TlbTouch => {
                // A page of descriptors is 64 frames; which of them is chance, so that all cache sets are used.
                let mut pages: Vec<u64> = (0..count).collect();
                random.shuffle(&mut pages);
                pages.into_iter().map(|page| places.nth(middle + 64 * page + random.below(64))).collect()
            }
        }
    }
}

/// Memory with the number of frames before each range, for finding frames in machines of many ranges.
struct Places<'m> {
    memory: &'m [MemoryRange],
    before: Vec<u64>,
    total: u64,
}

impl<'m> Places<'m> {
    fn new(memory: &'m [MemoryRange]) -> Self {
        let mut total = 0;
        let before = memory.iter().map(|range| {
            total += range.frames.count().get();
            total - range.frames.count().get()
        });
        let before = before.collect();
        Self { memory, before, total }
    }

    /// The frame at this place among all frames of memory, from the start again behind the last.
    fn nth(&self, index: u64) -> Pfn {
        let index = index % self.total;
        let at = self.before.partition_point(|before| *before <= index) - 1;
        self.memory[at].frames.start().saturating_add(PageCount::new(index - self.before[at]))
    }
}

/// Numbers without an order that a prefetcher knows (xorshift64), the same in every run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The beginning of the sequence.
    #[must_use]
    pub const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// The next number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Any order of these.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for at in (1..values.len()).rev() {
            values.swap(at, usize::try_from(self.below(at as u64 + 1)).unwrap_or(0));
        }
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

/// Machines up to this size have their descriptors read. Units: bytes of RAM; descriptors are a 64th of it.
pub const TOUCH_LIMIT: u64 = 40 << 30;

#[cfg(test)]
mod tests {
    use super::Pattern;
    use crate::maps::Map;

    #[test]
    fn every_frame_of_every_pattern_is_memory() {
        let map = Map::hollow("hollow", 1 << 40);
        for pattern in Pattern::ALL {
            let frames = pattern.list(&map.memory);
            let is_memory =
                |pfn| map.memory.iter().any(|range: &sparsemem_core::MemoryRange| range.frames.contains(pfn));
            assert!(frames.iter().all(|pfn| is_memory(*pfn)), "{}", pattern.name());
        }
    }

    #[test]
    fn under_tlb_pressure_every_descriptor_has_a_page_of_its_own() {
        let frames = Pattern::TlbTouch.list(&Map::contiguous("flat", 8 << 30).memory);
        let mut pages: Vec<u64> = frames.iter().map(|pfn| pfn.get() / 64).collect();
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(pages.len(), frames.len());
    }
}
