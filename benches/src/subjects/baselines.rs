//! The structures that one would write instead of a model: each known from a living system, written here from its published shape.
//!
//! | baseline | known from |
//! |---|---|
//! | flat array | Linux `FLATMEM`; with a bound check, Asterinas |
//! | sorted sections, searched by halves | Redox (sections), FreeBSD (segments), `vm-memory` (regions) |
//! | hash map of frames | DragonOS |
//! | linear arenas | Zircon |
//! | compressed index | Xen (PDX) |

use core::ptr::NonNull;
use std::collections::HashMap;

use sparsemem_core::{Geometry, MemoryRange, Page, Pfn};

use super::Subject;
use super::compressed::Compressed;
use crate::environment::{Mapping, Pages};

/// The subjects' family.
const FAMILY: &str = "baselines";
/// More arenas than these would only be waited for.
const ARENAS_AT_MOST: usize = 256;
/// More frames than these do not fit a hash map in reasonable memory.
const HASHED_AT_MOST: u64 = 16 << 18;

/// The name of a flat array with a bound.
pub const BOUNDED: &str = "flat array, bound check (Asterinas)";

/// The data of all baselines for one machine.
pub struct Baselines {
    array: FlatArray,
    end: u64,
    sections: Arenas,
    arenas: Arenas,
    compressed: Compressed,
    hashed: Option<HashMap<u64, NonNull<Page>>>,
}

impl Baselines {
    /// Builds them over one array of descriptors.
    #[must_use]
    pub fn new<G: Geometry>(memory: &[MemoryRange]) -> Self {
        let array = FlatArray::new(memory);
        let start = array.start();
        Self {
            end: memory.iter().map(|range| range.frames.end().get()).max().unwrap_or(0),
            sections: Arenas::by_section::<G>(memory, start),
            arenas: Arenas::new(memory, start),
            compressed: Compressed::new(memory, start),
            hashed: hashed(memory, start),
            array,
        }
    }

    /// Writes to the descriptors of these frames, so that reading them means something.
    pub fn write(&self, memory: &[MemoryRange]) {
        self.array.write(memory);
    }

    /// Baselines that were left out, and why.
    #[must_use]
    pub fn left_out(&self) -> Vec<String> {
        let mut left_out = Vec::new();
        if self.hashed.is_none() {
            left_out.push(
                "hash map: an entry per frame would not fit the memory of the measuring machine".to_owned(),
            );
        }
        if self.arenas.count() > ARENAS_AT_MOST {
            left_out.push(format!(
                "linear arenas: a search through {} of them would take too long to measure",
                self.arenas.count()
            ));
        }
        left_out
    }

    /// The flat array with a bound, as an answer to this question.
    #[must_use]
    pub fn bounded(&self, question: &'static str) -> Subject<'_> {
        let end = self.end;
        Subject::page(question, BOUNDED, FAMILY, move |pfn| (pfn.get() < end).then(|| self.flat(pfn)))
    }

    #[inline]
    fn flat(&self, pfn: Pfn) -> NonNull<Page> {
        let offset = usize::try_from(pfn.get()).unwrap_or(usize::MAX);
        // SAFETY: the array has the descriptors of all frames up to the end of memory.
        unsafe { self.array.start().add(offset) }
    }
}

/// A hash map with an entry per frame, if that is possible.
fn hashed(memory: &[MemoryRange], array: NonNull<Page>) -> Option<HashMap<u64, NonNull<Page>>> {
    let count: u64 = memory.iter().map(|range| range.frames.count().get()).sum();
    if count > HASHED_AT_MOST {
        return None;
    }
    let frames = memory.iter().flat_map(|range| range.frames.start().get()..range.frames.end().get());
    // SAFETY: as in `flat`.
    let page = |pfn: u64| unsafe { array.add(usize::try_from(pfn).unwrap_or(usize::MAX)) };
    Some(frames.map(|pfn| (pfn, page(pfn))).collect())
}

/// The baselines as subjects.
#[must_use]
pub fn baselines(all: &Baselines) -> Vec<Subject<'_>> {
    let family = FAMILY;
    // The base is copied, as a compiler would keep a static's address.
    let start = all.array.start();
    let mut subjects = vec![
        Subject::page("unchecked", "flat array", family, move |pfn| {
            let offset = usize::try_from(pfn.get()).unwrap_or(usize::MAX);
            // SAFETY: as in `Baselines::flat`.
            Some(unsafe { start.add(offset) })
        }),
        Subject::page("unchecked", "compressed index (Xen)", "compressed", move |pfn| {
            Some(all.compressed.page(pfn))
        }),
        all.bounded("checked"),
        Subject::page("checked", "sorted sections (Redox)", family, move |pfn| all.sections.binary(pfn)),
        Subject::page("checked", "compressed index (Xen)", "compressed", move |pfn| {
            all.compressed.checked(pfn)
        }),
    ];
    if all.arenas.count() <= ARENAS_AT_MOST {
        subjects.push(Subject::page("checked", "linear arenas (Zircon)", family, move |pfn| {
            all.arenas.linear(pfn)
        }));
    }
    if let Some(hashed) = &all.hashed {
        subjects.push(Subject::page("checked", "hash map (DragonOS)", family, move |pfn| {
            hashed.get(&pfn.get()).copied()
        }));
    }
    subjects
}

