//! Adds memory to a model: every part of a request, or none.
//!
//! # Invariants
//!
//! 1. No part is installed before every part was checked.
//! 2. When a part fails, the parts before it are retired under the same writer, so no other writer can prevent that.

use sparsemem_core::{
    FramesError, InstallError, InstallModel, LostBlocks, MemoryModel, PfnRange, RetireModel, Writer,
    trace_event,
};

use crate::{Part, Request};

/// Adds every part of a request to a model. The memory is not online afterwards.
///
/// Holes of early sections get the descriptors that are there already (T-09). Source: Linux `__add_pages`. Differs
/// from Linux: there, the sections that were added before the failing one stay (H-02, D-02).
///
/// # Errors
///
/// [`InstallError`] of the part that failed, with its section and the cause. Nothing has changed then.
pub fn add<M, E>(
    writer: &mut Writer<'_, M>,
    env: &mut E,
    request: &Request<M::Geometry>,
) -> Result<(), InstallError>
where
    M: InstallModel<E> + RetireModel<E>,
{
    Adding::new(writer, env, request).map(Adding::keep)
}

/// An addition that is going on. Dropping it takes back the parts that were installed: a later step may fail, and a
/// listener to the events of an installation may unwind.
#[must_use = "dropping it takes the memory back"]
pub(crate) struct Adding<'a, 'w, M: RetireModel<E>, E> {
    pub(crate) writer: &'a mut Writer<'w, M>,
    env: &'a mut E,
    installed: PfnRange,
}

impl<'a, 'w, M: RetireModel<E>, E> Adding<'a, 'w, M, E> {
    /// Adds every part of a request, as [`add`] does, until this is dropped.
    pub(crate) fn new(
        writer: &'a mut Writer<'w, M>,
        env: &'a mut E,
        request: &Request<M::Geometry>,
    ) -> Result<Self, InstallError>
    where
        M: InstallModel<E>,
    {
        request.parts().try_for_each(|part| check_absent(writer.model(), part))?;
        let mut adding = Self { writer, env, installed: PfnRange::default() };
        for part in request.parts() {
            let (writer, env) = (&mut *adding.writer, &mut *adding.env);
            let installed = match request.compound() {
                None => writer.install(env, part.frames, request.node()),
                Some(tails) => writer.install_compounds(env, part.frames, request.node(), tails),
            };
            if let Err(why) = installed {
                return Err(with_lost(why, adding.take_back()));
            }
            adding.installed = request.frames().split_at(part.frames.end()).0;
        }
        Ok(adding)
    }

    /// All of it stays.
    pub(crate) fn keep(mut self) {
        self.installed = PfnRange::default();
    }

    /// Takes the installed parts back, and counts the blocks that were lost.
    fn take_back(&mut self) -> LostBlocks {
        let installed = core::mem::take(&mut self.installed);
        undo(self.writer, self.env, installed)
    }
}

impl<M: RetireModel<E>, E> Drop for Adding<'_, '_, M, E> {
    fn drop(&mut self) {
        // While the program unwinds, no result can report lost blocks.
        let _ = self.take_back();
    }
}

/// Retires memory that was installed a moment ago, and counts the blocks that the environment did not take back.
pub(crate) fn undo<M, E>(writer: &mut Writer<'_, M>, env: &mut E, installed: PfnRange) -> LostBlocks
where
    M: RetireModel<E>,
{
    if installed.is_empty() {
        return LostBlocks::default();
    }
    let retired = writer.undo_install(env, installed);
    debug_assert!(
        retired.is_ok(),
        "frames that were installed under this writer are there and offline: {retired:?}"
    );
    retired.map_or_else(|_| LostBlocks::default(), |retired| retired.lost)
}

/// Adds the blocks that were lost while undoing to an error.
fn with_lost(mut why: InstallError, more: LostBlocks) -> InstallError {
    match &mut why {
        InstallError::NoMetadata { lost, .. } => lost.add(more),
        // The arguments were checked before, so a shortage of metadata memory is the only reason left.
        _ if !more.is_empty() => trace_event!(WARN, "undoing an addition{more}"),
        _ => {}
    }
    why
}

/// Refuses a part if the model has any of its frames already.
fn check_absent<M: MemoryModel>(model: &M, part: Part) -> Result<(), InstallError> {
    let (section, bits) = FramesError::check::<M::Geometry>(part.frames)?;
    let populated = bits.intersection(model.section(section).subsections);
    if populated.is_empty() {
        return Ok(());
    }
    Err(InstallError::Populated { frames: part.frames, section, populated })
}
