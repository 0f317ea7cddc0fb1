//! Linear arenas, as in Zircon: ranges of memory, each with its descriptors, searched from the first on.

use core::ptr::NonNull;

use sparsemem_core::{MemoryRange, Page, Pfn};

/// A range and its first descriptor.
#[derive(Clone, Copy, Debug)]
struct Arena {
    start: u64,
    end: u64,
    first: NonNull<Page>,
}

/// All arenas, lowest first.
#[derive(Debug)]
pub struct Arenas(Vec<Arena>);

impl Arenas {
    /// One per range, with descriptors in an array that begins with frame 0's.
    #[must_use]
    pub fn new(memory: &[MemoryRange], array: NonNull<Page>) -> Self {
        Self(memory.iter().map(|range| arena(range.frames.start(), range.frames.end(), array)).collect())
    }

    /// One per 128 MiB section, for searching by halves, as Redox has them.
    #[must_use]
    pub fn by_section<G: sparsemem_core::Geometry>(memory: &[MemoryRange], array: NonNull<Page>) -> Self {
        let parts = memory.iter().flat_map(|range| range.frames.by_section::<G>());
        let mut arenas: Vec<_> = parts.map(|(_, part)| arena(part.start(), part.end(), array)).collect();
        arenas.sort_by_key(|arena| arena.start);
        Self(arenas)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Searches from the first on.
    #[inline]
    #[must_use]
    pub fn linear(&self, pfn: Pfn) -> Option<NonNull<Page>> {
        self.0.iter().find(|arena| arena.has(pfn)).map(|arena| arena.page(pfn))
    }

    /// Searches by halves.
    #[inline]
    #[must_use]
    pub fn binary(&self, pfn: Pfn) -> Option<NonNull<Page>> {
        let behind = self.0.partition_point(|arena| arena.start <= pfn.get());
        let arena = self.0.get(behind.wrapping_sub(1))?;
        arena.has(pfn).then(|| arena.page(pfn))
    }
}

impl Arena {
    #[inline]
    fn has(&self, pfn: Pfn) -> bool {
        (self.start..self.end).contains(&pfn.get())
    }

    #[inline]
    fn page(&self, pfn: Pfn) -> NonNull<Page> {
        let offset = usize::try_from(pfn.get() - self.start).unwrap_or(usize::MAX);
        // SAFETY: the frame is of the arena, whose descriptors lie in one array from `first` on.
        unsafe { self.first.add(offset) }
    }
}

fn arena(start: Pfn, end: Pfn, array: NonNull<Page>) -> Arena {
    let offset = usize::try_from(start.get()).unwrap_or(usize::MAX);
    // SAFETY: the array has the descriptors of all frames of the machine.
    Arena { start: start.get(), end: end.get(), first: unsafe { array.add(offset) } }
}
