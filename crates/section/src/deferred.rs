//! Sections that boot only marked are brought up, by several processors at once.
//!
//! A processor claims a section, allocates its memmap, and then waits for its turn: what it does in the turn is what a boot
//! does, and a boot is alone. So memory is zeroed by all processors at once, and page tables, notes and planes are changed
//! by one after the other, without being made for several.
//!
//! # Invariants
//!
//! 1. The processor whose compare-exchange claimed a section's word brings the section up, or makes the word as it was.
//! 2. A [`Writing`] of a writer that is lent jointly exists only in a turn, and its section is published in the same turn: so
//!    whoever looks in a turn which descriptors are needed finds all that exist.
//! 3. No root is taken out while the writer is lent jointly, so entries stay.

use sparsemem_core::{
    BootError, BootEvent, BootSummary, BringUpError, BroughtUp, DeferredModel, JointWriter, LostBlocks,
    MemoryRange, MetadataMemory, NodeId, Reclaim, SectionLoss, SectionNr, Writer, trace_event,
};

use crate::boot::{Boot, bring_up_marked};
use crate::table::Entry;
use crate::{Before, Placement, Populate, PopulateRequest, SectionTable, SectionWord, SparseModel, Writing};

impl<T, S, R, E> DeferredModel<E> for SparseModel<T, S, R>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: Reclaim,
    E: MetadataMemory,
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
        Ok(Boot::marked(writer, env, &memory, on_event)?.leave_marked())
    }

    fn bring_up(
        writer: JointWriter<'_, Self>,
        env: &mut E,
        section: SectionNr,
    ) -> Result<BroughtUp, BringUpError> {
        let model = writer.model();
        // SAFETY: the writer is lent jointly, so no root is taken out (invariant 3).
        let entry = unsafe { model.table.entry(section) }.ok_or(BringUpError::Absent { section })?;
        if entry.word().is_deferred() {
            // Before anything changes: a listener may unwind.
            trace_event!(DEBUG, "bringing up section {section}");
        }
        let marked = match entry.claim() {
            Ok(marked) => marked,
            Err(word) if word.has_memmap() => return Ok(BroughtUp::Before),
            Err(word) if word.is_claimed() => return Ok(BroughtUp::Elsewhere),
            Err(_) => return Err(BringUpError::Absent { section }),
        };
        let claim = Claim { writer, entry, marked, section };
        let mut lost = LostBlocks::default();
        match claim.bring_up(env, &mut lost) {
            Ok(()) => Ok(BroughtUp::Now { lost }),
            Err(why) => {
                claim.give_up();
                Err(BringUpError::NoMetadata { section, why, lost })
            }
        }
    }
}

/// A section that this processor brings up.
struct Claim<'w, T: SectionTable, S, R> {
    writer: JointWriter<'w, SparseModel<T, S, R>>,
    entry: &'w Entry<T>,
    /// The word that the section had.
    marked: SectionWord<T::Page>,
    section: SectionNr,
}

impl<T: SectionTable, S: Placement<T>, R: Reclaim> Claim<'_, T, S, R> {
    /// Makes the memmap of the section and publishes it.
    fn bring_up<E>(&self, env: &mut E, lost: &mut LostBlocks) -> Result<(), SectionLoss>
    where
        S: Populate<T, E>,
        E: MetadataMemory,
    {
        let request = self.request()?;
        let layout = self.writer.model().placement.beforehand(env, &request);
        // A placement that does not get its block asks for one itself, and has the error.
        let mut block = layout.and_then(|layout| env.alloc_memmap(layout, request.node).ok());
        let made = self.in_turn(|writing| {
            writing.notes().note_other();
            bring_up_marked(writing, env, &request, &mut block, lost)
        });
        if let Some(Err(rejected)) = block.map(|block| env.free(block)) {
            lost.note(rejected.error);
        }
        made
    }

    /// The request for its memmap. Others may have had its descriptors in their memory, unlike in a boot.
    fn request(&self) -> Result<PopulateRequest, SectionLoss> {
        let section = self.section;
        let frames = section.frames::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
        let node = self.marked.early_node().unwrap_or(NodeId::new(0));
        Ok(PopulateRequest {
            section,
            frames,
            neighbourhood: frames,
            node,
            before: Before::SomeFrames,
            compound: None,
        })
    }

    /// Waits for this processor's turn, and lends the token that comes with it.
    fn in_turn<O>(&self, change: impl FnOnce(&mut Writing<'_, T, S>) -> O) -> O {
        let _turn = self.writer.take_turn();
        // SAFETY: the model is the joint writer's, and the turn is held.
        change(&mut unsafe { Writing::in_turn(self.writer.model()) })
    }

    /// Makes the section as it was before the claim.
    fn give_up(&self) {
        self.entry.set_word(self.marked);
    }
}
