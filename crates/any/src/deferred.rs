//! Bring-up that waits, where the model inside can do it.
//!
//! # Invariants
//!
//! 1. A model of one array with a bound has all descriptors or none, so it refuses to boot without them, and has no section
//!    that waits for any.

use sparsemem_bounded_array::ArrayModel;
use sparsemem_core::{
    AddressSpace, BootError, BootEvent, BootSummary, BringUpError, BroughtUp, DeferredModel, Geometry,
    JointWriter, MemoryModel, MemoryRange, MetadataMemory, Reclaim, SectionNr, SectionStamp, Writer,
};
use sparsemem_section::SparseModel;

use crate::AnyModel;
use crate::model::{inside, matched};

/// [`DeferredModel`] of every model inside; those that do not have the trait refuse.
trait Defer<E>: MemoryModel + Sized {
    fn boot_deferred<I: Iterator<Item = MemoryRange> + Clone>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>;

    fn bring_up(
        writer: JointWriter<'_, Self>,
        env: &mut E,
        section: SectionNr,
    ) -> Result<BroughtUp, BringUpError>;
}

impl<E, T, S, R> Defer<E> for SparseModel<T, S, R>
where
    Self: DeferredModel<E>,
{
    fn boot_deferred<I: Iterator<Item = MemoryRange> + Clone>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError> {
        writer.boot_deferred(env, memory, on_event)
    }

    fn bring_up(
        writer: JointWriter<'_, Self>,
        env: &mut E,
        section: SectionNr,
    ) -> Result<BroughtUp, BringUpError> {
        writer.bring_up(env, section)
    }
}

impl<E, G: Geometry, P, R, I> Defer<E> for ArrayModel<G, P, R, I>
where
    Self: MemoryModel,
{
    fn boot_deferred<M: Iterator<Item = MemoryRange> + Clone>(
        writer: &mut Writer<'_, Self>,
        _env: &mut E,
        _memory: M,
        _on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError> {
        Err(BootError::CannotDefer { model: writer.model().name() })
    }

    fn bring_up(
        writer: JointWriter<'_, Self>,
        _env: &mut E,
        section: SectionNr,
    ) -> Result<BroughtUp, BringUpError> {
        let is_up = writer.model().next_present(section) == Some(section);
        if is_up { Ok(BroughtUp::Before) } else { Err(BringUpError::Absent { section }) }
    }
}

impl<E, G, P, R, const SECTIONS: usize, const ROOTS: usize> DeferredModel<E>
    for AnyModel<G, P, R, SECTIONS, ROOTS>
where
    G: Geometry,
    P: SectionStamp,
    R: Reclaim,
    E: MetadataMemory + AddressSpace,
{
    fn boot_deferred<I>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        inside!(writer.model(), model => {
            Defer::boot_deferred(&mut writer.project(&**model), env, memory, on_event)
        })
    }

    fn bring_up(
        writer: JointWriter<'_, Self>,
        env: &mut E,
        section: SectionNr,
    ) -> Result<BroughtUp, BringUpError> {
        inside!(writer.model(), model => Defer::bring_up(writer.project(&**model), env, section))
    }
}
