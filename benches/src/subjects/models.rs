//! The ways of this project's models.

use core::ptr::NonNull;

use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn};

use super::{Subject, address};
use crate::models::{FreeClassic, FreeExtreme, FreePlaced};

/// The bench of checked lookups where sections came later.
pub const CHECKED_LATER: &str = "checked, hot-added";

/// vmemmap at a place that it is told at boot, as with address-space randomisation.
pub const PLACED: &str = "vmemmap placed at boot";

/// Any of the models, by a tag: what a choice at run time costs without the model being moved to the heap.
#[derive(Clone, Copy, Debug)]
pub enum Any<'m> {
    /// A flat table.
    Flat(&'m FreeClassic),
    /// A table of roots.
    Rooted(&'m FreeExtreme),
    /// An array.
    Array(&'m FreePlaced),
}

impl Any<'_> {
    /// The checked lookup of the model inside.
    #[inline]
    pub fn find(&self, pfn: Pfn) -> Option<NonNull<Page>> {
        match self {
            Self::Flat(model) => model.lookup(pfn),
            Self::Rooted(model) => model.lookup(pfn),
            Self::Array(model) => model.lookup(pfn),
        }
    }
}

/// A checked lookup through a pointer to it.
pub type Object<'m> = &'m dyn Fn(Pfn) -> Option<NonNull<Page>>;

/// Unchecked, checked, through a reader, validity and the way back.
pub fn ways<'m, M>(model: &'m M, name: &str) -> Vec<Subject<'m>>
where
    M: MemoryModel<Page = Page, Reclaim = NeverReclaim>,
{
    let find = move |pfn| model.lookup(pfn);
    // SAFETY: the frames of all patterns are valid, and nothing is removed.
    let unchecked = move |pfn| Some(unsafe { model.lookup_unchecked(pfn) });
    let pages = move |pfn| address(model.lookup(pfn));
    vec![
        Subject::page("unchecked", name, name, unchecked),
        Subject::page("checked", name, name, find),
        Subject::page("reader", name, name, move |pfn| model.read().page(pfn).map(NonNull::from)),
        Subject::number("valid", name, "valid", Pfn::get, move |pfn| {
            u64::from(model.is_valid(Pfn::new(pfn)))
        }),
        Subject::way_back(name, pages, move |page| back(model, page)),
    ]
}

/// The frame of a descriptor, by its address.
#[inline(always)]
fn back<M: MemoryModel<Page = Page>>(model: &M, page: u64) -> u64 {
    let page = core::ptr::with_exposed_provenance_mut(usize::try_from(page).unwrap_or(0));
    // SAFETY: items are addresses of descriptors that the model found, which are never null.
    let page = unsafe { NonNull::new_unchecked(page) };
    // SAFETY: as above; they were initialised, and nothing is removed.
    unsafe { model.pfn_of(page) }.get()
}

/// The checked lookup where sections came later, so that the subsection is looked at.
pub fn hot_added<'m, M>(model: &'m M, name: &str) -> Subject<'m>
where
    M: MemoryModel<Page = Page, Reclaim = NeverReclaim>,
{
    Subject::page(CHECKED_LATER, name, &format!("{name}, hot-added"), move |pfn| model.lookup(pfn))
}

/// The three models through an enum and through a trait object; the third is at a place that it was told, and has its
/// usual ways as well.
pub fn ways_chosen_at_run_time<'m>(
    models: &'m [Any<'m>; 3],
    placed: &'m FreePlaced,
    objects: [Object<'m>; 3],
) -> Vec<Subject<'m>> {
    let mut subjects = ways(placed, PLACED);
    let names = ["classic-sparse", "sparse-extreme", PLACED];
    for ((name, any), object) in names.into_iter().zip(models).zip(objects) {
        subjects.push(Subject::page("any", name, name, move |pfn| any.find(pfn)));
        subjects.push(Subject::page("dyn", name, name, move |pfn| object(pfn)));
    }
    subjects
}
