//! Changes after boot: the model inside does them, and the map follows what it says is populated.
//!
//! # Invariants
//!
//! 1. The map follows whatever became of an operation, also if it unwinds: a subsection is open as a whole if it was
//!    added, and closed if it was removed. So nothing has to be undone here, and nothing needs memory.
//! 2. Whenever frames stop being valid, `retire` waits for readers before it returns.

use core::ptr::NonNull;

use sparsemem_core::{
    ByteLen, EarlyFrames, InstallError, InstallModel, MarkError, MarkModel, MemoryModel, MetadataBlock,
    MetadataMemory, MetadataModel, MetadataUse, NodeId, PfnRange, PhysRange, QuietDescriptors, ReadOnlyTails,
    RefoldError, Refolded, RetireError, RetireModel, Retired, SectionFlags, SectionNr, Unpublished, Writer,
};

use crate::ByFrame;
use crate::holes::Holes;

/// An operation on frames, which has the writer: when it ends, the map follows.
struct Follow<'w, 'm, M: MemoryModel> {
    writer: &'w mut Writer<'m, ByFrame<M>>,
    frames: PfnRange,
}

impl<'w, 'm, M: MemoryModel> Follow<'w, 'm, M> {
    const fn on(writer: &'w mut Writer<'m, ByFrame<M>>, frames: PfnRange) -> Self {
        Self { writer, frames }
    }

    /// The writer of the model inside.
    fn inside(&mut self) -> Writer<'_, M> {
        let inner = &self.writer.model().inner;
        self.writer.project(inner)
    }
}

impl<M: MemoryModel> Drop for Follow<'_, '_, M> {
    fn drop(&mut self) {
        let Some(holes) = ByFrame::holes_of(self.writer) else { return };
        // The frames of an operation that was refused may be any numbers.
        let within = self.frames.intersection(holes.extent::<M::Geometry>());
        for (section, part) in within.by_section::<M::Geometry>() {
            let state = self.writer.model().section(section);
            // A section that waits for its memmap does not say what is populated, and nothing changes it.
            if !state.is_deferred() {
                holes.follow::<M::Geometry>(part, state.subsections);
            }
        }
    }
}

impl<M: InstallModel<E>, E> InstallModel<E> for ByFrame<M> {
    fn install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<(), InstallError> {
        Follow::on(writer, frames).inside().install(env, frames, node)
    }

    fn install_compounds(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
    ) -> Result<(), InstallError> {
        Follow::on(writer, frames).inside().install_compounds(env, frames, node, tails)
    }
}

/// Waits for readers where frames went out of their sight and the model inside did not wait; and gives the map back
/// with the last section.
fn settle<M, E>(writer: &mut Writer<'_, ByFrame<M>>, env: &mut E, frames: PfnRange, retired: &mut Retired)
where
    M: RetireModel<E>,
    E: MetadataMemory,
{
    let model = writer.model();
    let is_empty = model.next_present(SectionNr::new(0)).is_none();
    let holes = if is_empty { model.unpublish() } else { None };
    let stays = |nr: SectionNr| model.section(nr).flags.contains(SectionFlags::EARLY);
    let is_exact = model.inner.early_frames() == EarlyFrames::Populated;
    if holes.is_none() && (is_exact || !frames.by_section::<M::Geometry>().any(|(nr, _)| stays(nr))) {
        return;
    }
    let holes = Unpublished::<M::Reclaim, _>::new(holes).after_grace();
    if let Some(holes) = holes {
        // SAFETY: no new reader found it since it was taken away, and a grace period has passed.
        unsafe { Holes::give_back(holes, env, &mut retired.lost) };
    }
}

impl<M: RetireModel<E>, E: MetadataMemory> RetireModel<E> for ByFrame<M> {
    /// It waits for readers a second time where a part of a section of boot stays and the model inside takes the
    /// section for valid as a whole, and for the last section, with which the map goes.
    fn retire(writer: &mut Writer<'_, Self>, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError> {
        let mut retired = Follow::on(writer, frames).inside().retire(env, frames)?;
        settle(writer, env, frames, &mut retired);
        Ok(retired)
    }

    fn check_retire(writer: &mut Writer<'_, Self>, env: &E, frames: PfnRange) -> Result<(), RetireError> {
        let inner = &writer.model().inner;
        writer.project(inner).check_retire(env, frames)
    }

    fn undo_install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
    ) -> Result<Retired, RetireError> {
        let mut retired = Follow::on(writer, frames).inside().undo_install(env, frames)?;
        settle(writer, env, frames, &mut retired);
        Ok(retired)
    }

    fn fold(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
        quiet: QuietDescriptors,
    ) -> Result<Refolded, RefoldError> {
        let inner = &writer.model().inner;
        writer.project(inner).fold(env, frames, node, tails, quiet)
    }

    fn unfold(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<Refolded, RefoldError> {
        let inner = &writer.model().inner;
        writer.project(inner).unfold(env, frames, node)
    }
}

impl<M: MarkModel> MarkModel for ByFrame<M> {
    fn set_online(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        let inner = &writer.model().inner;
        writer.project(inner).set_online(frames)
    }

    fn set_offline(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        let inner = &writer.model().inner;
        writer.project(inner).set_offline(frames)
    }

    fn taint(writer: &mut Writer<'_, Self>, frames: PfnRange) -> Result<(), MarkError> {
        let inner = &writer.model().inner;
        writer.project(inner).taint(frames)
    }
}

impl<M: MetadataModel<E>, E: MetadataMemory> MetadataModel<E> for ByFrame<M> {
    /// Every present section reports the map, too, as a part of its usage.
    fn each_metadata(
        writer: &mut Writer<'_, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) {
        let model = writer.model();
        writer.project(&model.inner).each_metadata(env, section, visit);
        let is_present = model.section(section).flags.contains(SectionFlags::PRESENT);
        let Some(holes) = Self::holes_of(writer).filter(|_| is_present) else { return };
        let bytes = env
            .virt_to_phys(NonNull::from(holes).cast())
            .and_then(|at| PhysRange::from_start_count(at, ByteLen::new(holes.bytes())));
        let block = bytes.map(|bytes| MetadataBlock { of: MetadataUse::Usage, bytes, origin: holes.origin });
        block.into_iter().for_each(visit);
    }
}
