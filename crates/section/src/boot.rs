//! Boot and teardown, the same for every model.
//!
//! # Invariants
//!
//! 1. A section word gets `HAS_MEM_MAP` only after usage and memmap are there, and the usage is stored before it.
//! 2. A section that cannot be brought up has its word back at zero, and its usage and memmap are given back. Its root
//!    stays, for readers may hold it by then: it goes with the last section of the root, or at teardown.

use core::ptr::NonNull;

use sparsemem_core::{
    BootError, BootEvent, BootModel, BootSummary, Footprint, ForeignBlock, MemoryModel, MemoryRange,
    MetadataMemory, NodeId, PageCount, Pfn, PfnRange, Reclaim, SectionFlags, SectionLoss, SectionNr,
    SectionShape, SubsectionBits, TearDownError, Usage, trace_event,
};

use crate::table::{Entry, Occupied};
use crate::usage_block::{free_usage, new_usage};
use crate::{Content, Populate, PopulateRequest, SectionMemmap, SectionTable, SectionWord, SparseModel};

/// Flags of a section that boot has marked.
const MARKED: SectionFlags = SectionFlags::PRESENT.union(SectionFlags::ONLINE);

/// The entry of a section, and a word for it.
type Encoded<'t, T> = (&'t Entry<T>, SectionWord<<T as SectionTable>::Page>);

/// Successive present sections of one node.
#[derive(Clone, Copy)]
struct Run {
    first: SectionNr,
    /// One behind the last section.
    end: SectionNr,
    /// The first present section behind the run, of another node or after a gap.
    next: Option<SectionNr>,
    node: NodeId,
}

/// A boot under way.
struct Boot<'b, T, S, E> {
    table: &'b T,
    placement: &'b S,
    env: &'b mut E,
    on_event: &'b mut dyn FnMut(BootEvent),
    summary: BootSummary,
}

