//! Boot and teardown: the map of holes is made before the model inside boots, and comes and goes with it.
//!
//! # Invariants
//!
//! 1. A boot ends, also by unwinding, with a model that is up and its map published, or with a model that is down and
//!    no map.
//! 2. No memory is lost in silence: without a map, boot reports each section of RAM as lost.

use core::ptr::NonNull;

use sparsemem_core::{
    BootError, BootEvent, BootModel, BootSummary, BringUpError, BroughtUp, DeferredModel, JointWriter,
    LostBlocks, MemoryModel, MemoryRange, MetadataMemory, Pfn, SectionLoss, SectionNr, SectionShape,
    TearDownError, Writer, trace_event,
};

use crate::ByFrame;
use crate::fill::Extent;
use crate::holes::Holes;

/// A boot in progress: it owns the map until the model inside is up.
struct Boot<'b, M: MemoryModel, E: MetadataMemory> {
    model: &'b ByFrame<M>,
    env: &'b mut E,
    holes: Option<NonNull<Holes>>,
}

/// Makes the map, boots the model inside by `inside`, and publishes the map.
fn boot_inside<M, E, I>(
    writer: &mut Writer<'_, ByFrame<M>>,
    env: &mut E,
    memory: I,
    on_event: &mut dyn FnMut(BootEvent),
    inside: impl FnOnce(
        &mut Writer<'_, M>,
        &mut E,
        I,
        &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>,
) -> Result<BootSummary, BootError>
where
    M: MemoryModel,
    E: MetadataMemory,
    I: Iterator<Item = MemoryRange> + Clone,
{
    let model = writer.model();
    if let Some(present) = model.next_present(SectionNr::new(0)) {
        return Err(BootError::AlreadyUp { present });
    }
    let holes = match Extent::of::<M::Geometry, I>(&memory) {
        None => None,
        Some(extent) => match Holes::allocate::<M::Geometry, E, I>(env, &extent, &memory) {
            Ok(holes) => Some(holes),
            Err(why) => {
                let why = SectionLoss::Holes { frames: extent.frames, why };
                return Ok(lose_all::<M, I>(&memory, why, on_event));
            }
        },
    };
    let boot = Boot { model, env, holes };
    inside(&mut writer.project(&model.inner), boot.env, memory, on_event)
}

/// Reports every section of `memory` as lost.
fn lose_all<M: MemoryModel, I>(
    memory: &I,
    why: SectionLoss,
    on_event: &mut dyn FnMut(BootEvent),
) -> BootSummary
where
    I: Iterator<Item = MemoryRange> + Clone,
{
    let mut summary = BootSummary::default();
    summary.by_section::<M::Geometry>(memory, on_event, |_| Err(why));
    summary
}

/// Forgets the parts of sections that are lost: what is added there later is memory as a whole.
fn forget_lost<M: MemoryModel>(model: &ByFrame<M>, holes: &Holes) {
    for subsection in holes.partial() {
        let pfn = Pfn::new(subsection.saturating_mul(M::Geometry::PAGES_PER_SUBSECTION));
        if model.section(pfn.section::<M::Geometry>()).flags.is_empty() {
            holes.forget::<M::Geometry>(*subsection);
        }
    }
}

impl<M: MemoryModel, E: MetadataMemory> Drop for Boot<'_, M, E> {
    /// Publishes the map if the model inside is up, or gives it back (invariant 1).
    fn drop(&mut self) {
        let Some(holes) = self.holes.take() else { return };
        if self.model.next_present(SectionNr::new(0)).is_some() {
            // SAFETY: the head is live until the block is given back.
            forget_lost(self.model, unsafe { holes.as_ref() });
            return self.model.publish(holes);
        }
        let mut lost = LostBlocks::default();
        // SAFETY: it was never published, and this owned it.
        unsafe { Holes::give_back(holes, self.env, &mut lost) };
        if !lost.is_empty() {
            trace_event!(WARN, "a boot came to nothing{lost}");
        }
    }
}

impl<M: BootModel<E>, E: MetadataMemory> BootModel<E> for ByFrame<M> {
    fn boot<I>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        boot_inside(writer, env, memory, on_event, |writer, env, memory, on_event| {
            writer.boot(env, memory, on_event)
        })
    }

    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError> {
        let (mut lost, mut section) = (LostBlocks::default(), SectionNr::new(0));
        match self.inner.tear_down(env) {
            Ok(()) => {}
            Err(TearDownError::Lost { lost: inside, section: first }) => (lost, section) = (inside, first),
            // The model inside is as it was.
            Err(why) => return Err(why),
        }
        if let Some(holes) = self.unpublish() {
            // SAFETY: the head is live until the block is given back.
            let first = unsafe { holes.as_ref() }.extent::<M::Geometry>().start().section::<M::Geometry>();
            section = if lost.is_empty() { first } else { section };
            // SAFETY: `&mut` of the model: no reader is left, and the model does not lead to it any more.
            unsafe { Holes::give_back(holes, env, &mut lost) };
        }
        if lost.is_empty() { Ok(()) } else { Err(TearDownError::Lost { lost, section }) }
    }
}

impl<M: DeferredModel<E>, E: MetadataMemory> DeferredModel<E> for ByFrame<M> {
    fn boot_deferred<I>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        boot_inside(writer, env, memory, on_event, |writer, env, memory, on_event| {
            writer.boot_deferred(env, memory, on_event)
        })
    }

    fn bring_up(
        writer: JointWriter<'_, Self>,
        env: &mut E,
        section: SectionNr,
    ) -> Result<BroughtUp, BringUpError> {
        writer.project(&writer.model().inner).bring_up(env, section)
    }
}
