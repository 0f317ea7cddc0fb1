//! A map of holes is made of what boot is given: ranges in any order, which may overlap.
//!
//! # Invariants
//!
//! 1. The map is made while no reader can find it.
//! 2. The iterator is read several times and need not give the same again: what does not fit the block is left out,
//!    and stays a hole.

use core::alloc::{Layout, LayoutError};
use core::ops::Range;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicU64, Ordering};
use sparsemem_core::{
    ByteLen, Geometry, MemoryRange, MetadataMemory, NodeId, OutOfMemory, Pfn, PfnRange, SectionShape,
};

use crate::holes::{Holes, number, words};

/// The memory that a map is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Whole sections, from the lowest to the highest that has memory.
    pub(crate) frames: PfnRange,
    /// Ends of ranges inside subsections: at least as many as there are subsections that are memory in part.
    edges: u64,
    /// The node of the first range.
    node: NodeId,
}

/// The layout of a map's block, and where its parts begin, in bytes, with their lengths in words.
type Parts = (Layout, [(usize, usize); 3]);

/// The frames of memory that the geometry has.
fn ram<G: Geometry, I>(memory: &I) -> impl Iterator<Item = PfnRange>
where
    I: Iterator<Item = MemoryRange> + Clone,
{
    let below = |range: MemoryRange| range.frames.split_at(Pfn::new(G::MAX_PFN)).0;
    memory.clone().map(below).filter(|frames| !frames.is_empty())
}

/// The subsections at the ends of a range of which it has a part.
fn edges<G: Geometry>(frames: PfnRange) -> impl Iterator<Item = u64> {
    let is_inside = |pfn: &Pfn| pfn.get() % G::PAGES_PER_SUBSECTION != 0;
    [frames.start(), frames.end()].into_iter().filter(is_inside).map(number::<G>)
}

impl Extent {
    /// The extent for `memory`, unless that is empty.
    pub(crate) fn of<G: Geometry, I>(memory: &I) -> Option<Self>
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        let node = memory.clone().find(|range| !range.frames.is_empty())?.node;
        let (mut start, mut end, mut ends) = (u64::MAX, 0, 0_u64);
        for frames in ram::<G, I>(memory) {
            let first = frames.start().get() >> G::PFN_SECTION_SHIFT;
            start = start.min(first << G::PFN_SECTION_SHIFT);
            end = end.max(frames.end().get().next_multiple_of(G::PAGES_PER_SECTION));
            ends = ends.saturating_add(edges::<G>(frames).count() as u64);
        }
        let frames = PfnRange::new(Pfn::new(start), Pfn::new(end)).ok()?;
        Some(Self { frames, edges: ends, node })
    }

    /// The block of the map: a head, bits of subsections, numbers, bits of frames.
    fn parts<G: Geometry>(&self) -> Result<Parts, OutOfMemory> {
        let len = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let subsections = self.frames.count().get() >> G::PFN_SUBSECTION_SHIFT;
        let lens = [subsections.div_ceil(64), self.edges, self.edges.saturating_mul(words::<G>())].map(len);
        let joined = || {
            let mut block = Layout::new::<Holes>();
            let mut parts = [(0, 0); 3];
            for (part, len) in parts.iter_mut().zip(lens) {
                let (longer, at) = block.extend(Layout::array::<u64>(len)?)?;
                (block, *part) = (longer, (at, len));
            }
            Ok((block.pad_to_align(), parts))
        };
        let too_large = OutOfMemory { size: usize::MAX, align: align_of::<Holes>(), node: self.node };
        joined().map_err(|_: LayoutError| too_large)
    }

    /// The bytes of the block, unless no target can have it.
    pub(crate) fn bytes<G: Geometry>(&self) -> ByteLen {
        ByteLen::new(self.parts::<G>().map_or(u64::MAX, |(block, _)| block.size() as u64))
    }
}