impl<T, S, R, E> BootModel<E> for SparseModel<T, S, R>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: Reclaim,
    E: MetadataMemory,
{
    fn boot<I>(
        &self,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        I: Iterator<Item = MemoryRange> + Clone,
    {
        let _writer = self.writer.take().ok_or(BootError::Busy)?;
        if let Some(present) = self.next_present(SectionNr::new(0)) {
            return Err(BootError::AlreadyUp { present });
        }
        memory.clone().try_for_each(node_fits::<T>)?;
        let (table, placement) = (&self.table, &self.placement);
        let mut boot = Boot { table, placement, env, on_event, summary: BootSummary::default() };
        boot.mark_present(&memory);
        boot.bring_up();
        boot.mark_subsections(memory);
        trace_event!(INFO, "{} is up: {:?}", S::NAME, boot.summary);
        Ok(boot.summary)
    }

    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError> {
        let mut lost = Losses::default();
        let mut from = SectionNr::new(0);
        // SAFETY: `&mut self`: nobody else changes the table.
        while let Some(nr) = unsafe { self.table.next_known(from) } {
            // SAFETY: `&mut self`: no reader holds anything of this model.
            unsafe { take_down(&self.table, &self.placement, env, nr, &mut lost) };
            // Not from the start again: empty roots stay until `release`, and would be searched every time.
            from = nr.next();
        }
        self.table.release(env, &mut |section, _| lost.count(section));
        lost.into_result()
    }

    fn footprint(&self, env: &E) -> Option<Footprint> {
        let _writer = self.writer.take()?;
        let sections = self.present_sections().count() as u64;
        // SAFETY: this is the model's writer, so neither table nor page tables change.
        let placed = unsafe { self.placement.footprint(&self.table, env) };
        let usage_bytes = sections * size_of::<T::Usage>() as u64;
        Some(Footprint { table_bytes: self.table.bytes(), usage_bytes, ..placed })
    }
}

/// Whether a range has a frame in a section.
fn touches<T: SectionTable>(range: MemoryRange, nr: SectionNr) -> bool {
    nr.frames::<T::Geometry>().is_some_and(|frames| frames.overlaps(range.frames))
}

/// Whether the node of a range can be written into a section word.
fn node_fits<T: SectionTable>(range: MemoryRange) -> Result<(), BootError> {
    SectionWord::<T::Page>::marked(range.node, MARKED)
        .map(|_| ())
        .map_err(|_| BootError::NodeTooLarge { node: range.node, frames: range.frames })
}

impl<T: SectionTable, S: Populate<T, E>, E: MetadataMemory> Boot<'_, T, S, E> {
    /// Marks every section that `memory` touches (Linux: `memory_present`), and tells of those that have no entry.
    fn mark_present(&mut self, memory: &(impl Iterator<Item = MemoryRange> + Clone)) {
        let mut without_entry = None;
        for range in memory.clone() {
            let frames = self.below_maximum(range.frames);
            for (nr, _) in frames.by_section::<T::Geometry>() {
                if let Err(no_memory) = self.mark_section(nr, range.node) {
                    without_entry = Some(no_memory);
                }
            }
        }
        if let Some(why) = without_entry {
            self.tell_unmarked(memory, why);
        }
    }

    /// Cuts off what lies beyond the geometry's maximum, and tells of it.
    fn below_maximum(&mut self, frames: PfnRange) -> PfnRange {
        let (below, beyond) = frames.split_at(Pfn::new(T::Geometry::MAX_PFN));
        if !beyond.is_empty() {
            let last = Pfn::new(T::Geometry::MAX_PFN - 1);
            trace_event!(WARN, "frames {beyond} are beyond the last possible frame {last}");
            (self.on_event)(BootEvent::BeyondMaximum { frames: beyond, last });
            let sum = self.summary.beyond_maximum.get().saturating_add(beyond.count().get());
            self.summary.beyond_maximum = PageCount::new(sum);
        }
        below
    }

    /// Marks one section with a node; the first node keeps it.
    fn mark_section(&mut self, nr: SectionNr, node: NodeId) -> Result<(), SectionLoss> {
        // SAFETY: the boot is the model's writer, `nr` is below the maximum, the entry ends with this function.
        let slot = unsafe { self.table.prepare(nr, node, self.env) }.map_err(SectionLoss::Root)?;
        let entry = slot.entry;
        // SAFETY: as above; the slot is the one just prepared.
        unsafe { self.table.commit(nr, slot) };
        match entry.word().early_node() {
            Some(first) if first != node => {
                (self.on_event)(BootEvent::SharedSection { section: nr, first, also: node });
            }
            Some(_) => {}
            None => {
                self.table.note(nr, Occupied::Yes);
                // `node_fits` was asked for every node before anything began.
                entry.set_word(SectionWord::marked(node, MARKED).unwrap_or(SectionWord::ABSENT));
            }
        }
        Ok(())
    }

    /// Tells of every section that could not be marked, each once.
    fn tell_unmarked(&mut self, memory: &(impl Iterator<Item = MemoryRange> + Clone), why: SectionLoss) {
        for (index, range) in memory.clone().enumerate() {
            let frames = range.frames.split_at(Pfn::new(T::Geometry::MAX_PFN)).0;
            for (section, _) in frames.by_section::<T::Geometry>() {
                let unmarked = self.entry(section).is_none_or(|entry| entry.word().is_absent());
                if unmarked && !memory.clone().take(index).any(|earlier| touches::<T>(earlier, section)) {
                    self.lose(section, why);
                }
            }
        }
    }

    /// Gives every marked section its usage and memmap, run by run (Linux: `sparse_init`).
    fn bring_up(&mut self) {
        let mut next = self.next_known(SectionNr::new(0));
        while let Some(run) = next.and_then(|first| self.run_from(first)) {
            self.summary.runs += 1;
            let mut nr = run.first;
            while nr < run.end {
                match self.bring_up_section(nr, &run) {
                    Ok(()) => self.summary.sections += 1,
                    Err(why) => self.give_up(nr, why),
                }
                nr = nr.next();
            }
            next = run.next;
        }
    }

    /// The run that begins with a marked section.
    fn run_from(&self, first: SectionNr) -> Option<Run> {
        let node = self.early_node(first)?;
        let mut end = first.next();
        loop {
            let next = self.next_known(end);
            if next != Some(end) || self.early_node(end) != Some(node) {
                return Some(Run { first, end, next, node });
            }
            end = end.next();
        }
    }

    /// Allocates what a section needs and publishes it.
    fn bring_up_section(&mut self, nr: SectionNr, run: &Run) -> Result<(), SectionLoss> {
        let usage = new_usage::<T::Usage, E>(self.env, run.node)?;
        let published = self.populate(nr, run).and_then(|memmap| {
            // SAFETY: the usage was just made and is not shared yet.
            unsafe { usage.as_ref() }.set_memmap_origin(memmap.origin);
            self.publish(nr, usage, memmap)
        });
        if published.is_err() {
            // SAFETY: the usage was just made, and `publish` stores it only when it succeeds.
            let returned = unsafe { free_usage(self.env, usage) };
            self.tell_refused(nr, returned);
        }
        published
    }

    /// Makes the descriptors of a whole section.
    fn populate(&mut self, nr: SectionNr, run: &Run) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        let frames = nr.frames::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
        let start = run.first.first_pfn::<T::Geometry>().unwrap_or(frames.start());
        let end = run.end.first_pfn::<T::Geometry>().unwrap_or(frames.end());
        let neighbourhood = PfnRange::new(start, end).unwrap_or(frames);
        let request = PopulateRequest { section: nr, frames, neighbourhood, node: run.node };
        let Self { table, placement, env, on_event, .. } = self;
        placement.populate(table, env, &request, &mut |block| {
            on_event(BootEvent::BlockRefused { section: nr, block });
        })
    }

    /// Stores usage and word of a section, in this order.
    fn publish(
        &mut self,
        nr: SectionNr,
        usage: NonNull<T::Usage>,
        memmap: SectionMemmap<T::Page>,
    ) -> Result<(), SectionLoss> {
        match self.encode(nr, &memmap) {
            Ok((entry, word)) => {
                entry.set_usage(Some(usage));
                entry.set_word(word);
                Ok(())
            }
            Err(why) => {
                self.depopulate(nr, memmap);
                Err(why)
            }
        }
    }

    /// The entry of a section, and the word for its memmap.
    fn encode(&self, nr: SectionNr, memmap: &SectionMemmap<T::Page>) -> Result<Encoded<'_, T>, SectionLoss> {
        let first = nr.first_pfn::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
        let word = SectionWord::mapped(memmap.first, first, MARKED | SectionFlags::EARLY)
            .map_err(|error| SectionLoss::Misaligned { address: error.address })?;
        Ok((self.entry(nr).ok_or(SectionLoss::OutsideRange)?, word))
    }

    /// Takes back a memmap that was never published.
    fn depopulate(&mut self, nr: SectionNr, memmap: SectionMemmap<T::Page>) {
        let frames = nr.frames::<T::Geometry>().unwrap_or_default();
        let Self { table, placement, env, on_event, .. } = self;
        // SAFETY: the memmap is from `populate` and was never published.
        unsafe {
            placement.depopulate(table, env, frames, memmap, &mut |block| {
                on_event(BootEvent::BlockRefused { section: nr, block });
            });
        }
    }

    /// Makes a marked section absent again.
    fn give_up(&mut self, nr: SectionNr, why: SectionLoss) {
        if let Some(entry) = self.entry(nr) {
            entry.set_word(SectionWord::ABSENT);
        }
        self.table.note(nr, Occupied::No);
        self.lose(nr, why);
    }

    /// Counts and tells a lost section.
    fn lose(&mut self, section: SectionNr, why: SectionLoss) {
        self.summary.lost += 1;
        trace_event!(WARN, "section {section} is lost: {why}");
        (self.on_event)(BootEvent::SectionLost { section, why });
    }

    /// Tells of a block that did not go back.
    fn tell_refused(&mut self, section: SectionNr, returned: Result<(), ForeignBlock>) {
        if let Err(block) = returned {
            (self.on_event)(BootEvent::BlockRefused { section, block });
        }
    }

    /// Sets the bit of every subsection that `memory` touches (Linux: `subsection_map_init`).
    fn mark_subsections(&mut self, memory: impl Iterator<Item = MemoryRange>) {
        for range in memory {
            let frames = range.frames.split_at(Pfn::new(T::Geometry::MAX_PFN)).0;
            for (nr, part) in frames.by_section::<T::Geometry>() {
                let Some(usage) = self.entry(nr).and_then(Entry::<T>::usage) else { continue };
                // SAFETY: a usage in an entry is live, and the boot is the model's writer.
                let usage = unsafe { usage.as_ref() };
                // `by_section` gives parts of one section that are not empty: there is always a set.
                let bits = SubsectionBits::touched::<T::Geometry>(part).unwrap_or_default();
                usage.insert(bits);
                usage.insert_online(bits);
            }
        }
    }

    /// The node of a marked section.
    fn early_node(&self, nr: SectionNr) -> Option<NodeId> {
        self.entry(nr).and_then(|entry| entry.word().early_node())
    }

    /// The first section at or after `from` that is marked.
    fn next_known(&self, from: SectionNr) -> Option<SectionNr> {
        // SAFETY: the boot is the model's writer, so roots stay.
        unsafe { self.table.next_known(from) }
    }

    /// The entry of a section.
    fn entry(&self, nr: SectionNr) -> Option<&Entry<T>> {
        // SAFETY: the boot is the model's writer, so roots stay.
        unsafe { self.table.entry(nr) }
    }
}

