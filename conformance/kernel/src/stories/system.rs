//! The system that stories use: the live model, the page allocator, the slots, and the host.
//!
//! # Invariants
//!
//! 1. The direct map reaches a DIMM before it is added to the model.
//! 2. A DIMM is ejected only after all of its frames are removed from the model, and then its bytes from the direct
//!    map.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use sparsemem::{
    LeafSize, LostBlocks, MemoryModel, NodeId, Pfn, PfnRange, PhysAddr, PhysRange, SectionNr, SectionShape,
    VirtAddr, VirtRange, Writer, initialise,
};
use sparsemem_hotplug::{
    AddMemoryError, AllocatorHooks, BlockNr, Hotplug, Ram, Request, add, frames_of_bytes,
};
use sparsemem_suite::{Balance, Leaf, World, WorldWithEnvironment};

use super::checks::{StoryError, holds, same, some};
use super::host::{self, NewDimm};
use crate::arch::{Sizes, page_table};
use crate::dimm::{Change, Dimm, SlotError, Slots};
use crate::frames::{FRAMES, Pages, take_zeroed};
use crate::glue::MODEL;
use crate::model::Model;
use crate::paging::View;
use crate::processors::{HardwareId, MOST};
use crate::say;
use crate::world::KernelWorld;
use crate::{direct_map, paging};

/// All frames of the geometry.
pub(super) fn all_frames() -> PfnRange {
    PfnRange::new(Pfn::new(0), Pfn::new(Sizes::MAX_PFN)).unwrap_or_default()
}

/// The system that a story uses.
pub(crate) struct System<'s> {
    /// The world and environment of the model.
    pub(crate) world: &'s mut KernelWorld,
    /// Hotplug, in which the memory of boot is registered.
    pub(crate) hotplug: Hotplug<'s, Model>,
    /// The slots for DIMMs.
    pub(crate) slots: Slots,
    /// The range that firmware describes as persistent memory, with its node.
    pub(crate) persistent: Option<(PhysRange, NodeId)>,
    /// RAM that the command line has withheld from boot, with its node.
    pub(crate) withheld: Option<(PhysRange, NodeId)>,
    /// The processors that firmware reports, the one that booted among them.
    pub(crate) processors: ArrayVec<HardwareId, MOST>,
    /// The number of rounds that the command line asks for.
    pub(crate) rounds: Option<u64>,
}

/// A DIMM that the host plugged in.
pub(super) struct Plugged {
    /// The host's name for it.
    pub(super) id: &'static str,
    /// The contents of its slot.
    pub(super) dimm: Dimm,
    /// Its frames.
    pub(super) frames: PfnRange,
}

/// The state that must be the same before and after a story.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    balance: Balance,
    fingerprint: Option<u64>,
    valid: Vec<PfnRange>,
    blocks: usize,
    resources: usize,
}

impl Snapshot {
    /// Fails if the state has changed.
    pub(super) fn check_is(&self, before: &Self) -> Result<(), StoryError> {
        same("memory outstanding", &before.balance, &self.balance)?;
        same("valid frames", &before.valid, &self.valid)?;
        same("memory blocks", &before.blocks, &self.blocks)?;
        same("resources", &before.resources, &self.resources)?;
        same("free and allocated memory", &before.fingerprint, &self.fingerprint)
    }
}

