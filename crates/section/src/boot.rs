//! Boot: sections are marked, then brought up, the same for every model.
//!
//! # Invariants
//!
//! 1. A section word gets `HAS_MEM_MAP` only after usage and memmap are there, and the usage is stored before it.
//! 2. A section that cannot be brought up has its word back at zero, and its usage and memmap are given back. Its root
//!    stays, for readers may hold it by then: it is freed with the last section of the root, or at teardown.
//! 3. A callback finds every section complete, so an unwind from it leaves no section half made: while sections
//!    are marked, boot unmarks all of them; after that, it brings up the others without calling back.

use sparsemem_core::{
    Block, BootError, BootEvent, BootModel, BootSummary, Geometry, LostBlocks, MemoryModel, MemoryRange,
    MetadataMemory, NodeId, Pfn, PfnRange, Reclaim, SectionFlags, SectionLoss, SectionNr, SectionShape,
    SubsectionBits, TearDownError, Writer, trace_event,
};

use crate::memmap::bring_up;
use crate::retire::tear_down;
use crate::table::{has_planes, is_whole_early};
use crate::validity::Plane;
use crate::writing::{free_usage, new_usage};
use crate::{Before, Populate, PopulateRequest, SectionTable, SectionWord, SparseModel, Writing};

/// Flags of a section that boot has marked.
const MARKED: SectionFlags = SectionFlags::PRESENT.union(SectionFlags::ONLINE);

/// Successive present sections of one node.
#[derive(Clone, Copy)]
struct Run {
    first: SectionNr,
    /// The section after the last.
    end: SectionNr,
    /// The first marked section after the run, of another node or after a gap.
    next: Option<SectionNr>,
    node: NodeId,
}

impl Run {
    /// Its frames.
    fn frames<G: Geometry>(&self) -> PfnRange {
        let start = self.first.first_pfn::<G>().unwrap_or_default();
        let end = self.end.first_pfn::<G>().unwrap_or(Pfn::new(G::MAX_PFN));
        PfnRange::new(start, end).unwrap_or_default()
    }
}

/// The phase of a boot, which decides what boot has to do if a callback unwinds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Marking,
    BringingUp,
    Done,
}

/// A boot in progress.
pub(crate) struct Boot<'b, T: SectionTable, S: Populate<T, E>, E: MetadataMemory> {
    writing: Writing<'b, T, S>,
    env: &'b mut E,
    /// `None` after it has unwound.
    on_event: Option<&'b mut dyn FnMut(BootEvent)>,
    summary: BootSummary,
    phase: Phase,
    /// The first marked section that boot has not tried yet: it continues there if a callback unwinds.
    next: Option<SectionNr>,
    /// Blocks of the section that is being brought up which the environment refused.
    lost: LostBlocks,
}

impl<T, S, R, E> BootModel<E> for SparseModel<T, S, R>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: Reclaim,
    E: MetadataMemory,
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
        let mut boot = Boot::marked(writer, env, &memory, on_event)?;
        boot.phase = Phase::BringingUp;
        boot.bring_up();
        boot.phase = Phase::Done;
        trace_event!(INFO, "{} is up: {:?}", S::NAME, boot.summary);
        Ok(boot.summary)
    }

    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError> {
        tear_down(self, env)
    }
}

/// Makes the memmap of a whole section that is marked, of `block` if it is there and serves, and publishes it.
#[inline(always)]
pub(crate) fn bring_up_marked<T, S, E>(
    writing: &mut Writing<'_, T, S>,
    env: &mut E,
    request: &PopulateRequest,
    block: &mut Option<Block>,
    lost: &mut LostBlocks,
) -> Result<(), SectionLoss>
where
    T: SectionTable,
    S: Populate<T, E>,
{
    let (section, flags) = (request.section, MARKED | SectionFlags::EARLY);
    let (word, origin) = bring_up(writing, env, request, flags, block, lost)?;
    let entry = writing.entry(section).ok_or(SectionLoss::OutsideRange)?;
    let Some(usage) = writing.usage(entry) else { return Ok(()) };
    usage.set_memmap_origin(origin);
    if const { has_planes::<T>() } {
        let populated = usage.snapshot();
        let all = SubsectionBits::full::<T::Geometry>();
        let valid = if is_whole_early::<T>(flags) { all } else { populated };
        writing.insert(Plane::Valid, section, valid);
        writing.insert(Plane::Online, section, usage.online());
    }
    entry.set_word(Writing::<T, S>::compared_at_first(word, usage));
    Ok(())
}