impl Holes {
    /// A map of all that is not in `memory`, for an extent of it.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; nothing has changed then.
    pub(crate) fn allocate<G: Geometry, E: MetadataMemory, I>(
        env: &mut E,
        extent: &Extent,
        memory: &I,
    ) -> Result<NonNull<Self>, OutOfMemory>
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        let (layout, parts) = extent.parts::<G>()?;
        let block = env.alloc_zeroed(layout, extent.node)?;
        let (start, origin) = (block.start(), block.origin());
        // SAFETY: the layout has each part at this distance, so that all three lie in the block.
        let [closed, numbers, frames] = parts.map(|(at, len)| (unsafe { start.add(at) }, len));
        let mut numbers = NonNull::slice_from_raw_parts(numbers.0.cast::<u64>(), numbers.1);
        // SAFETY: the block is exclusively owned, aligned, and zero bytes are integers.
        let used = sort_edges::<G, I>(unsafe { numbers.as_mut() }, memory);
        let atomics =
            |(at, len): (NonNull<u8>, usize)| NonNull::slice_from_raw_parts(at.cast::<AtomicU64>(), len);
        let head = Self {
            first: number::<G>(extent.frames.start()),
            closed: atomics(closed),
            partial: NonNull::slice_from_raw_parts(numbers.cast(), used),
            frames: atomics(frames),
            layout,
            origin,
        };
        head.fill::<G, I>(extent.frames, memory);
        let holes = start.cast::<Self>();
        // SAFETY: as above: the block begins with the head.
        unsafe { holes.write(head) };
        Ok(holes)
    }

    /// Closes all of `extent`, and opens what is in `memory`: word by word, because a large machine has many subsections.
    fn fill<G: Geometry, I>(&self, extent: PfnRange, memory: &I)
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        let from_first = |subsection: u64| subsection.saturating_sub(self.first);
        let all = number::<G>(extent.start())..number::<G>(extent.end());
        // Relaxed: nobody else has the map yet.
        for (word, bits) in in_words(self.closed(), from_first(all.start)..from_first(all.end)) {
            word.fetch_or(bits, Ordering::Relaxed);
        }
        for frames in ram::<G, I>(memory) {
            let whole = frames.start().get().div_ceil(G::PAGES_PER_SUBSECTION)..number::<G>(frames.end());
            for (word, bits) in in_words(self.closed(), from_first(whole.start)..from_first(whole.end)) {
                // Relaxed: as above.
                word.fetch_and(!bits, Ordering::Relaxed);
            }
            edges::<G>(frames).for_each(|edge| self.set_frames::<G>(edge, frames));
        }
        self.open_whole::<G>();
    }

    /// Notes those frames of a range that are in one subsection as memory.
    fn set_frames<G: Geometry>(&self, subsection: u64, frames: PfnRange) {
        let Some(words) = self.frames_of::<G>(subsection) else { return };
        let first = subsection.saturating_mul(G::PAGES_PER_SUBSECTION);
        let inside = |pfn: Pfn| pfn.get().saturating_sub(first).min(G::PAGES_PER_SUBSECTION);
        for (word, bits) in in_words(words, inside(frames.start())..inside(frames.end())) {
            // Relaxed: as in `fill`.
            word.fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// Opens the subsections that several ranges fill together.
    fn open_whole<G: Geometry>(&self) {
        for subsection in self.partial() {
            let words = self.frames_of::<G>(*subsection).into_iter().flatten();
            // Relaxed: as in `fill`.
            let frames: u64 = words.map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum();
            if frames == G::PAGES_PER_SUBSECTION {
                self.open(*subsection);
            }
        }
    }
}

/// The words that have some of these bits, each with a mask of them. Bits are counted from the first word on.
fn in_words(words: &[AtomicU64], bits: Range<u64>) -> impl Iterator<Item = (&AtomicU64, u64)> {
    // The iterator of ranges may give other ones than when the words were counted, with any end.
    let last = bits.end.div_ceil(64).min(words.len() as u64);
    (bits.start / 64..last).filter_map(move |at| {
        let word = words.get(usize::try_from(at).ok()?)?;
        let (start, end) = (at * 64, at * 64 + 64);
        let (low, high) = (bits.start.max(start) - start, bits.end.min(end) - start);
        Some((word, u64::MAX << low & u64::MAX >> (64 - high)))
    })
}

/// Writes the subsections at the ends of ranges into `numbers`, sorted, each once. Returns how many there are.
fn sort_edges<G: Geometry, I>(numbers: &mut [u64], memory: &I) -> usize
where
    I: Iterator<Item = MemoryRange> + Clone,
{
    let mut used = 0;
    for edge in ram::<G, I>(memory).flat_map(edges::<G>) {
        let before = numbers.get(..used).map_or(Ok(0), |sorted| sorted.binary_search(&edge));
        if let Some(at) = before.err().filter(|_| used < numbers.len()) {
            numbers.copy_within(at..used, at + 1);
            numbers.get_mut(at).into_iter().for_each(|number| *number = edge);
            used += 1;
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use sparsemem_core::primitive::{AtomicU64, Ordering};

    use super::in_words;

    #[test]
    fn each_bit_is_in_one_mask() {
        let words: [AtomicU64; 3] = Default::default();
        for (start, end) in [
            (0, 192),
            (0, 0),
            (5, 5),
            (5, 6),
            (63, 65),
            (64, 128),
            (60, 140),
            (191, 400),
            (400, 500),
            (150, u64::MAX),
        ] {
            in_words(&words, start..end).for_each(|(word, bits)| {
                assert_eq!(word.fetch_xor(bits, Ordering::Relaxed) & bits, 0, "{start}..{end}");
            });
            for bit in 0..192_u64 {
                let word = words[usize::try_from(bit / 64).unwrap()].load(Ordering::Relaxed);
                assert_eq!(
                    word >> (bit % 64) & 1 == 1,
                    (start..end).contains(&bit),
                    "{bit} of {start}..{end}"
                );
            }
            words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }
}
