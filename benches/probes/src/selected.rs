//! The probes of `Selected`, the model that a kernel gets by a feature of the facade.
//!
//! `Selected` has to cost nothing: the listings have to be those of the model's own probes.

use core::ptr::NonNull;

use sparsemem::{Config, MemoryModel, NeverReclaim, Page, Pfn, presets::X86_64};

use crate::models::Place;

struct Kernel;

impl Config for Kernel {
    type Geometry = X86_64;
    type Page = Page;
    type Reclaim = NeverReclaim;
    type Array = Place;
}

sparsemem::declare! {
    #[unsafe(no_mangle)]
    static SELECTED: Kernel;
}

/// # Safety
///
/// As [`MemoryModel::lookup_unchecked`].
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn selected_unchecked(pfn: Pfn) -> NonNull<Page> {
    // SAFETY: the caller's promise is the same.
    unsafe { SELECTED.lookup_unchecked(pfn) }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selected_checked(pfn: Pfn) -> Option<NonNull<Page>> {
    SELECTED.lookup(pfn)
}

/// Both of them, by name.
pub(crate) const ALL: [(&str, *const ()); 2] = [
    ("selected_unchecked", selected_unchecked as *const ()),
    ("selected_checked", selected_checked as *const ()),
];