/// Checks that the node of a range can be written into a section word.
fn node_fits<T: SectionTable>(range: MemoryRange) -> Result<(), BootError> {
    SectionWord::<T::Page>::marked(range.node, MARKED)
        .map(|_| ())
        .map_err(|_| BootError::NodeTooLarge { node: range.node, frames: range.frames })
}

impl<'b, T: SectionTable, S: Populate<T, E>, E: MetadataMemory> Boot<'b, T, S, E> {
    /// A boot that has marked all sections.
    pub(crate) fn marked<R: Reclaim>(
        writer: &'b mut Writer<'_, SparseModel<T, S, R>>,
        env: &'b mut E,
        memory: &(impl Iterator<Item = MemoryRange> + Clone),
        on_event: &'b mut dyn FnMut(BootEvent),
    ) -> Result<Self, BootError> {
        if let Some(present) = writer.model().next_present(SectionNr::new(0)) {
            return Err(BootError::AlreadyUp { present });
        }
        memory.clone().try_for_each(node_fits::<T>)?;
        let mut boot = Boot {
            writing: Writing::of(writer),
            env,
            on_event: Some(on_event),
            summary: BootSummary::default(),
            phase: Phase::Marking,
            next: None,
            lost: LostBlocks::default(),
        };
        boot.mark_present(memory);
        boot.next = boot.writing.next_known(SectionNr::new(0));
        Ok(boot)
    }

    /// Ends a boot that makes no memmaps, and counts what it marked.
    pub(crate) fn leave_marked(mut self) -> BootSummary {
        let known = |nr: &SectionNr| self.writing.next_known(nr.next());
        let sections = core::iter::successors(self.next, known);
        let nodes = sections.filter_map(|nr| Some((nr, self.early_node(nr)?)));
        let mut summary = self.summary;
        summary.count(nodes);
        self.phase = Phase::Done;
        trace_event!(INFO, "{} is marked: {summary:?}", S::NAME);
        summary
    }

    /// Marks every section and subsection that `memory` touches (Linux: `memory_present`, `subsection_map_init`), and
    /// reports the sections that cannot be marked.
    fn mark_present(&mut self, memory: &(impl Iterator<Item = MemoryRange> + Clone)) {
        let mut any_lost = false;
        for (index, range) in memory.clone().enumerate() {
            let (frames, beyond) = self.summary.below_maximum::<T::Geometry>(range.frames);
            if let Some(event) = beyond {
                self.report(event);
            }
            for (nr, part) in frames.by_section::<T::Geometry>() {
                // No second try: the section would come up without the memory of the range that failed, and boot would
                // not report that.
                if any_lost && self.is_lost(memory, index, nr) {
                    continue;
                }
                if let Err(why) = self.mark_part(nr, part, range.node) {
                    any_lost = true;
                    self.lose(nr, why);
                }
            }
        }
    }

    /// Marks the section of a part with a node, and the part as populated and online. The section keeps its first node.
    fn mark_part(&mut self, nr: SectionNr, part: PfnRange, node: NodeId) -> Result<(), SectionLoss> {
        // `by_section` gives parts of one section that are not empty: there is always a set.
        let bits = SubsectionBits::touched::<T::Geometry>(part).unwrap_or_default();
        let entry = match self.writing.entry(nr) {
            Some(entry) => entry,
            None => {
                let root = self.writing.prepare(nr, node, self.env)?;
                self.writing.commit(nr, root);
                self.writing.entry(nr).ok_or(SectionLoss::OutsideRange)?
            }
        };
        if entry.word().is_absent() {
            // `node_fits` accepted every node before anything began; an iterator may give another one now.
            let word = SectionWord::marked(node, MARKED).map_err(|_| SectionLoss::NodeTooLarge(node))?;
            let block = new_usage::<T, E>(self.env, node)?;
            // SAFETY: it was just made and is not shared yet.
            let usage = unsafe { block.as_ref() }.usage();
            usage.insert(bits);
            usage.insert_online(bits);
            self.writing.publish(nr, entry, block, word, SubsectionBits::EMPTY);
            return Ok(());
        }
        if let Some(usage) = self.writing.usage(entry) {
            usage.insert(bits);
            usage.insert_online(bits);
        }
        if let Some(first) = entry.word().early_node().filter(|first| *first != node) {
            self.report(BootEvent::SharedSection { section: nr, first, also: node });
        }
        Ok(())
    }

