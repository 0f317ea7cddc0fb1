//! Where stories happen: the kernel's live model, its page allocator, and the slots.
//!
//! # Invariants
//!
//! 1. The direct map reaches a DIMM before the model hears of it.
//! 2. A DIMM is ejected only after the model has let go of all of its frames, and then the direct map of its bytes.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem::{LostBlocks, MemoryModel, NodeId, Pfn, PfnRange, PhysRange, SectionShape, VirtRange, Writer};
use sparsemem_hotplug::{AllocatorHooks, Hotplug, Ram, frames_of_bytes};
use sparsemem_suite::{Balance, Complete, Surroundings};

use super::Trouble;
use super::host::{self, Wish};
use super::trouble::{holds, same};
use super::views::agreed;
use crate::dimm::{Change, Dimm, SlotError, Slots};
use crate::say;

/// What stories need of the kernel around the model.
pub(crate) trait Kernel: Surroundings {
    /// The page allocator.
    type Allocator: AllocatorHooks;

    /// The page allocator, as hotplug sees it.
    fn allocator(&mut self) -> &mut Self::Allocator;

    /// Takes a free frame out of a range. Nobody else gets it until it is put back.
    fn take_frame(&mut self, within: PfnRange) -> Option<Pfn>;

    /// Puts a frame back.
    fn put_frame(&mut self, frame: Pfn);

    /// Makes the direct map reach a range.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    fn reach(&mut self, range: PhysRange) -> Result<(), Trouble>;

    /// The addresses at which the direct map has a range, if it can have all of it.
    fn place(&self, range: PhysRange) -> Option<VirtRange>;

    /// Memory belongs to a node from now on, whose metadata is put there if it can.
    ///
    /// # Errors
    ///
    /// Why it cannot be noted.
    fn settle(&mut self, range: PhysRange, node: NodeId) -> Result<(), Trouble>;

    /// Memory goes: the direct map lets go of it, and nobody knows its node any more.
    fn part_with(&mut self, range: PhysRange);

    /// The virtual addresses of the memmap, if it is one array.
    fn array(&self) -> Option<VirtRange>;

    /// The first word of a frame that was taken.
    fn word(&self, frame: Pfn) -> Option<&AtomicU64>;
}

/// Everything that a story works on.
pub(crate) struct Site<'s, M: MemoryModel, K> {
    pub(super) model: &'s M,
    pub(super) kernel: &'s mut K,
    pub(super) hotplug: Hotplug<'s, M>,
    pub(super) slots: Slots,
    pub(super) persistent: Option<(PhysRange, NodeId)>,
}

/// What has to be the same before and after a story.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    balance: Balance,
    fingerprint: Option<u64>,
    valid: Vec<PfnRange>,
    blocks: usize,
    resources: usize,
}

impl Snapshot {
    /// Fails if something is not as it was.
    pub(super) fn check_is(&self, before: &Self) -> Result<(), Trouble> {
        same("memory outstanding", &before.balance, &self.balance)?;
        same("valid frames", &before.valid, &self.valid)?;
        same("memory blocks", &before.blocks, &self.blocks)?;
        same("resources", &before.resources, &self.resources)?;
        same("what is free and what is given out", &before.fingerprint, &self.fingerprint)
    }
}

