//! The entry of one section, the usage that it points to, and the root that it may lie in: each in a block of its own.
//!
//! Linux allocates the usages of a node as one chunk, which it can never give back (U-18, O-73). A block per usage
//! costs some bytes of rounding and is given back with its section.
//!
//! # Invariants
//!
//! 1. All-zero bytes are an absent section: both pointers null.
//! 2. `usage` points to a usage from before the section gets `HAS_MEM_MAP` until a grace period after it lost the flag. Readers
//!    follow it only if they saw that flag before, within the same guard, so they need not ask whether it is null.
//! 3. [`UsageBlock::retired`] is for the writer alone: readers never read it.
//! 4. A word is stored by the model's writer. While that is lent jointly, the word of a marked section is stored by the
//!    processor that claimed the section, and no other word changes.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::ptr::NonNull;

use sparsemem_core::primitive::{AtomicPtr, Ordering, look_at};
use sparsemem_core::{Geometry, LostBlocks, MetadataMemory, Origin, SectionNr, const_fn};
use sparsemem_usage_map::SectionUsage;

use crate::SectionWord;

/// The entry of one section in a section table: two words (Linux: `struct mem_section`).
#[derive(Debug)]
#[repr(C)]
pub struct SectionEntry<P, G: Geometry> {
    word: AtomicPtr<P>,
    usage: AtomicPtr<UsageBlock<P, G>>,
}

#[cfg(not(sparsemem_loom))]
const _: () =
    assert!(size_of::<SectionEntry<u64, sparsemem_core::presets::X86_64>>() == 2 * size_of::<usize>());

/// A usage, and room for the data of its section that the writer needs after it waited for readers: so it can retire
/// any number of sections with one wait, and without an allocation (Linux: the RCU head in `struct mem_section_usage`).
#[repr(C)]
pub(crate) struct UsageBlock<P, G: Geometry> {
    usage: SectionUsage<G>,
    retired: UnsafeCell<Option<RetiredSection<P, G>>>,
}

/// A section that no new reader can find.
pub(crate) struct RetiredSection<P, G: Geometry> {
    pub(crate) nr: SectionNr,
    /// The word that the section had: it leads to the memmap.
    pub(crate) word: SectionWord<P>,
    /// The root that was taken out of the table with the section.
    pub(crate) root: Option<FreshRoot>,
    /// The section that was retired before it.
    pub(crate) next: Option<NonNull<UsageBlock<P, G>>>,
}

impl<P, G: Geometry> UsageBlock<P, G> {
    /// A usage without populated subsections, in memory from `origin`.
    pub(crate) fn new(origin: Origin) -> Self {
        Self { usage: SectionUsage::new(origin), retired: UnsafeCell::new(None) }
    }

    /// The usage.
    #[inline]
    pub(crate) fn usage(&self) -> &SectionUsage<G> {
        look_at(self);
        &self.usage
    }

    /// The data that the writer keeps of the section once it is retired.
    ///
    /// # Safety
    ///
    /// The block is live for `'w`, and the caller is the writer, which takes this reference once at a time (invariant
    /// 3).
    pub(crate) unsafe fn retired<'w>(block: NonNull<Self>) -> &'w mut Option<RetiredSection<P, G>> {
        // SAFETY: the caller says that the block is live; readers have shared references too.
        let block: &'w Self = unsafe { block.as_ref() };
        // SAFETY: only the writer uses it, and has no other reference.
        unsafe { &mut *block.retired.get() }
    }
}

impl<P, G: Geometry> SectionEntry<P, G> {
    const_fn! {
        /// The entry of an absent section.
        #[must_use]
        pub const fn absent() -> Self {
            Self { word: AtomicPtr::new(core::ptr::null_mut()), usage: AtomicPtr::new(core::ptr::null_mut()) }
        }
    }

    /// The section word.
    #[inline]
    #[must_use]
    pub fn word(&self) -> SectionWord<P> {
        // Acquire: pairs with the Release in `set_word`, so that memmap and usage, to which the word leads, are seen.
        SectionWord::from_raw(self.word.load(Ordering::Acquire))
    }

    /// The usage, if the section has one.
    #[inline]
    pub(crate) fn usage(&self) -> Option<NonNull<UsageBlock<P, G>>> {
        // Acquire: pairs with the Release in `set_usage`, so that the content of the usage is seen.
        NonNull::new(self.usage.load(Ordering::Acquire))
    }

    /// Stores the word; for the writer of the model, or for the processor that claimed the section (invariant 4).
    pub(crate) fn set_word(&self, word: SectionWord<P>) {
        // Release: pairs with the Acquire in `word`.
        self.word.store(word.into_raw(), Ordering::Release);
    }

    /// Claims a section that is marked: of all callers, one gets the word that the section has until it is brought up. The
    /// others get the word that they found.
    pub(crate) fn claim(&self) -> Result<SectionWord<P>, SectionWord<P>> {
        let marked = self.word();
        if !marked.is_deferred() {
            return Err(marked);
        }
        let (old, new) = (marked.into_raw(), marked.claimed().into_raw());
        // Acquire, both: pair with the Releases in `set_word`, as in `word`: whoever finds the section up may use it.
        match self.word.compare_exchange(old, new, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => Ok(marked),
            Err(now) => Err(SectionWord::from_raw(now)),
        }
    }

    /// Stores the usage; for the writer of the model.
    pub(crate) fn set_usage(&self, usage: Option<NonNull<UsageBlock<P, G>>>) {
        // Release: pairs with the Acquire in `usage`.
        self.usage.store(usage.map_or(core::ptr::null_mut(), NonNull::as_ptr), Ordering::Release);
    }
}

/// A root that no reader can reach.
#[derive(Debug)]
#[must_use = "the root is owned and has to be given back"]
pub struct FreshRoot {
    pub(crate) start: NonNull<u8>,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
}

impl FreshRoot {
    /// Gives the root's memory back.
    ///
    /// # Safety
    ///
    /// No reader uses the root any more.
    pub(crate) unsafe fn give_back<E: MetadataMemory>(self, env: &mut E, lost: &mut LostBlocks) {
        // SAFETY: a root is a block of its own, and this value is its only owner.
        unsafe { lost.give_back(env, self.start, self.layout, self.origin) };
    }
}