impl System<'_> {
    /// The model's writer, for changes that stories make without hotplug.
    pub(super) fn writer(&self) -> Result<Writer<'static, Model>, StoryError> {
        some("a writer of the model", MODEL.write())
    }

    /// The state, including which memory is free. Use it where the direct map does not grow.
    pub(super) fn exact_snapshot(&self) -> Snapshot {
        Snapshot { fingerprint: Some(self.world.fingerprint()), ..self.snapshot() }
    }

    /// The state that a story must restore.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            balance: self.world.balance(),
            fingerprint: None,
            valid: MODEL.valid_ranges(all_frames()).collect(),
            blocks: self.hotplug.blocks().iter().count(),
            resources: self.hotplug.resources().iter().count(),
        }
    }

    /// Has the host plug in a DIMM, and finds it in its slot.
    pub(super) fn plug(&mut self, new: &NewDimm) -> Result<Plugged, StoryError> {
        host::plug(new)?;
        let change = self.slots.change()?.ok_or(SlotError::Unchanged)?;
        self.slots.acknowledge(&change);
        let Change::Came(dimm) = change else {
            return Err(StoryError::new(format_args!("the slot reports {change:?} for an inserted DIMM")));
        };
        same("the size of the DIMM", &new.bytes, &dimm.range.count().get())?;
        same("the node of the DIMM", &new.node, &dimm.node)?;
        FRAMES.lock().set_node(dimm.range.whole_frames::<Sizes>(), dimm.node)?;
        say!("  {} was inserted: slot {}, {}, node {}", new.id, dimm.slot, dimm.range, dimm.node);
        let frames = frames_of_bytes::<Sizes>(dimm.range.start(), dimm.range.count())?;
        Ok(Plugged { id: new.id, dimm, frames })
    }

    /// Extends the direct map to a DIMM, and checks its mappings by every view.
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

    /// Has the host plug in a DIMM, adds it and brings it online.
    pub(super) fn plug_online(&mut self, new: &NewDimm) -> Result<Plugged, StoryError> {
        let plugged = self.plug(new)?;
        self.reach(plugged.dimm.range)?;
        self.add(&plugged)?;
        self.hotplug.online(&mut Pages, plugged.frames)?;
        say!("  {} is online: {}", plugged.id, plugged.frames.count());
        Ok(plugged)
    }

    /// Has the host ask for a DIMM back, and checks that its slot reports that.
    pub(super) fn want(&mut self, plugged: &Plugged) -> Result<(), StoryError> {
        host::unplug(plugged.id)?;
        let change = self.slots.change()?.ok_or(SlotError::Unchanged)?;
        same("the change that the slot reports", &Change::Wanted(plugged.dimm), &change)
    }

    /// Gives up a DIMM that the host wants back: takes it offline, removes it, and ejects it.
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

    /// Adds memory that need not be whole memory blocks to the model alone, and brings it online.
    pub(super) fn add_parts(&mut self, request: &Request<Sizes>) -> Result<(), StoryError> {
        let frames = request.frames();
        let mut writer = self.writer()?;
        add(&mut writer, self.world.env_mut(), request)?;
        initialise(&MODEL, frames);
        Pages.give(frames)?;
        writer.set_online(frames)?;
        Pages.release(frames);
        Ok(())
    }

    /// Takes memory that [`System::add_parts`] added offline, and removes it.
    pub(super) fn remove_parts(&mut self, frames: PfnRange) -> Result<(), StoryError> {
        let mut writer = self.writer()?;
        Pages.isolate(frames)?;
        Pages.evacuate(frames)?;
        writer.set_offline(frames)?;
        Pages.take(frames);
        none_lost(&writer.retire(self.world.env_mut(), frames)?.lost)
    }

    /// Ejects a DIMM that the host wants back and whose frames are removed from the model.
    pub(super) fn eject(&mut self, plugged: &Plugged) -> Result<(), StoryError> {
        let Plugged { id, dimm, .. } = plugged;
        self.slots.acknowledge(&Change::Wanted(*dimm));
        paging::unmap(dimm.range);
        if let Some(place) = direct_map::place(dimm.range) {
            same("bytes of it in the direct map", &0, &self.mapped_by_all_views(place)?)?;
        }
        self.let_go(plugged)?;
        say!("  {id} is removed");
        Ok(())
    }

    /// Lets the host have a DIMM of which neither the model nor the direct map has anything.
    pub(super) fn let_go(&mut self, Plugged { id, dimm, frames }: &Plugged) -> Result<(), StoryError> {
        same("valid frames of the DIMM", &None, &MODEL.next_valid(*frames))?;
        FRAMES.lock().forget_node(dimm.range.whole_frames::<Sizes>());
        // SAFETY: no frame of it is valid any more, the page allocator had to give all of them back before, and the caller
        // has taken its bytes out of the direct map.
        unsafe { self.slots.eject(dimm) };
        holds("the slot is empty", !self.slots.is_used(dimm.slot))?;
        holds("the host reports that the DIMM is removed", host::knows_gone(id))
    }

    /// The node of a section, which is a memory block of this kernel.
    pub(super) fn node_of(&self, nr: SectionNr) -> Option<NodeId> {
        self.hotplug.blocks().get(BlockNr::new(nr.get())).and_then(|block| block.node)
    }

    /// Compares three views of the mappings in `within`: a walk over the page tables in software, accesses of the
    /// processor, and QEMU's own walk. Returns the number of mapped bytes.
    pub(super) fn mapped_by_all_views(&self, within: VirtRange) -> Result<u64, StoryError> {
        let mut leaves: Vec<Leaf> = Vec::new();
        paging::leaves(within, &mut |leaf| leaves.push(leaf));
        let runs = runs(&leaves);
        for view in page_table::views() {
            match view {
                View::Mappings => compare_mappings(within, &leaves)?,
                View::Ranges => {
                    same("mapped ranges, by QEMU and by this kernel", &host::mapped(within)?, &runs)?;
                }
                View::Translations => compare_translations(within, &leaves, &runs)?,
            }
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

    /// Takes frames from a range and writes to them, and to their descriptors.
    pub(super) fn use_frames(&self, within: PfnRange, count: usize) -> Result<Vec<Pfn>, StoryError> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let frame = some("a free frame in the range", FRAMES.lock().take_from(within))?;
            taken.push(frame);
            // Relaxed: only this processor uses the frame.
            some("the frame's memory", word(frame))?.store(pattern(frame), Ordering::Relaxed);
        }
        for frame in &taken {
            let found = word(*frame).map(|word| word.load(Ordering::Relaxed));
            same("word that was written to a frame", &Some(pattern(*frame)), &found)?;
            let reader = MODEL.read();
            holds("a frame in use has a descriptor that is online", reader.online_page(*frame).is_some())?;
        }
        Ok(taken)
    }
}