impl<'s, M, K> Site<'s, M, K>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    /// A site. `hotplug` knows the memory of boot; `persistent` is what firmware says is persistent, with its node.
    pub(crate) const fn new(
        model: &'s M,
        kernel: &'s mut K,
        hotplug: Hotplug<'s, M>,
        slots: Slots,
        persistent: Option<(PhysRange, NodeId)>,
    ) -> Self {
        Self { model, kernel, hotplug, slots, persistent }
    }

    /// The right to change the model, for what stories do below hotplug.
    pub(super) fn writer(&self) -> Result<Writer<'s, M>, Trouble> {
        self.model.write().ok_or_else(|| Trouble::new(format_args!("somebody else writes to the model")))
    }

    /// The same, and exactly which memory is free: while the direct map does not grow.
    pub(super) fn exact_snapshot(&self) -> Snapshot {
        Snapshot { fingerprint: Some(self.kernel.fingerprint()), ..self.snapshot() }
    }

    /// Everything that a story must not leave changed.
    pub(super) fn snapshot(&self) -> Snapshot {
        let all = PfnRange::new(Pfn::new(0), Pfn::new(M::Geometry::MAX_PFN)).unwrap_or_default();
        Snapshot {
            balance: self.kernel.balance(),
            fingerprint: None,
            valid: self.model.valid_ranges(all).collect(),
            blocks: self.hotplug.blocks().iter().count(),
            resources: self.hotplug.resources().iter().count(),
        }
    }

    /// Has a DIMM plugged in, finds it in its slot, and makes the direct map reach it.
    pub(super) fn plug(&mut self, wish: &Wish) -> Result<Dimm, Trouble> {
        host::plug(wish)?;
        let change = self.slots.change()?.ok_or(SlotError::Unchanged)?;
        self.slots.acknowledge(&change);
        let Change::Came(dimm) = change else {
            return Err(Trouble::new(format_args!("the slot tells {change:?} of a DIMM that comes")));
        };
        same("the size of the DIMM", &wish.bytes, &dimm.range.count().get())?;
        same("the node of the DIMM", &wish.node, &dimm.node)?;
        self.kernel.settle(dimm.range, dimm.node)?;
        say!("  {} came: slot {}, {}, node {}", wish.id, dimm.slot, dimm.range, dimm.node);
        Ok(dimm)
    }

    /// Makes the direct map reach a DIMM, all of it and by every view.
    pub(super) fn reach(&mut self, dimm: &Dimm) -> Result<(), Trouble> {
        self.kernel.reach(dimm.range)?;
        let place = self.kernel.place(dimm.range);
        let place =
            place.ok_or_else(|| Trouble::new(format_args!("the direct map ends before {}", dimm.range)))?;
        same("bytes of it in the direct map", &dimm.range.count().get(), &agreed(self, place)?)
    }

    /// The frames of a DIMM.
    pub(super) fn frames(dimm: &Dimm) -> Result<PfnRange, Trouble> {
        Ok(frames_of_bytes::<M::Geometry>(dimm.range.start(), dimm.range.count())?)
    }

    /// Has a DIMM plugged in, adds it and brings it online.
    pub(super) fn plug_online(&mut self, wish: &Wish) -> Result<(Dimm, PfnRange), Trouble> {
        let dimm = self.plug(wish)?;
        let frames = Self::frames(&dimm)?;
        self.reach(&dimm)?;
        self.hotplug.add_memory(self.kernel.env_mut(), frames, dimm.node, Ram::default())?;
        self.hotplug.online(self.kernel.allocator(), frames)?;
        say!("  {} is online: {}", wish.id, frames.count());
        Ok((dimm, frames))
    }

    /// Has the host ask for a DIMM, and hears it.
    pub(super) fn want(&mut self, id: &'static str, dimm: &Dimm) -> Result<Change, Trouble> {
        host::unplug(id)?;
        let change = self.slots.change()?.ok_or(SlotError::Unchanged)?;
        same("what the slot tells", &Change::Wanted(*dimm), &change)?;
        Ok(change)
    }

    /// Gives a DIMM up that the host wants: offline, away, ejected.
    pub(super) fn give_up(&mut self, id: &'static str, dimm: &Dimm) -> Result<(), Trouble> {
        let change = self.want(id, dimm)?;
        let frames = Self::frames(dimm)?;
        self.hotplug.offline(self.kernel.allocator(), frames)?;
        let removed = self.hotplug.remove_memory(self.kernel.env_mut(), frames)?;
        same("metadata blocks that nobody took back", &LostBlocks::default(), &removed.lost)?;
        self.slots.acknowledge(&change);
        self.eject(id, dimm, frames)
    }

    /// Ejects a DIMM whose frames the model has let go of.
    pub(super) fn eject(&mut self, id: &'static str, dimm: &Dimm, frames: PfnRange) -> Result<(), Trouble> {
        same("valid frames of what goes", &None, &self.model.next_valid(frames))?;
        self.kernel.part_with(dimm.range);
        if let Some(place) = self.kernel.place(dimm.range) {
            same("bytes of it in the direct map", &0, &agreed(self, place)?)?;
        }
        // SAFETY: no frame of it is valid any more, the page allocator had to give all of them back before, and the direct
        // map has none of its bytes.
        unsafe { self.slots.eject(dimm) };
        holds("the slot is empty", !self.slots.is_used(dimm.slot))?;
        holds("the host knows that the DIMM is gone", host::knows_gone(id))?;
        say!("  {id} is gone");
        Ok(())
    }

    /// Takes frames out of a range and writes to them, and to their descriptors.
    pub(super) fn use_frames(&mut self, within: PfnRange, count: usize) -> Result<Vec<Pfn>, Trouble> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let frame = self.kernel.take_frame(within);
            let frame = frame.ok_or_else(|| Trouble::new(format_args!("no frame of {within} is free")))?;
            taken.push(frame);
            let word = self.kernel.word(frame);
            let word = word.ok_or_else(|| Trouble::new(format_args!("frame {frame} cannot be reached")))?;
            // Relaxed: one processor.
            word.store(pattern(frame), Ordering::Relaxed);
        }
        for frame in &taken {
            let found = self.kernel.word(*frame).map(|word| word.load(Ordering::Relaxed));
            same("what was written to a frame", &Some(pattern(*frame)), &found)?;
            let reader = self.model.read();
            holds("a frame in use has a descriptor that is online", reader.online_page(*frame).is_some())?;
        }
        Ok(taken)
    }

    /// Puts frames back.
    pub(super) fn put_frames(&mut self, frames: Vec<Pfn>) {
        frames.into_iter().for_each(|frame| self.kernel.put_frame(frame));
    }
}

/// What is written to a frame: different in each, so that two frames that are one are seen.
fn pattern(frame: Pfn) -> u64 {
    frame.get().wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