/// Makes a section absent and gives back what it had.
///
/// # Safety
///
/// The caller is the model's writer, and no reader holds anything of the section.
unsafe fn take_down<T, S, E>(table: &T, placement: &S, env: &mut E, nr: SectionNr, lost: &mut Losses)
where
    T: SectionTable,
    S: Populate<T, E>,
    E: MetadataMemory,
{
    // SAFETY: the caller is the model's writer.
    let Some(entry) = (unsafe { table.entry(nr) }) else { return };
    let (word, usage) = (entry.word(), entry.usage());
    entry.set_word(SectionWord::ABSENT);
    entry.set_usage(None);
    table.note(nr, Occupied::No);
    let Some(usage) = usage else { return };
    // SAFETY: the usage was in the entry until just now.
    let origin = unsafe { usage.as_ref() }.memmap_origin();
    let first = nr.first_pfn::<T::Geometry>().and_then(|first| NonNull::new(word.descriptor(first)));
    if let (true, Some(first)) = (word.has_memmap(), first) {
        let frames = nr.frames::<T::Geometry>().unwrap_or_default();
        let memmap = SectionMemmap { first, origin, content: Content::MaybeOld };
        // SAFETY: word and origin are those of the memmap that was published, and no reader is left.
        unsafe { placement.depopulate(table, env, frames, memmap, &mut |_| lost.count(nr)) };
    }
    // SAFETY: the usage's own block, taken out of the entry, and no reader is left.
    if unsafe { free_usage(env, usage) }.is_err() {
        lost.count(nr);
    }
}

/// Blocks that were refused on teardown.
#[derive(Default)]
struct Losses {
    blocks: u64,
    first: Option<SectionNr>,
}

impl Losses {
    fn count(&mut self, section: SectionNr) {
        self.blocks += 1;
        self.first.get_or_insert(section);
    }

    fn into_result(self) -> Result<(), TearDownError> {
        match self.first {
            Some(first) => Err(TearDownError { blocks: self.blocks, first }),
            None => Ok(()),
        }
    }
}
