//! Run-time choice between the memory models, for tools that compare them. A kernel does not link this.
//!
//! [`AnyModel`] is an enum of references: a model by value would put the 8 MiB flat table into every variant. The
//! dispatch goes through [`AnyLookup`], a trait of its own, because `enum_dispatch` takes neither associated types nor
//! a trait of another crate. `AnyLookup` can be used as `dyn` as well.
//!
//! ```
//! use sparsemem_any::{AnyLookup, AnyModel, Backend};
//! use sparsemem_classic_sparse::ClassicSparse;
//! use sparsemem_core::presets::Tiny;
//! use sparsemem_core::{NeverReclaim, Page, Pfn, SectionShape};
//!
//! const SECTIONS: usize = Tiny::NR_SECTIONS_LEN;
//! const ROOTS: usize = Tiny::NR_ROOTS_LEN;
//!
//! static CLASSIC: ClassicSparse<Tiny, Page, NeverReclaim, SECTIONS> = ClassicSparse::new();
//!
//! let model: AnyModel<'_, Tiny, Page, NeverReclaim, SECTIONS, ROOTS> = AnyModel::from(&CLASSIC);
//! assert_eq!(model.backend(), Backend::ClassicSparse);
//! assert!(model.find(Pfn::new(3)).is_none());
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backend;

use core::ptr::NonNull;

pub use backend::{Backend, UnknownBackend};
use enum_dispatch::enum_dispatch;
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::{
    Geometry, LookupError, MemoryModel, PageDescriptor, Pfn, PfnRange, Reclaim, SectionNr, SectionStamp,
    SectionState,
};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

/// The data path of any model with descriptor `P`, without the types that tell models apart.
///
/// The methods are those of [`MemoryModel`], under other names, so that both traits can be in scope.
#[enum_dispatch]
pub trait AnyLookup<P: PageDescriptor> {
    /// [`MemoryModel::name`].
    fn model_name(&self) -> &'static str;

    /// [`MemoryModel::lookup`]; the caller sees to it that the frame is not removed meanwhile.
    ///
    /// # Cost
    ///
    /// A branch on the variant, or a call through a pointer, more than the model's own.
    fn find(&self, pfn: Pfn) -> Option<NonNull<P>>;

    /// [`MemoryModel::explain`]; the caller sees to it that the frame is not removed meanwhile.
    ///
    /// # Errors
    ///
    /// [`LookupError`], naming the frame and what is missing.
    fn find_or_reason(&self, pfn: Pfn) -> Result<NonNull<P>, LookupError>;

    /// [`MemoryModel::section`].
    fn section_state(&self, nr: SectionNr) -> SectionState;

    /// [`MemoryModel::next_present`].
    fn next_present_section(&self, from: SectionNr) -> Option<SectionNr>;

    /// [`MemoryModel::next_valid`].
    fn next_valid_frames(&self, within: PfnRange) -> Option<PfnRange>;
}

impl<P: PageDescriptor, M: MemoryModel<Page = P>> AnyLookup<P> for M {
    fn model_name(&self) -> &'static str {
        self.name()
    }

    #[inline]
    fn find(&self, pfn: Pfn) -> Option<NonNull<P>> {
        self.lookup(pfn)
    }

    fn find_or_reason(&self, pfn: Pfn) -> Result<NonNull<P>, LookupError> {
        self.explain(pfn, &M::Reclaim::enter())
    }

    fn section_state(&self, nr: SectionNr) -> SectionState {
        self.section(nr)
    }

    fn next_present_section(&self, from: SectionNr) -> Option<SectionNr> {
        self.next_present(from)
    }

    fn next_valid_frames(&self, within: PfnRange) -> Option<PfnRange> {
        self.next_valid(within)
    }
}

/// One of the three models, chosen at run time.
///
/// `SECTIONS` and `ROOTS` are the geometry's
/// [`NR_SECTIONS_LEN`](sparsemem_core::SectionShape::NR_SECTIONS_LEN) and
/// [`NR_ROOTS_LEN`](sparsemem_core::SectionShape::NR_ROOTS_LEN).
#[enum_dispatch(AnyLookup<P>)]
#[derive(Clone, Copy, Debug)]
pub enum AnyModel<'m, G, P, R, const SECTIONS: usize, const ROOTS: usize>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
{
    /// [`ClassicSparse`].
    ClassicSparse(&'m ClassicSparse<G, P, R, SECTIONS>),
    /// [`SparseExtreme`].
    SparseExtreme(&'m SparseExtreme<G, P, R, ROOTS>),
    /// [`Vmemmap`] at a place found out at run time.
    Vmemmap(&'m Vmemmap<G, P, R, DynamicBase, ROOTS>),
}

impl<G, P, R, const SECTIONS: usize, const ROOTS: usize> AnyModel<'_, G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
{
    /// Which of them it is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        match self {
            Self::ClassicSparse(_) => Backend::ClassicSparse,
            Self::SparseExtreme(_) => Backend::SparseExtreme,
            Self::Vmemmap(_) => Backend::Vmemmap,
        }
    }
}