    /// True if a section is not marked although a range before the one with this index touches it.
    fn is_lost(
        &self,
        memory: &(impl Iterator<Item = MemoryRange> + Clone),
        index: usize,
        nr: SectionNr,
    ) -> bool {
        let unmarked = self.writing.entry(nr).is_none_or(|entry| entry.word().is_absent());
        unmarked && memory.clone().take(index).any(|earlier| earlier.touches::<T::Geometry>(nr))
    }

    /// Gives every marked section its memmap, run by run (Linux: `sparse_init`). A second call continues where it
    /// stopped.
    fn bring_up(&mut self) {
        while let Some(run) = self.next.and_then(|first| self.run_from(first)) {
            self.summary.runs += 1;
            let neighbourhood = run.frames::<T::Geometry>();
            let mut nr = run.first;
            while nr < run.end {
                match self.bring_up_section(nr, neighbourhood, run.node) {
                    Ok(()) => self.summary.sections += 1,
                    Err(why) => {
                        // Before the event of this section is reported, whose callback may unwind.
                        self.next = if nr.next() < run.end { Some(nr.next()) } else { run.next };
                        self.give_up(nr, why);
                    }
                }
                nr = nr.next();
            }
            self.next = run.next;
        }
    }

    /// The run that begins with a marked section.
    fn run_from(&self, first: SectionNr) -> Option<Run> {
        let node = self.early_node(first)?;
        let mut end = first.next();
        loop {
            let next = self.writing.next_known(end);
            if next != Some(end) || self.early_node(end) != Some(node) {
                return Some(Run { first, end, next, node });
            }
            end = end.next();
        }
    }

    /// Makes the memmap of a whole section, and publishes it.
    fn bring_up_section(
        &mut self,
        section: SectionNr,
        neighbourhood: PfnRange,
        node: NodeId,
    ) -> Result<(), SectionLoss> {
        let frames = section.frames::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
        let request =
            PopulateRequest { section, frames, neighbourhood, node, before: Before::NoFrame, compound: None };
        bring_up_marked(&mut self.writing, self.env, &request, &mut None, &mut self.lost)
    }

    /// Makes a marked section absent again, and reports it.
    #[cold]
    fn give_up(&mut self, nr: SectionNr, why: SectionLoss) {
        self.unmark(nr);
        self.lose(nr, why);
    }

    /// Makes a marked section absent again.
    fn unmark(&mut self, nr: SectionNr) {
        let Some(entry) = self.writing.entry(nr) else { return };
        let usage = entry.usage();
        self.writing.unpublish(nr, entry);
        self.writing.forget_usage(nr);
        if let Some(usage) = usage {
            // SAFETY: the usage was taken out of its entry, and readers follow it only in sections with a memmap, which
            // this section never had.
            unsafe { free_usage::<T, E>(self.env, usage, &mut self.lost) };
        }
    }

    /// Counts and reports a lost section.
    fn lose(&mut self, section: SectionNr, why: SectionLoss) {
        self.summary.lost += 1;
        trace_event!(WARN, "section {section} is lost: {why}");
        let lost = core::mem::take(&mut self.lost);
        if !lost.is_empty() {
            self.report(BootEvent::BlocksLost { section, lost });
        }
        self.report(BootEvent::SectionLost { section, why });
    }

    /// Reports an event. Every section is complete at this point (invariant 3).
    fn report(&mut self, event: BootEvent) {
        if let Some(on_event) = self.on_event.as_mut() {
            on_event(event);
        }
    }

    /// The node of a marked section.
    fn early_node(&self, nr: SectionNr) -> Option<NodeId> {
        self.writing.entry(nr).and_then(|entry| entry.word().early_node())
    }
}

impl<T: SectionTable, S: Populate<T, E>, E: MetadataMemory> Drop for Boot<'_, T, S, E> {
    /// Leaves a model that is completely up or down, also when a callback unwinds (invariant 3).
    fn drop(&mut self) {
        self.on_event = None;
        match self.phase {
            Phase::Done => {}
            Phase::BringingUp => self.bring_up(),
            Phase::Marking => {
                let mut from = SectionNr::new(0);
                while let Some(nr) = self.writing.next_known(from) {
                    self.unmark(nr);
                    // Not from the start again: empty roots stay, and every search would visit them.
                    from = nr.next();
                }
                if !self.lost.is_empty() {
                    trace_event!(WARN, "a boot unwound while it marked sections{}", self.lost);
                }
            }
        }
    }
}
