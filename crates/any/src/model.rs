//! A model whose backend is chosen at run time.
//!
//! # Invariants
//!
//! 1. Every method of a trait calls the same method of the model inside, with the same arguments.

use alloc::boxed::Box;
use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, BootError, BootEvent, BootModel, BootSummary, ByteLen, EarlyFrames, Folded, Footprint,
    Geometry, GracePeriod, InstallError, InstallModel, LookupError, MarkError, MarkModel, MemoryModel,
    MemoryRange, MetadataBlock, MetadataMemory, MetadataModel, NodeId, Pfn, PfnRange, QuietDescriptors,
    ReadOnlyTails, Reclaim, RefoldError, Refolded, RetireError, RetireModel, Retired, SectionNr,
    SectionStamp, SectionState, TearDownError, Writer, WriterSlot, ZeroIsNew,
};
use sparsemem_usage_map::{Pageblock, PageblockModel};
use sparsemem_vmemmap::DynamicBase;

use crate::Backend;
use crate::prepare::Prepare as _;

/// Declares [`AnyModel`] from the list of backends.
macro_rules! declare_model {
    ({} $($(#[$doc:meta])* $variant:ident $module:ident $name:literal [$model:ty]
        sections: $sections:ident, descriptors: $descriptors:ident;)*) => {
        /// A model of any backend. [`any_model!`](crate::any_model) writes the type for a geometry.
        ///
        /// It is a model itself: hotplug, registration and the conformance suite take it as they take the model inside.
        /// The models lie on the heap, because otherwise every variant would contain a flat table of 8 MiB.
        ///
        /// `SECTIONS` and `ROOTS` are the geometry's
        /// [`NR_SECTIONS_LEN`](sparsemem_core::SectionShape::NR_SECTIONS_LEN) and
        /// [`NR_ROOTS_LEN`](sparsemem_core::SectionShape::NR_ROOTS_LEN).
        #[derive(Debug)]
        pub enum AnyModel<G, P, R, const SECTIONS: usize, const ROOTS: usize>
        where
            G: Geometry,
            P: SectionStamp,
            R: Reclaim,
        {
            $($(#[$doc])* $variant(Box<$model>),)*
        }

        impl<G, P, R, const SECTIONS: usize, const ROOTS: usize> AnyModel<G, P, R, SECTIONS, ROOTS>
        where
            G: Geometry,
            P: SectionStamp,
            R: Reclaim,
        {
            /// A fresh model of a backend; the place of an array still has to be set ([`AnyModel::array_base`]).
            ///
            /// # Cost
            ///
            /// One allocation of zeroed memory; unused parts of a table cost no memory where the allocator gets zeroed
            /// pages from a host.
            #[must_use]
            pub fn new(backend: Backend) -> Self {
                match backend {
                    $(Backend::$variant => Self::$variant(fresh()),)*
                }
            }

            /// The backend of the model.
            #[must_use]
            pub const fn backend(&self) -> Backend {
                match self {
                    $(Self::$variant(_) => Backend::$variant,)*
                }
            }
        }
    };
}

crate::each_backend!(declare_model {});

/// The type of an [`AnyModel`] for a geometry, a descriptor and a domain of readers.
///
/// ```
/// use sparsemem_any::{Backend, any_model};
/// use sparsemem_core::presets::Tiny;
/// use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn};
///
/// type Model = any_model!(Tiny, Page, NeverReclaim);
///
/// for backend in Backend::ALL {
///     let model = Model::new(backend);
///     assert_eq!(model.backend(), backend);
///     assert!(model.lookup(Pfn::new(3)).is_none());
/// }
/// ```
#[macro_export]
macro_rules! any_model {
    ($geometry:ty, $page:ty, $reclaim:ty) => {
        $crate::AnyModel<
            $geometry,
            $page,
            $reclaim,
            { <$geometry as $crate::SectionShape>::NR_SECTIONS_LEN },
            { <$geometry as $crate::SectionShape>::NR_ROOTS_LEN },
        >
    };
}

/// An expression over the model inside, whichever it is.
macro_rules! inside {
    ($any:expr, $model:ident => $value:expr) => {
        crate::each_backend!(matched { $any, $model => $value })
    };
}

/// The `match` of [`inside!`].
macro_rules! matched {
    ({ $any:expr, $model:ident => $value:expr } $($(#[$doc:meta])* $variant:ident $module:ident $name:literal [$inner:ty]
        sections: $sections:ident, descriptors: $descriptors:ident;)*) => {
        match $any {
            $(AnyModel::$variant($model) => $value,)*
        }
    };
}

impl<G, P, R, const SECTIONS: usize, const ROOTS: usize> AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
{
    /// The base whose place has to be set before boot; `None` if the model has no array.
    #[must_use]
    pub fn array_base(&self) -> Option<&DynamicBase> {
        inside!(self, model => model.base())
    }
}

pub(crate) use {inside, matched};

/// A fresh value that was never on a stack: a flat table is larger than most stacks.
fn fresh<T: ZeroIsNew>() -> Box<T> {
    // SAFETY: `ZeroIsNew` promises that zero bytes are a valid value.
    unsafe { Box::<T>::new_zeroed().assume_init() }
}

// SAFETY: every method is that of the model inside, which is the same one for as long as this is borrowed (invariant 1); its
// implementor made the promise.
unsafe impl<G, P, R, const SECTIONS: usize, const ROOTS: usize> MemoryModel
    for AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
{
    type Geometry = G;
    type Page = P;
    type Reclaim = R;

    fn name(&self) -> &'static str {
        inside!(self, model => model.name())
    }

    fn early_frames(&self) -> EarlyFrames {
        inside!(self, model => model.early_frames())
    }

    #[inline]
    fn lookup_with(&self, pfn: Pfn, guard: &R::Guard) -> Option<NonNull<P>> {
        inside!(self, model => model.lookup_with(pfn, guard))
    }

    #[inline]
    fn lookup_online_with(&self, pfn: Pfn, guard: &R::Guard) -> Option<NonNull<P>> {
        inside!(self, model => model.lookup_online_with(pfn, guard))
    }

    #[inline]
    unsafe fn lookup_unchecked(&self, pfn: Pfn) -> NonNull<P> {
        // SAFETY: the caller's promise is the same.
        inside!(self, model => unsafe { model.lookup_unchecked(pfn) })
    }

    #[inline]
    unsafe fn pfn_of(&self, page: NonNull<P>) -> Pfn {
        // SAFETY: the caller's promise is the same.
        inside!(self, model => unsafe { model.pfn_of(page) })
    }

    #[inline]
    fn is_valid(&self, pfn: Pfn) -> bool {
        inside!(self, model => model.is_valid(pfn))
    }

    fn explain(&self, pfn: Pfn, guard: &R::Guard) -> Result<NonNull<P>, LookupError> {
        inside!(self, model => model.explain(pfn, guard))
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        inside!(self, model => model.section(nr))
    }

    fn folded(&self, nr: SectionNr, guard: &R::Guard) -> Option<Folded> {
        inside!(self, model => model.folded(nr, guard))
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        inside!(self, model => model.next_present(from))
    }

    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        inside!(self, model => model.next_valid(within))
    }

    fn writer_slot(&self) -> &WriterSlot {
        inside!(self, model => model.writer_slot())
    }

    fn footprint(&self) -> Footprint {
        inside!(self, model => model.footprint())
    }

    fn reserve(writer: &mut Writer<'_, Self>, frames: PfnRange) {
        inside!(writer.model(), model => writer.project(&**model).reserve(frames));
    }

    fn boot_bytes<I: Iterator<Item = MemoryRange> + Clone>(&self, memory: I) -> ByteLen {
        inside!(self, model => model.boot_bytes(memory))
    }
}

impl<E, G, P, R, const SECTIONS: usize, const ROOTS: usize> BootModel<E>
    for AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
    E: MetadataMemory + AddressSpace,
{
    fn boot<I>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        inside!(writer.model(), model => writer.project(&**model).boot(env, memory, on_event))
    }

    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError> {
        inside!(self, model => model.tear_down(env))
    }
}

impl<E, G, P, R, const SECTIONS: usize, const ROOTS: usize> InstallModel<E>
    for AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
    E: MetadataMemory + AddressSpace,
{
    fn install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<(), InstallError> {
        inside!(writer.model(), model => writer.project(&**model).install(env, frames, node))
    }

    fn install_compounds(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
    ) -> Result<(), InstallError> {
        inside!(writer.model(), model => {
            writer.project(&**model).install_compounds(env, frames, node, tails)
        })
    }
}

impl<E, G, P, R, const SECTIONS: usize, const ROOTS: usize> RetireModel<E>
    for AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: GracePeriod,
    E: MetadataMemory + AddressSpace,
{
    fn retire(writer: &mut Writer<'_, Self>, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError> {
        inside!(writer.model(), model => writer.project(&**model).retire(env, frames))
    }

    fn check_retire(writer: &mut Writer<'_, Self>, env: &E, frames: PfnRange) -> Result<(), RetireError> {
        inside!(writer.model(), model => writer.project(&**model).check_retire(env, frames))
    }

    fn undo_install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
    ) -> Result<Retired, RetireError> {
        inside!(writer.model(), model => writer.project(&**model).undo_install(env, frames))
    }

    fn fold(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
        quiet: QuietDescriptors,
    ) -> Result<Refolded, RefoldError> {
        inside!(writer.model(), model => {
            writer.project(&**model).fold(env, frames, node, tails, quiet)
        })
    }

    fn unfold(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<Refolded, RefoldError> {
        inside!(writer.model(), model => writer.project(&**model).unfold(env, frames, node))
    }
}

impl<E, G, P, R, const SECTIONS: usize, const ROOTS: usize> MetadataModel<E>
    for AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
    E: MetadataMemory + AddressSpace,
{
    fn each_metadata(
        writer: &mut Writer<'_, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) {
        inside!(writer.model(), model => writer.project(&**model).each_metadata(env, section, visit));
    }
}

impl<G, P, R, const SECTIONS: usize, const ROOTS: usize> PageblockModel for AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
{
    fn pageblock<'g>(&'g self, pfn: Pfn, guard: &'g R::Guard) -> Option<Pageblock<'g, G>> {
        inside!(self, model => model.pageblock(pfn, guard))
    }
}

impl<G, P, R, const SECTIONS: usize, const ROOTS: usize> MarkModel for AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
{
    fn set_online(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        inside!(writer.model(), model => writer.project(&**model).set_online(frames))
    }

    fn set_offline(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        inside!(writer.model(), model => writer.project(&**model).set_offline(frames))
    }

    fn taint(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        inside!(writer.model(), model => writer.project(&**model).taint(frames))
    }
}
