//! Boot: the array is made, its sections are marked while no reader can find it, and then it is published.
//!
//! # Invariants
//!
//! 1. A callback finds a model that is down: it may unwind, and the array is given back then.
//! 2. No memory is lost in silence: if there is no array, boot reports each section of RAM as lost.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    BootError, BootEvent, BootModel, BootPart, BootSummary, Geometry, LostBlocks, MemoryModel, MemoryRange,
    MetadataMemory, NodeId, PageDescriptor, PfnRange, Reclaim, SectionFlags, SectionLoss, SectionNr,
    SubsectionBits, TearDownError, Writer, trace_event,
};

use crate::array::Array;
use crate::index::{Extent, whole_sections};
use crate::retire::tear_down;
use crate::{ArrayModel, FrameIndex};

/// Flags of a section that boot brings up.
const EARLY: SectionFlags = SectionFlags::PRESENT
    .union(SectionFlags::HAS_MEM_MAP)
    .union(SectionFlags::ONLINE)
    .union(SectionFlags::EARLY);

/// The array, or why there is none.
type Made<G, P, I> = Result<NonNull<Array<G, P, I>>, SectionLoss>;

/// A boot in progress: it owns the array until it is published.
struct Boot<'b, G: Geometry, P: PageDescriptor, I: FrameIndex, E: MetadataMemory> {
    env: &'b mut E,
    array: Made<G, P, I>,
    on_event: &'b mut dyn FnMut(BootEvent),
    summary: BootSummary,
}

impl<G, P, R, I, E> BootModel<E> for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
    E: MetadataMemory,
{
    fn boot<M>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: M,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        M: Iterator<Item = MemoryRange> + Clone,
    {
        if let Some(present) = writer.model().next_present(SectionNr::new(0)) {
            return Err(BootError::AlreadyUp { present });
        }
        let array = make_array(env, &memory, writer.model().reserved());
        let mut boot = Boot { env, array, on_event, summary: BootSummary::default() };
        boot.mark(&memory);
        let summary = boot.summary;
        let is_wanted = summary.sections > 0;
        if let Some(array) = is_wanted.then(|| boot.take()).flatten() {
            writer.model().publish(array);
        }
        trace_event!(INFO, "{} is up: {summary:?}", I::NAME);
        Ok(summary)
    }

    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError> {
        tear_down(self, env)
    }
}

/// The extent for RAM in `memory` and for the reserve, and the node of its memory; or why there is none.
fn extent_for<G: Geometry, I: FrameIndex>(
    memory: &(impl Iterator<Item = MemoryRange> + Clone),
    reserve: PfnRange,
) -> Result<(Extent<I>, NodeId), SectionLoss> {
    let ram = memory.clone().map(|range| whole_sections::<G>(range.frames));
    let mut memory = memory.clone().filter(|range| !whole_sections::<G>(range.frames).is_empty());
    // Without RAM nothing is brought up, so that there is nothing to have an array for.
    let node = memory.next().ok_or(SectionLoss::BeyondArray { array: reserve })?.node;
    Ok((Extent::of::<G>(ram.chain([reserve]))?, node))
}

/// The array for RAM in `memory` and for the reserve, or why there is none.
fn make_array<G: Geometry, P, I: FrameIndex, E: MetadataMemory>(
    env: &mut E,
    memory: &(impl Iterator<Item = MemoryRange> + Clone),
    reserve: PfnRange,
) -> Made<G, P, I> {
    let (extent, node) = extent_for::<G, I>(memory, reserve)?;
    Array::allocate(env, extent, node).map_err(|why| SectionLoss::Array { frames: extent.frames, why })
}

impl<G: Geometry, P, R, I: FrameIndex> ArrayModel<G, P, R, I> {
    /// The block that a boot with `memory` asks for, if it asks for any that a target can have.
    pub(crate) fn block_for(&self, memory: &(impl Iterator<Item = MemoryRange> + Clone)) -> Option<Layout> {
        let (extent, node) = extent_for::<G, I>(memory, self.reserved()).ok()?;
        Array::<G, P, I>::layout_for(&extent, node).ok().map(|(block, _)| block)
    }
}

impl<G: Geometry, P: PageDescriptor, I: FrameIndex, E: MetadataMemory> Boot<'_, G, P, I, E> {
    /// Takes the array out, so that it is not given back.
    fn take(&mut self) -> Option<NonNull<Array<G, P, I>>> {
        let gone = Err(SectionLoss::BeyondArray { array: PfnRange::default() });
        core::mem::replace(&mut self.array, gone).ok()
    }

    /// Marks every section and subsection that `memory` touches, reports those that cannot be marked, and counts.
    fn mark(&mut self, memory: &(impl Iterator<Item = MemoryRange> + Clone)) {
        let Self { array, on_event, summary, .. } = self;
        // SAFETY: it is live until this gives it back or away.
        let array = array.as_ref().map(|array| unsafe { array.as_ref() }).map_err(|why| *why);
        summary.by_section::<G>(memory, on_event, |part| mark_part(array?, part));
        if let Ok(array) = array {
            let first = array.next_present(SectionNr::new(0));
            let present = core::iter::successors(first, |(nr, _)| array.next_present(nr.next()));
            summary.count(present.map(|(nr, section)| (nr, section.node())));
        }
    }
}

/// Marks a part of a section. Returns the node that the section has.
fn mark_part<G: Geometry, P, I: FrameIndex>(
    array: &Array<G, P, I>,
    part: &BootPart,
) -> Result<NodeId, SectionLoss> {
    // An iterator may give other frames now than when the array was made.
    let section = array.section(part.section).ok_or_else(|| array.extent.refusal::<G>(part.section))?;
    if section.flags().is_empty() {
        section.set_node(part.node);
        section.set_flags(EARLY);
    }
    // `by_section` gives parts of one section that are not empty: there is always a set.
    let bits = SubsectionBits::touched::<G>(part.frames).unwrap_or_default();
    section.usage.insert(bits);
    section.usage.insert_online(bits);
    Ok(section.node())
}

impl<G: Geometry, P: PageDescriptor, I: FrameIndex, E: MetadataMemory> Drop for Boot<'_, G, P, I, E> {
    /// Gives an array back that was not published: a callback unwound, or the iterator changed its mind.
    fn drop(&mut self) {
        let Some(array) = self.take() else { return };
        let mut lost = LostBlocks::default();
        // SAFETY: it was never published, and this owned it.
        unsafe { Array::give_back(array, self.env, &mut lost) };
        if !lost.is_empty() {
            trace_event!(WARN, "a boot came to nothing{lost}");
        }
    }
}
