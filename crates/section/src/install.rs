//! Subsections are added: one section at a time, all or nothing.
//!
//! # Invariants
//!
//! 1. The parts of a new section are made before any of it is visible, so a failure has nothing to unpublish.
//! 2. Bits are set after their descriptors exist, and the word is stored after usage and bits.

use core::ptr::NonNull;

use sparsemem_core::{
    CompoundOrder, FoldError, FramesError, InstallError, InstallModel, LostBlocks, MetadataMemory, NoMemmap,
    NodeId, Origin, PfnRange, ReadOnlyTails, Reclaim, SectionFlags, SectionLoss, SubsectionBits, Writer,
    trace_event,
};
use sparsemem_usage_map::SectionUsage;

use crate::memmap::{bring_up, clear_descriptors};
use crate::refold::check_size;
use crate::table::is_whole_early;
use crate::validity::Plane;
use crate::writing::{Usage, free_usage, new_usage};
use crate::{Before, Content, Populate, PopulateRequest, SectionTable, SectionWord, SparseModel, Writing};

/// The usage and the word that a new section's entry will hold.
type Made<T> = (NonNull<Usage<T>>, SectionWord<<T as SectionTable>::Page>);

/// An installation in progress.
struct Install<'i, T, S, E> {
    writing: Writing<'i, T, S>,
    env: &'i mut E,
    request: PopulateRequest,
    bits: SubsectionBits,
    lost: LostBlocks,
}

impl<T, S, R, E> InstallModel<E> for SparseModel<T, S, R>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: Reclaim,
    E: MetadataMemory,
{
    fn install(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
    ) -> Result<(), InstallError> {
        install(writer, env, frames, node, None)
    }

    fn install_compounds(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
    ) -> Result<(), InstallError> {
        install(writer, env, frames, node, Some(tails.order()))
    }
}

/// Makes frames valid, as compounds or one by one.
fn install<T, S, R, E>(
    writer: &mut Writer<'_, SparseModel<T, S, R>>,
    env: &mut E,
    frames: PfnRange,
    node: NodeId,
    compound: Option<CompoundOrder>,
) -> Result<(), InstallError>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: Reclaim,
    E: MetadataMemory,
{
    let (section, bits) = FramesError::check::<T::Geometry>(frames)?;
    let (before, neighbourhood) = (Before::SomeFrames, frames);
    let request = PopulateRequest { section, frames, neighbourhood, node, before, compound };
    let lost = LostBlocks::default();
    let mut install = Install { writing: Writing::of(writer), env, request, bits, lost };
    let word = install.absent_in()?;
    let refused = |why, lost| InstallError::NoMetadata { frames, section, why, lost };
    if let Some(order) = compound {
        install.check_fold(order).map_err(|why| refused(SectionLoss::Unfoldable(why), lost))?;
    }
    trace_event!(DEBUG, "installing {frames} in section {section}");
    let made = if word.has_memmap() { install.extend(word) } else { install.create() };
    made.map_err(|why| refused(why, install.lost))?;
    install.writing.notes().note_installed::<T::Geometry>(frames);
    Ok(())
}

