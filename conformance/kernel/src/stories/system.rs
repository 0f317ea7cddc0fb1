//! What stories work on: the live model, the page allocator, the slots, and the host.
//!
//! # Invariants
//!
//! 1. The direct map reaches a DIMM before the model hears of it.
//! 2. A DIMM is ejected only after the model has let go of all of its frames, and then the direct map of its bytes.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem::{
    LeafSize, LostBlocks, MemoryModel, NodeId, PagingDepth, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr,
    SectionShape, VirtAddr, VirtRange, Writer, presets::X86_64,
};
use sparsemem_hotplug::{AddMemoryError, BlockNr, Hotplug, Ram, frames_of_bytes};
use sparsemem_suite::{Balance, Leaf, WorldWithEnvironment, World};

use super::checks::{StoryError, holds, same, some};
use super::host::{self, NewDimm};
use crate::cpu::{direct_map, paging};
use crate::dimm::{Change, Dimm, SlotError, Slots};
use crate::frames::{FRAMES, Pages, take_zeroed};
use crate::glue::MODEL;
use crate::model::Model;
use crate::say;
use crate::world::KernelWorld;

/// Every frame that the geometry has.
pub(super) fn all_frames() -> PfnRange {
    PfnRange::new(Pfn::new(0), Pfn::new(X86_64::MAX_PFN)).unwrap_or_default()
}

/// Everything that a story works on.
pub(crate) struct System<'s> {
    /// The surroundings of the model.
    pub(crate) world: &'s mut KernelWorld,
    /// Hotplug, which knows the memory of boot.
    pub(crate) hotplug: Hotplug<'s, Model>,
    /// The slots for DIMMs.
    pub(crate) slots: Slots,
    /// What firmware says is persistent, with its node.
    pub(crate) persistent: Option<(PhysRange, NodeId)>,
}

/// A DIMM that the host plugged in.
pub(super) struct Plugged {
    /// The host's name for it.
    pub(super) id: &'static str,
    /// What its slot says.
    pub(super) dimm: Dimm,
    /// Its frames.
    pub(super) frames: PfnRange,
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
    pub(super) fn check_is(&self, before: &Self) -> Result<(), StoryError> {
        same("memory outstanding", &before.balance, &self.balance)?;
        same("valid frames", &before.valid, &self.valid)?;
        same("memory blocks", &before.blocks, &self.blocks)?;
        same("resources", &before.resources, &self.resources)?;
        same("what is free and what is given out", &before.fingerprint, &self.fingerprint)
    }
}