/// Fails unless QEMU lists the mappings that this kernel has walked.
fn compare_mappings(within: VirtRange, leaves: &[Leaf]) -> Result<(), StoryError> {
    let is_large = |leaf: &Leaf| leaf.size != LeafSize::Size4KiB;
    let walked: Vec<_> = leaves.iter().map(|leaf| (leaf.at.get(), leaf.to.get(), is_large(leaf))).collect();
    same("the mappings, walked by this kernel and by QEMU", &host::mappings(within)?, &walked)
}

/// Fails unless QEMU translates both ends of every mapping as this kernel has walked them, and nothing beside.
fn compare_translations(within: VirtRange, leaves: &[Leaf], runs: &[(u64, u64)]) -> Result<(), StoryError> {
    for leaf in leaves {
        for offset in [0, leaf.size.bytes() - 1] {
            let (at, to) = (leaf.at.get() + offset, leaf.to.get() + offset);
            same("an address, translated by this kernel and by QEMU", &host::translated(at)?, &Some(to))?;
        }
    }
    let outside = runs.iter().flat_map(|(start, end)| [*start - 1, *end]);
    for at in outside.filter(|at| within.contains(VirtAddr::new(*at))) {
        same("an address beside a mapping, translated by QEMU", &host::translated(at)?, &None)?;
    }
    Ok(())
}

/// Fails if a removal left metadata blocks that the environment did not take back.
pub(super) fn none_lost(lost: &LostBlocks) -> Result<(), StoryError> {
    same("metadata blocks that were not taken back", &LostBlocks::default(), lost)
}

/// Frees the frames that [`System::use_frames`] took.
pub(super) fn put_frames(frames: Vec<Pfn>) {
    frames.into_iter().for_each(|frame| FRAMES.lock().put(frame));
}

/// The frame that holds a frame's descriptor, by the page tables.
pub(super) fn frame_of_descriptor(frame: Pfn) -> Option<Pfn> {
    let at = VirtAddr::new(MODEL.lookup(frame)?.addr().get() as u64);
    let leaf = paging::leaf_at(at)?;
    Some(PhysAddr::new(leaf.to.get() + (at.get() - leaf.at.get())).pfn::<Sizes>())
}

/// Adjacent mappings, joined.
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
    let place = direct_map::to_virt(frame.phys::<Sizes>()?)?;
    // SAFETY: a frame that was taken is memory that the direct map reaches, and all accesses to it are atomic.
    Some(unsafe { place.cast::<AtomicU64>().as_ref() })
}

/// The word that is written to a frame. It differs between frames, so that two frames with the same memory are
/// detected.
fn pattern(frame: Pfn) -> u64 {
    frame.get().wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