impl<T: SectionTable, S: Populate<T, E>, E: MetadataMemory> Install<'_, T, S, E> {
    /// The word of the section, if none of the frames is populated.
    fn absent_in(&self) -> Result<SectionWord<T::Page>, InstallError> {
        let PopulateRequest { section, frames, .. } = self.request;
        let Some(entry) = self.writing.entry(section) else { return Ok(SectionWord::ABSENT) };
        let (word, usage) = (entry.word(), self.writing.usage(entry));
        let Some(usage) = usage else { return Ok(word) };
        if word.is_deferred() {
            return Err(NoMemmap { frames, section }.into());
        }
        if usage.contains_any(&self.bits) {
            let populated = usage.snapshot().intersection(self.bits);
            return Err(InstallError::Populated { frames, section, populated });
        }
        Ok(word)
    }

    /// Refuses compounds whose tails cannot share descriptors.
    fn check_fold(&self, order: CompoundOrder) -> Result<(), FoldError> {
        let PopulateRequest { section, frames, .. } = self.request;
        check_size::<T, S>(order)?;
        if !order.divides::<T::Geometry>(frames) {
            return Err(FoldError::Unaligned { frames, order });
        }
        let usage = self.writing.entry(section).and_then(|entry| self.writing.usage(entry));
        match usage.and_then(SectionUsage::folded) {
            Some((other, _)) if other != order => Err(FoldError::OtherOrder { section, order: other }),
            _ => Ok(()),
        }
    }

    /// Notes in a usage that the frames share descriptors, if they do.
    fn note_folded(&self, usage: &SectionUsage<T::Geometry>) {
        if let Some(order) = self.request.compound {
            usage.insert_folded(order, self.bits);
        }
    }

    /// Adds subsections to a section that has others.
    fn extend(&mut self, word: SectionWord<T::Page>) -> Result<(), SectionLoss> {
        let mut in_altmap = false;
        let flags = word.flags();
        if !flags.contains(SectionFlags::EARLY) {
            let memmap = S::populate(&mut self.writing, self.env, &self.request, &mut self.lost)?;
            clear_descriptors(&self.writing, word, self.request.frames, memmap.content);
            in_altmap = memmap.origin == Origin::Altmap;
            self.writing.notes().note_origin(memmap.origin);
        } else if !is_whole_early::<T>(flags) {
            // The memmap of boot is there, but nobody has found these descriptors since they were removed.
            clear_descriptors(&self.writing, word, self.request.frames, Content::MaybeOld);
        }
        let Some(entry) = self.writing.entry(self.request.section) else { return Ok(()) };
        if let Some(usage) = self.writing.usage(entry) {
            if in_altmap {
                // The writer that retires memory visits the sections that are in altmaps.
                usage.set_memmap_origin(Origin::Altmap);
            }
            if !flags.contains(SectionFlags::EARLY) {
                self.note_folded(usage);
            }
            usage.insert(self.bits);
            self.writing.compare(entry, usage);
        }
        self.writing.insert(Plane::Valid, self.request.section, self.bits);
        Ok(())
    }

    /// Makes a section that was absent.
    fn create(&mut self) -> Result<(), SectionLoss> {
        let PopulateRequest { section, node, .. } = self.request;
        let root = self.writing.prepare(section, node, self.env)?;
        match self.usage_and_word() {
            Ok((usage, word)) => {
                self.writing.commit(section, root);
                if let Some(entry) = self.writing.entry(section) {
                    self.writing.publish(section, entry, usage, word, self.bits);
                }
                Ok(())
            }
            Err(why) => {
                if let Some(root) = root {
                    // SAFETY: a fresh root was never visible.
                    unsafe { root.give_back(self.env, &mut self.lost) };
                }
                Err(why)
            }
        }
    }

    /// The usage and the word of a new section.
    fn usage_and_word(&mut self) -> Result<Made<T>, SectionLoss> {
        let usage = new_usage::<T, E>(self.env, self.request.node)?;
        let flags = SectionFlags::PRESENT;
        match bring_up(&mut self.writing, self.env, &self.request, flags, &mut None, &mut self.lost) {
            Ok((word, origin)) => {
                // SAFETY: the usage was just made and is not shared yet.
                let fresh = unsafe { usage.as_ref() }.usage();
                fresh.set_memmap_origin(origin);
                self.note_folded(fresh);
                fresh.insert(self.bits);
                Ok((usage, Writing::<T, S>::compared_at_first(word, fresh)))
            }
            Err(why) => {
                // SAFETY: the usage was just made, and no other code knows it.
                unsafe { free_usage::<T, E>(self.env, usage, &mut self.lost) };
                Err(why)
            }
        }
    }
}
