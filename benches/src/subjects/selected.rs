//! `Selected`, the model that a kernel gets by a feature of the facade.
//!
//! It is an alias of the model itself, so that the very same value can be measured under both names.

use crate::models::{FreeClassic, FreeExtreme, FreeFixed, OnHuge};
use crate::subjects::Subject;

/// The checked lookup through `Selected`, if the facade was asked for one model.
#[allow(unused_variables, reason = "the features choose one of them, or none")]
pub fn selected<'m>(
    classic: &'m FreeClassic,
    extreme: &'m FreeExtreme,
    vmemmap: &'m FreeFixed<OnHuge>,
) -> Option<Subject<'m>> {
    #[cfg(feature = "selected-classic-sparse")]
    return Some(chosen::subject(classic));
    #[cfg(feature = "selected-sparse-extreme")]
    return Some(chosen::subject(extreme));
    #[cfg(feature = "selected-vmemmap")]
    return Some(chosen::subject(vmemmap));
    #[allow(unreachable_code, reason = "without a feature")]
    None
}

#[cfg(any(
    feature = "selected-classic-sparse",
    feature = "selected-sparse-extreme",
    feature = "selected-vmemmap"
))]
mod chosen {
    use sparsemem::{Config, MemoryModel, NeverReclaim, Page, Selected, presets::X86_64, selected_len};

    use crate::models::OnHuge;
    use crate::subjects::Subject;

    pub(super) struct Kernel;

    impl Config for Kernel {
        type Geometry = X86_64;
        type Page = Page;
        type Reclaim = NeverReclaim;
        type Array = OnHuge;
    }

    pub(super) fn subject<'m>(model: &'m Selected<Kernel, { selected_len::<Kernel>() }>) -> Subject<'m> {
        Subject::page("selected", model.name(), model.name(), move |pfn| model.lookup(pfn))
    }
}