impl System<'_> {
    /// The right to change the model, for what stories do below hotplug.
    pub(super) fn writer(&self) -> Result<Writer<'static, Model>, StoryError> {
        some("a writer of the model", MODEL.write())
    }

    /// The same, and exactly which memory is free: while the direct map does not grow.
    pub(super) fn exact_snapshot(&self) -> Snapshot {
        Snapshot { fingerprint: Some(self.world.fingerprint()), ..self.snapshot() }
    }

    /// Everything that a story must not leave changed.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            balance: self.world.balance(),
            fingerprint: None,
            valid: MODEL.valid_ranges(all_frames()).collect(),
            blocks: self.hotplug.blocks().iter().count(),
            resources: self.hotplug.resources().iter().count(),
        }
    }

    /// Has a DIMM plugged in, and finds it in its slot.
    pub(super) fn plug(&mut self, new: &NewDimm) -> Result<Plugged, StoryError> {
        host::plug(new)?;
        let change = self.slots.change()?.ok_or(SlotError::Unchanged)?;
        self.slots.acknowledge(&change);
        let Change::Came(dimm) = change else {
            return Err(StoryError::new(format_args!("the slot tells {change:?} of a DIMM that comes")));
        };
        same("the size of the DIMM", &new.bytes, &dimm.range.count().get())?;
        same("the node of the DIMM", &new.node, &dimm.node)?;
        FRAMES.lock().set_node(dimm.range.whole_frames::<X86_64>(), dimm.node)?;
        say!("  {} came: slot {}, {}, node {}", new.id, dimm.slot, dimm.range, dimm.node);
        let frames = frames_of_bytes::<X86_64>(dimm.range.start(), dimm.range.count())?;
        Ok(Plugged { id: new.id, dimm, frames })
    }

    /// Makes the direct map reach a DIMM, all of it and by every view.
    pub(super) fn reach(&self, range: PhysRange) -> Result<(), StoryError> {
        paging::map(range, &mut take_zeroed)?;
        let place = some("a place in the direct map", direct_map::place(range))?;
        same("bytes of it in the direct map", &range.count().get(), &self.mapped_by_all_views(place)?)
    }

    /// Adds a DIMM as RAM.
    pub(super) fn add(&mut self, plugged: &Plugged) -> Result<(), AddMemoryError> {
        let node = plugged.dimm.node;
        self.hotplug.add_memory(self.world.env_mut(), plugged.frames, node, Ram::default()).map(drop)
    }

    /// Has a DIMM plugged in, adds it and brings it online.
    pub(super) fn plug_online(&mut self, new: &NewDimm) -> Result<Plugged, StoryError> {
        let plugged = self.plug(new)?;
        self.reach(plugged.dimm.range)?;
        self.add(&plugged)?;
        self.hotplug.online(&mut Pages, plugged.frames)?;
        say!("  {} is online: {}", plugged.id, plugged.frames.count());
        Ok(plugged)
    }

    /// Has the host ask for a DIMM, and hears it.
    pub(super) fn want(&mut self, plugged: &Plugged) -> Result<(), StoryError> {
        host::unplug(plugged.id)?;
        let change = self.slots.change()?.ok_or(SlotError::Unchanged)?;
        same("what the slot tells", &Change::Wanted(plugged.dimm), &change)
    }

    /// Gives a DIMM up that the host wants: offline, away, ejected.
    pub(super) fn give_up(&mut self, plugged: &Plugged) -> Result<(), StoryError> {
        self.want(plugged)?;
        self.hotplug.offline(&mut Pages, plugged.frames)?;
        self.remove(plugged.frames)?;
        self.eject(plugged)
    }

    /// Removes memory that is offline.
    pub(super) fn remove(&mut self, frames: PfnRange) -> Result<(), StoryError> {
        none_lost(&self.hotplug.remove_memory(self.world.env_mut(), frames)?.lost)
    }

    /// Ejects a DIMM that the host wants and whose frames the model has let go of.
    pub(super) fn eject(&mut self, plugged: &Plugged) -> Result<(), StoryError> {
        let Plugged { id, dimm, frames } = plugged;
        self.slots.acknowledge(&Change::Wanted(*dimm));
        same("valid frames of what goes", &None, &MODEL.next_valid(*frames))?;
        paging::unmap(dimm.range);
        FRAMES.lock().forget_node(dimm.range.whole_frames::<X86_64>());
        if let Some(place) = direct_map::place(dimm.range) {
            same("bytes of it in the direct map", &0, &self.mapped_by_all_views(place)?)?;
        }
        // SAFETY: no frame of it is valid any more, the page allocator had to give all of them back before, and the direct
        // map has none of its bytes.
        unsafe { self.slots.eject(dimm) };
        holds("the slot is empty", !self.slots.is_used(dimm.slot))?;
        holds("the host knows that the DIMM is gone", host::knows_gone(id))?;
        say!("  {id} is gone");
        Ok(())
    }

    /// The node of a section, which is a memory block of this kernel.
    pub(super) fn node_of(&self, nr: SectionNr) -> Option<NodeId> {
        self.hotplug.blocks().get(BlockNr::new(nr.get())).and_then(|block| block.node)
    }

    /// Compares three views of what is mapped in `within` (a walk over the page tables as software, what the processor
    /// does, and what QEMU finds when it walks them itself), and tells how many bytes are mapped.
    pub(super) fn mapped_by_all_views(&self, within: VirtRange) -> Result<u64, StoryError> {
        let mut leaves: Vec<Leaf> = Vec::new();
        paging::leaves(within, &mut |leaf| leaves.push(leaf));
        let is_large = |leaf: &Leaf| leaf.size != LeafSize::Size4KiB;
        let walked: Vec<_> =
            leaves.iter().map(|leaf| (leaf.at.get(), leaf.to.get(), is_large(leaf))).collect();
        same("the mappings, walked by this kernel and by QEMU", &host::mappings(within)?, &walked)?;
        let runs = runs(&leaves);
        // With five levels `info mem` of QEMU 7.2 takes 20 s and finds nothing; `info tlb` above has the same mappings.
        if paging::depth() == PagingDepth::Four {
            same("what is mapped, by QEMU and by this kernel", &host::mapped(within)?, &runs)?;
        }
        let reads = |at: u64| self.world.is_readable(VirtAddr::new(at));
        let ends = leaves.iter().flat_map(|leaf| [leaf.at.get(), leaf.end() - 1]);
        holds("the processor reads both ends of a mapping", ends.into_iter().all(reads))?;
        let outside = runs.iter().flat_map(|(start, end)| [*start - 1, *end]);
        let mut outside = outside.filter(|at| within.contains(VirtAddr::new(*at)));
        holds("the processor faults beside a mapping", !outside.any(reads))?;
        let bytes = runs.iter().map(|(start, end)| end - start).sum();
        say!("  {} mappings of {bytes:#x} bytes, in {} runs: all views agree", leaves.len(), runs.len());
        Ok(bytes)
    }

    /// Takes frames out of a range and writes to them, and to their descriptors.
    pub(super) fn use_frames(&self, within: PfnRange, count: usize) -> Result<Vec<Pfn>, StoryError> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let frame = some("a free frame in the range", FRAMES.lock().take_from(within))?;
            taken.push(frame);
            // Relaxed: one processor.
            some("the frame's memory", word(frame))?.store(pattern(frame), Ordering::Relaxed);
        }
        for frame in &taken {
            let found = word(*frame).map(|word| word.load(Ordering::Relaxed));
            same("what was written to a frame", &Some(pattern(*frame)), &found)?;
            let reader = MODEL.read();
            holds("a frame in use has a descriptor that is online", reader.online_page(*frame).is_some())?;
        }
        Ok(taken)
    }
}

