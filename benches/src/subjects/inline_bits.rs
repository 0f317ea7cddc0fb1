//! A prototype: the subsection map in the section's entry, instead of behind a pointer to the usage.
//!
//! At its best: the entry keeps its two words, so the usage would have to be found through a table of its own. The bits
//! say what is valid, all ones for an early section, so that neither the word's flags nor the usage have to be looked at.
//! Geometries with more than 64 subsections in a section could not have it.

use core::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{MemoryModel, Page, Pfn, SectionShape};

use super::{CHECKED_LATER, Subject};
use crate::backends::MODELS;

/// Its name in reports.
pub const INLINE: &str = "prototype: bits in the entry";

/// An entry with the bits in it.
#[derive(Debug, Default)]
struct Entry {
    /// The memmap, moved back by the section's first frame.
    memmap: AtomicPtr<Page>,
    valid: AtomicU64,
}

/// A flat table of such entries.
#[derive(Debug)]
pub struct InlineBits(Vec<Entry>);

impl InlineBits {
    /// A table with the contents of a model.
    #[must_use]
    pub fn new<M: MemoryModel<Page = Page>>(model: &M) -> Self {
        let entries: Vec<Entry> =
            std::iter::repeat_with(Entry::default).take(X86_64::NR_SECTIONS_LEN).collect();
        for nr in model.present_sections() {
            let first = nr.first_pfn::<X86_64>().unwrap_or_default();
            let Some(page) = model.lookup(first) else { continue };
            let index = |nr: u64| usize::try_from(nr).unwrap_or(usize::MAX);
            let entry = &entries[index(nr.get())];
            let bits = model.section(nr).subsections.words().first().copied().unwrap_or(0);
            // Relaxed, both: nobody reads yet.
            entry.memmap.store(page.as_ptr().wrapping_sub(index(first.get())), Ordering::Relaxed);
            entry.valid.store(bits, Ordering::Relaxed);
        }
        Self(entries)
    }

    /// The checked lookup.
    #[inline]
    fn lookup(&self, pfn: Pfn) -> Option<NonNull<Page>> {
        let entry = self.0.get(usize::try_from(pfn.section::<X86_64>().get()).ok()?)?;
        // Acquire, both: a writer would store the memmap before the bits.
        let valid = entry.valid.load(Ordering::Acquire);
        let memmap = entry.memmap.load(Ordering::Acquire);
        if valid >> pfn.subsection::<X86_64>().get() & 1 == 0 {
            return None;
        }
        NonNull::new(memmap.wrapping_add(usize::try_from(pfn.get()).unwrap_or(usize::MAX)))
    }

    /// Its checked lookup as a subject, of the family of the model that it was copied from.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        let family = format!("{}, hot-added", MODELS[0]);
        Subject::page(CHECKED_LATER, INLINE, &family, move |pfn| self.lookup(pfn))
    }
}
