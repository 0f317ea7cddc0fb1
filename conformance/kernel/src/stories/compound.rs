//! A story of compounds: the processor keeps what their tails share as it is.

use sparsemem::{
    CompoundOrder, MemoryModel, NodeId, PageCount, Pfn, QuietDescriptors, ReadOnlyTails, RefoldError,
    SectionShape, initialise,
};
use sparsemem_suite::WorldWithEnvironment;

use super::Ended;
use super::checks::{StoryError, holds, same, some};
use super::host::NewDimm;
use super::system::{Plugged, System, none_lost};
use crate::arch::{Sizes, trap};
use crate::glue::MODEL;
use crate::model;

/// The memory's node.
const NODE: NodeId = NodeId::new(0);

/// The tails of a DIMM come to share a page: a store to one faults, and changes nothing, and a load does not. Heads are
/// written as before, and so are tails that were unfolded.
pub(super) fn tails_are_read_only(system: &mut System<'_>) -> Result<Ended, StoryError> {
    if model::array().is_none() {
        return Ok(Ended::NotApplicable("every descriptor of the model has memory of its own"));
    }
    let dimm = system.plug(&NewDimm::new("compounds", Sizes::SECTION_SIZE))?;
    system.reach(dimm.dimm.range)?;
    let (head, tail) = (dimm.frames.start(), dimm.frames.start().saturating_add(PageCount::new(64)));
    system.writer()?.install(system.world.env_mut(), dimm.frames, NODE)?;
    initialise(&MODEL, dimm.frames);
    holds("a tail that is not folded is written", writes(tail)?)?;
    let is_up = fold(system, &dimm)?;
    holds("a store to a tail faults", !writes(tail)?)?;
    holds("a head is written", writes(head)?)?;
    same("the head that a reader finds", &Some(head), &MODEL.read().head(tail).map(|found| found.0))?;
    if is_up == WhileUp::Yes {
        let done = system.writer()?.unfold(system.world.env_mut(), dimm.frames, NODE)?;
        none_lost(&done.lost)?;
        holds("a tail that was unfolded is written", writes(tail)?)?;
    }
    system.want(&dimm)?;
    none_lost(&system.writer()?.retire(system.world.env_mut(), dimm.frames)?.lost)?;
    system.eject(&dimm)?;
    Ok(Ended::Passed)
}

/// Says if the memory was up when it was folded.
#[derive(PartialEq, Eq)]
enum WhileUp {
    Yes,
    No,
}

/// Folds a DIMM in compounds of 2 MiB: while it is up, or where the processor does not allow that, when it is added again.
fn fold(system: &mut System<'_>, dimm: &Plugged) -> Result<WhileUp, StoryError> {
    let order = some("an order", CompoundOrder::new(9))?;
    // SAFETY: this story expects the fault of the store that it makes, and no other code has the memory.
    let tails = unsafe { ReadOnlyTails::promise(order) };
    // SAFETY: no other code has the memory.
    let quiet = unsafe { QuietDescriptors::promise(dimm.frames) };
    let (mut writer, env) = (system.writer()?, system.world.env_mut());
    match writer.fold(env, dimm.frames, NODE, tails, quiet) {
        Ok(done) => none_lost(&done.lost).map(|()| WhileUp::Yes),
        Err(RefoldError::InUse) => {
            none_lost(&writer.retire(env, dimm.frames)?.lost)?;
            writer.install_compounds(env, dimm.frames, NODE, tails)?;
            Ok(WhileUp::No)
        }
        Err(error) => Err(error.into()),
    }
}

/// True if the descriptor of a frame, which can be read, can be written: its first byte gets the value that it has.
fn writes(pfn: Pfn) -> Result<bool, StoryError> {
    let at = some("a descriptor", MODEL.lookup(pfn))?.addr().get() as u64;
    let byte = some("a byte of a descriptor", trap::read_byte(at))?;
    // SAFETY: no other code has the memory of the DIMM, and the byte keeps its value.
    Ok(unsafe { trap::write_byte(at, byte) }.is_some())
}
