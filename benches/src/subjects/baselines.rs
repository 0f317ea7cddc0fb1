//! What one would write instead: each known from a living system, written here from its published shape.
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

use super::{Arenas, Compressed, Subject};
use crate::models::FlatArray;

/// More arenas than these would only be waited for.
const ARENAS_AT_MOST: usize = 256;
/// More frames than these do not fit a hash map in reasonable memory.
const HASHED_AT_MOST: u64 = 16 << 18;

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
            left_out.push(format!("linear arenas: {} of them would only be waited for", self.arenas.count()));
        }
        left_out
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
    let (end, family) = (all.end, "baselines");
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
        Subject::page("checked", "flat array, bound check (Asterinas)", family, move |pfn| {
            (pfn.get() < end).then(|| all.flat(pfn))
        }),
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
