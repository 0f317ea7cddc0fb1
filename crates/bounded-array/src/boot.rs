//! Boot: the array is made, its sections are marked while no reader can find it, and then it is published.
//!
//! # Invariants
//!
//! 1. A callback finds a model that is down: it may unwind, and the array is given back then.
//! 2. No memory is lost in silence: if there is no array, boot reports each section of RAM as lost.

use core::ptr::NonNull;

use sparsemem_core::{
    BootError, BootEvent, BootModel, BootSummary, Geometry, LostBlocks, MemoryModel, MemoryRange,
    MetadataMemory, NodeId, PageDescriptor, PfnRange, Reclaim, SectionFlags, SectionLoss, SectionNr,
    SubsectionBits, TearDownError, Writer, trace_event,
};

use crate::array::Array;
use crate::index::{Extent, hull, whole_sections};
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
        let array = make_array(env, &memory, writer.model().reserved())?;
        let mut boot = Boot { env, array, on_event, summary: BootSummary::default() };
        boot.mark(&memory);
        boot.count();
        let summary = boot.summary;
        if summary.sections > 0
            && let Some(array) = boot.take()
        {
            writer.model().publish(array);
        }
        trace_event!(INFO, "{} is up: {summary:?}", I::NAME);
        Ok(summary)
    }

    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError> {
        tear_down(self, env)
    }
}

/// The array for RAM in `memory` and for the reserve, or why there is none.
fn make_array<G: Geometry, P, I: FrameIndex, E: MetadataMemory>(
    env: &mut E,
    memory: &(impl Iterator<Item = MemoryRange> + Clone),
    reserve: PfnRange,
) -> Result<Made<G, P, I>, BootError> {
    let ram = memory.clone().map(|range| whole_sections::<G>(range.frames));
    let Some(frames) = hull(ram.clone()) else { return Ok(Err(SectionLoss::BeyondArray { array: reserve })) };
    let first = memory.clone().find(|range| !whole_sections::<G>(range.frames).is_empty());
    let node = first.map_or(NodeId::new(0), |range| range.node);
    let extent = Extent::of::<G>(ram.chain([reserve]))
        .map_err(|hull| BootError::NoNumbering { frames: hull.unwrap_or(frames) })?;
    let array = Array::allocate(env, extent, node);
    Ok(array.map_err(|why| SectionLoss::Array { frames: extent.frames, why }))
}

impl<G: Geometry, P: PageDescriptor, I: FrameIndex, E: MetadataMemory> Boot<'_, G, P, I, E> {
    /// The array, which nothing else leads to yet.
    fn array(&self) -> Result<&Array<G, P, I>, SectionLoss> {
        // SAFETY: it is live until this gives it back or away.
        self.array.as_ref().map(|array| unsafe { array.as_ref() }).map_err(|why| *why)
    }

    /// Takes the array out, so that it is not given back.
    fn take(&mut self) -> Option<NonNull<Array<G, P, I>>> {
        let gone = Err(SectionLoss::BeyondArray { array: PfnRange::default() });
        core::mem::replace(&mut self.array, gone).ok()
    }

    /// Marks every section and subsection that `memory` touches, and reports those that cannot be marked.
    fn mark(&mut self, memory: &(impl Iterator<Item = MemoryRange> + Clone)) {
        for (index, range) in memory.clone().enumerate() {
            let (frames, beyond) = self.summary.below_maximum::<G>(range.frames);
            if let Some(event) = beyond {
                (self.on_event)(event);
            }
            for (nr, part) in frames.by_section::<G>() {
                match self.mark_part(nr, part, range.node) {
                    Ok(None) => {}
                    Ok(Some(first)) => {
                        let also = range.node;
                        (self.on_event)(BootEvent::SharedSection { section: nr, first, also });
                    }
                    Err(why) if !memory.clone().take(index).any(|earlier| earlier.touches::<G>(nr)) => {
                        self.lose(nr, why);
                    }
                    Err(_) => {}
                }
            }
        }
    }

    /// Marks a part of a section. Returns the node that the section keeps, if it is another one.
    fn mark_part(
        &mut self,
        nr: SectionNr,
        part: PfnRange,
        node: NodeId,
    ) -> Result<Option<NodeId>, SectionLoss> {
        let array = self.array()?;
        // An iterator may give other frames now than when the array was made.
        let section = array.section(nr).ok_or_else(|| array.extent.refusal::<G>(nr))?;
        if section.flags().is_empty() {
            section.set_node(node);
            section.set_flags(EARLY);
        }
        // `by_section` gives parts of one section that are not empty: there is always a set.
        let bits = SubsectionBits::touched::<G>(part).unwrap_or_default();
        section.usage.insert(bits);
        section.usage.insert_online(bits);
        Ok(Some(section.node()).filter(|first| *first != node))
    }

    /// Counts and reports a lost section.
    fn lose(&mut self, section: SectionNr, why: SectionLoss) {
        self.summary.lost += 1;
        trace_event!(WARN, "section {section} is lost: {why}");
        (self.on_event)(BootEvent::SectionLost { section, why });
    }

    /// Counts the sections that are up, and their runs.
    fn count(&mut self) {
        let Ok(array) = self.array() else { return };
        let mut summary = self.summary;
        let mut before = None;
        let mut from = SectionNr::new(0);
        while let Some((nr, section)) = array.next_present(from) {
            from = nr.next();
            summary.sections += 1;
            summary.runs += u64::from(before != Some((nr, section.node())));
            before = Some((from, section.node()));
        }
        self.summary = summary;
    }
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
