//! Subsections come: one section at a time, all or nothing.
//!
//! # Invariants
//!
//! 1. What a new section needs is made before anything of it is visible, so a failure has nothing to hide.
//! 2. Bits are set after the descriptors behind them exist, and the word after usage and bits.

use core::ptr::NonNull;

use sparsemem_core::{
    ForeignBlock, FramesError, InstallError, InstallModel, MetadataMemory, NodeId, PageCount, Pfn, PfnRange,
    Reclaim, SectionFlags, SectionLoss, SectionNr, SubsectionBits, Usage, trace_event,
};

use crate::table::{Entry, Occupied, Slot};
use crate::usage_block::{free_usage, new_usage};
use crate::{Content, Populate, PopulateRequest, SectionMemmap, SectionTable, SectionWord, SparseModel};

/// What a new section's entry will hold.
type Made<T> = (NonNull<<T as SectionTable>::Usage>, SectionWord<<T as SectionTable>::Page>);

/// An installation under way.
struct Install<'i, T, S, E> {
    table: &'i T,
    placement: &'i S,
    env: &'i mut E,
    nr: SectionNr,
    frames: PfnRange,
    bits: SubsectionBits,
    node: NodeId,
    /// A block that did not go back while a failure was undone.
    refused: Option<ForeignBlock>,
}

impl<T, S, R, E> InstallModel<E> for SparseModel<T, S, R>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: Reclaim,
    E: MetadataMemory,
{
    fn install(&self, env: &mut E, frames: PfnRange, node: NodeId) -> Result<(), InstallError> {
        let (nr, bits) = FramesError::check::<T::Geometry>(frames)?;
        let _writer = self.writer.take().ok_or(InstallError::Busy)?;
        let (table, placement) = (&self.table, &self.placement);
        let mut install = Install { table, placement, env, nr, frames, bits, node, refused: None };
        install.check_absent()?;
        trace_event!(DEBUG, "installing {frames} in section {nr}");
        install.run().map_err(|why| InstallError::NoMetadata {
            frames,
            section: nr,
            why,
            refused: install.refused,
        })
    }
}

impl<T: SectionTable, S: Populate<T, E>, E: MetadataMemory> Install<'_, T, S, E> {
    /// Refuses frames that are populated already.
    fn check_absent(&self) -> Result<(), InstallError> {
        // SAFETY: the caller is the model's writer, so roots and usages stay.
        let usage = unsafe { self.table.entry(self.nr) }.and_then(Entry::<T>::usage);
        // SAFETY: as above.
        let present = usage.map_or(SubsectionBits::EMPTY, |usage| unsafe { usage.as_ref() }.snapshot());
        let populated = present.intersection(self.bits);
        if populated.is_empty() {
            return Ok(());
        }
        Err(InstallError::Populated { frames: self.frames, section: self.nr, populated })
    }

    /// Extends a section that has a memmap, or makes a new one.
    fn run(&mut self) -> Result<(), SectionLoss> {
        // SAFETY: the caller is the model's writer, and the section is below the maximum.
        let slot = unsafe { self.table.prepare(self.nr, self.node, self.env) }.map_err(SectionLoss::Root)?;
        match slot.entry.usage() {
            Some(usage) if slot.entry.word().has_memmap() => self.extend(slot.entry.word(), usage),
            _ => self.create(slot),
        }
    }

    /// Adds subsections to a section that has others.
    fn extend(&mut self, word: SectionWord<T::Page>, usage: NonNull<T::Usage>) -> Result<(), SectionLoss> {
        if !word.flags().contains(SectionFlags::EARLY) {
            let memmap = self.populate()?;
            self.clear_descriptors(word, memmap.content);
        }
        // SAFETY: the usage is in the entry, and the caller is the model's writer.
        unsafe { usage.as_ref() }.insert(self.bits);
        Ok(())
    }

    /// Zeroes the descriptors of the frames, which may be left over from an earlier life of them.
    fn clear_descriptors(&self, word: SectionWord<T::Page>, content: Content) {
        if content == Content::Zero {
            return;
        }
        let mut pfn = self.frames.start();
        while pfn < self.frames.end() {
            // SAFETY: the word has a memmap and the frame is of its section.
            let page = unsafe { self.placement.descriptor(word, pfn) };
            // SAFETY: (1) `populate` just said that the descriptor exists; (2) the frame is not valid, and was not
            // since a grace period, so nobody else looks at it; (3) zero bytes are a valid descriptor.
            unsafe { page.write_bytes(0, 1) };
            pfn = pfn.saturating_add(PageCount::new(1));
        }
    }

    /// Makes a section of which nothing was there.
    fn create(&mut self, slot: Slot<'_, T>) -> Result<(), SectionLoss> {
        match self.usage_and_word() {
            Ok((usage, word)) => {
                self.table.note(self.nr, Occupied::Yes);
                slot.entry.set_usage(Some(usage));
                slot.entry.set_word(word);
                // SAFETY: the slot was prepared for this section.
                unsafe { self.table.commit(self.nr, slot) };
                Ok(())
            }
            Err(why) => {
                // SAFETY: a fresh root was never visible.
                let returned = slot.fresh.map_or(Ok(()), |root| unsafe { root.give_back(self.env) });
                self.note_refused(returned);
                Err(why)
            }
        }
    }

    /// The usage and the word of a new section.
    fn usage_and_word(&mut self) -> Result<Made<T>, SectionLoss> {
        let usage = new_usage::<T::Usage, E>(self.env, self.node)?;
        let word = self.populate().and_then(|memmap| {
            // SAFETY: the usage was just made and is not shared yet.
            let fresh = unsafe { usage.as_ref() };
            fresh.set_memmap_origin(memmap.origin);
            fresh.insert(self.bits);
            let content = memmap.content;
            self.encode(memmap).inspect(|word| self.clear_descriptors(*word, content))
        });
        match word {
            Ok(word) => Ok((usage, word)),
            Err(why) => {
                // SAFETY: the usage was just made, and nobody else knows of it.
                let returned = unsafe { free_usage(self.env, usage) };
                self.note_refused(returned);
                Err(why)
            }
        }
    }

    /// The word for a memmap; takes the memmap back if there is none.
    fn encode(&mut self, memmap: SectionMemmap<T::Page>) -> Result<SectionWord<T::Page>, SectionLoss> {
        let first = self.nr.first_pfn::<T::Geometry>().unwrap_or(Pfn::new(0));
        SectionWord::mapped(memmap.first, first, SectionFlags::PRESENT).map_err(|error| {
            let Self { table, placement, env, frames, refused, .. } = self;
            // SAFETY: the memmap was just populated and never published.
            unsafe { placement.depopulate(table, env, *frames, memmap, &mut |block| *refused = Some(block)) };
            SectionLoss::Misaligned { address: error.address }
        })
    }

    /// Makes the descriptors of the frames exist.
    fn populate(&mut self) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        let Self { table, placement, env, nr, frames, node, refused, .. } = self;
        let request = PopulateRequest { section: *nr, frames: *frames, neighbourhood: *frames, node: *node };
        placement.populate(table, env, &request, &mut |block| *refused = Some(block))
    }

    /// Remembers a block that did not go back.
    fn note_refused(&mut self, returned: Result<(), ForeignBlock>) {
        self.refused = self.refused.or(returned.err());
    }
}