/// The descriptor array of the baselines: one for all frames up to the end of memory.
#[derive(Debug)]
struct FlatArray {
    mapping: Mapping,
}

impl FlatArray {
    /// An array on large pages.
    fn new(memory: &[MemoryRange]) -> Self {
        let frames = memory.iter().map(|range| range.frames.end().get()).max().unwrap_or(0);
        let bytes = usize::try_from(frames).unwrap_or(usize::MAX) * size_of::<Page>();
        Self { mapping: Mapping::new(bytes, Pages::Huge) }
    }

    /// Writes to the descriptors of these frames: memory that was only ever read is one page of zeros that the host shows
    /// everywhere, and would always be in the cache.
    fn write(&self, memory: &[MemoryRange]) {
        for range in memory {
            let frames = range.frames.start().get()..range.frames.end().get();
            for pfn in frames {
                let offset = usize::try_from(pfn).unwrap_or(usize::MAX);
                // SAFETY: the array has the descriptors of all frames up to the end of memory.
                let page = unsafe { self.start().add(offset) };
                // SAFETY: as above, and nobody else uses them yet; zero bytes are a valid descriptor.
                unsafe { page.write_bytes(0, 1) };
            }
        }
        std::hint::black_box(self.start());
    }

    /// The descriptor of frame 0.
    fn start(&self) -> NonNull<Page> {
        self.mapping.aligned().cast()
    }
}

/// A range and its first descriptor.
#[derive(Clone, Copy, Debug)]
struct Arena {
    start: u64,
    end: u64,
    first: NonNull<Page>,
}

/// Ranges of memory, each with its descriptors; lowest first.
#[derive(Debug)]
struct Arenas(Vec<Arena>);

impl Arenas {
    /// One per range, with descriptors in an array that begins with frame 0's.
    fn new(memory: &[MemoryRange], array: NonNull<Page>) -> Self {
        Self(memory.iter().map(|range| arena(range.frames.start(), range.frames.end(), array)).collect())
    }

    /// One per 128 MiB section, for searching by halves, as Redox has them.
    fn by_section<G: Geometry>(memory: &[MemoryRange], array: NonNull<Page>) -> Self {
        let parts = memory.iter().flat_map(|range| range.frames.by_section::<G>());
        let mut arenas: Vec<_> = parts.map(|(_, part)| arena(part.start(), part.end(), array)).collect();
        arenas.sort_by_key(|arena| arena.start);
        Self(arenas)
    }

    /// The number of arenas.
    fn count(&self) -> usize {
        self.0.len()
    }

    /// Searches from the first on.
    #[inline]
    fn linear(&self, pfn: Pfn) -> Option<NonNull<Page>> {
        self.0.iter().find(|arena| arena.has(pfn)).map(|arena| arena.page(pfn))
    }

    /// Searches by halves.
    #[inline]
    fn binary(&self, pfn: Pfn) -> Option<NonNull<Page>> {
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