/// Fails if a removal left metadata blocks that nobody took back.
pub(super) fn none_lost(lost: &LostBlocks) -> Result<(), StoryError> {
    same("metadata blocks that nobody took back", &LostBlocks::default(), lost)
}

/// Puts frames back that [`System::use_frames`] took.
pub(super) fn put_frames(frames: Vec<Pfn>) {
    frames.into_iter().for_each(|frame| FRAMES.lock().put(frame));
}

/// The frame that a frame's descriptor lies in, by the page tables.
pub(super) fn frame_of_descriptor(frame: Pfn) -> Option<Pfn> {
    let at = VirtAddr::new(MODEL.lookup(frame)?.addr().get() as u64);
    let leaf = paging::leaf_at(at)?;
    Some(PhysAddr::new(leaf.to.get() + (at.get() - leaf.at.get())).pfn::<X86_64>())
}

/// Mappings that touch, as one.
fn runs(leaves: &[Leaf]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for leaf in leaves {
        match runs.last_mut() {
            Some(last) if last.1 == leaf.at.get() => last.1 = leaf.end(),
            _ => runs.push((leaf.at.get(), leaf.end())),
        }
    }
    runs
}

/// The first word of a frame that was taken.
fn word(frame: Pfn) -> Option<&'static AtomicU64> {
    let place = direct_map::to_virt(frame.phys::<X86_64>()?)?;
    // SAFETY: a frame that was taken is memory that the direct map reaches, and all accesses to it are atomic.
    Some(unsafe { place.cast::<AtomicU64>().as_ref() })
}

/// What is written to a frame: different in each, so that two frames that are one are seen.
fn pattern(frame: Pfn) -> u64 {
    frame.get().wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
