//! Scenarios with devices whose memory is used as large pages.

use alloc::vec::Vec;

use sparsemem_core::{CompoundOrder, PageCount, Pfn, PfnRange, VirtAddr};

use super::life::{mappings_agree, take};
use super::refusals::refuses;
use super::{Memmap, Places, Plug, Step};
use crate::failure::{Place, expect, expect_eq};
use crate::setting::Notes;
use crate::{Compounds, Facts, Failure, Setting};

/// Compounds that fill a section.
#[derive(Clone, Copy)]
pub(super) struct Device {
    pub(super) frames: PfnRange,
    pub(super) order: CompoundOrder,
    /// Frames of a compound whose descriptors fill a page.
    pub(super) own: u64,
    folds: Folds,
}

/// The required treatment of the tails' descriptors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folds {
    /// They share a page.
    Yes,
    /// They share a page if the compounds are folded when they are added.
    WhenAdded,
    /// The model refuses.
    No,
}

impl Device {
    /// The first absent section, in compounds whose descriptors fill four pages, or a subsection if that is larger. If a
    /// section has no two of them, notes that the scenario does not suit.
    pub(super) fn new(facts: &Facts, places: &Places, notes: &mut Notes) -> Option<Self> {
        let (shape, descriptor) = (facts.shape, facts.descriptor_bytes);
        let own = (shape.page_bytes() / descriptor).max(1);
        let size = (4 * own.next_power_of_two()).max(shape.subsection_frames());
        let frames = places.ram(1);
        let order = CompoundOrder::of(PageCount::new(size)).filter(|_| 2 * size <= frames.count().get());
        if order.is_none() {
            notes.is_skipped("a section has no two compounds whose descriptors fill four pages");
        }
        let folds = match facts.can.compounds {
            Compounds::Folded if descriptor.is_power_of_two() => Folds::Yes,
            Compounds::FoldedWhenAdded if descriptor.is_power_of_two() => Folds::WhenAdded,
            _ => Folds::No,
        };
        Some(Self { frames, order: order?, own, folds })
    }

    /// The step that adds it.
    pub(super) const fn add(self) -> Step {
        Step::AddCompounds(self.frames, self.order)
    }

    /// True if the model has to add it.
    pub(super) fn is_added(self) -> bool {
        self.folds != Folds::No
    }

    /// The words of the refusal with which the model answers a fold of memory that is up, if it has to refuse.
    pub(super) fn fold_refusal(self) -> Option<&'static str> {
        match self.folds {
            Folds::Yes => None,
            Folds::WhenAdded => Some("in use"),
            Folds::No => Some("do not share memory"),
        }
    }

    /// The first frames of all compounds.
    pub(super) fn heads(self) -> Vec<Pfn> {
        let size = self.order.frames().get();
        (self.frames.start().get()..self.frames.end().get())
            .step_by(usize::try_from(size).unwrap_or(usize::MAX))
            .map(Pfn::new)
            .collect()
    }
}

/// A frame after another one.
pub(super) const fn after(pfn: Pfn, frames: u64) -> Pfn {
    Pfn::new(pfn.get() + frames)
}

/// Heads have descriptors of their own, and tails share a page; or the model refuses, and nothing has changed.
pub(crate) fn tails_share(setting: &mut Setting<'_>) -> Result<(), Failure> {
    let facts = setting.facts;
    setting.plug(&mut |plug, places, notes| {
        let Some(device) = Device::new(&facts, places, notes) else { return Ok(()) };
        let watched = places.watched();
        if !device.is_added() {
            return refuses(plug, &watched, device.add(), "cannot be folded");
        }
        let before = plug.snapshot(&watched).timeless();
        take(plug, device.add())?;
        costs_heads(plug, &facts, device)?;
        have_pages(plug, &facts, device)?;
        have_words(plug, device)?;
        mappings_agree(plug)?;
        take(plug, Step::RemoveDevice(device.frames, Memmap::Ram))?;
        before.is_still(&plug.snapshot(&watched).timeless())
    })
}

/// The model takes a page for each compound, and less than two more for all tails.
fn costs_heads(plug: &mut dyn Plug, facts: &Facts, device: Device) -> Result<(), Failure> {
    let memmap = |plug: &dyn Plug| plug.view().footprint().memmap_bytes;
    let there = memmap(plug);
    take(plug, Step::RemoveDevice(device.frames, Memmap::Ram))?;
    let cost = there.saturating_sub(memmap(plug));
    take(plug, device.add())?;
    let (page, heads) = (facts.shape.page_bytes(), device.heads().len() as u64);
    let is_right = (heads * page..(heads + 2) * page).contains(&cost);
    expect(is_right, Place::Model, "bytes of descriptors", "a page for each head and one for tails", cost)
}

/// The page tables lead from heads to pages of their own, and from tails to one page.
pub(super) fn have_pages(plug: &dyn Plug, facts: &Facts, device: Device) -> Result<(), Failure> {
    if facts.can.array.is_none() {
        return Ok(());
    }
    let view = plug.view();
    let page_of = |pfn: Pfn| {
        let leaf = view.world().leaf_at(VirtAddr::new(view.lookup(pfn)? as u64))?;
        Some(leaf.to)
    };
    let heads = device.heads();
    let first_tail = heads.first().and_then(|head| page_of(after(*head, device.own)));
    let mut pages: Vec<_> = heads.iter().map(|head| page_of(*head)).chain([first_tail]).collect();
    for head in &heads {
        for tail in [device.own, 2 * device.own, device.order.frames().get() - 1] {
            let pfn = after(*head, tail);
            expect_eq(Place::Frame(pfn), "page of the tail's descriptor", &first_tail, &page_of(pfn))?;
        }
    }
    pages.sort_unstable();
    pages.dedup();
    expect_eq(Place::Model, "different pages of heads and tails", &(heads.len() + 1), &pages.len())
}

/// A word in a head's descriptor appears in no other, tails stay blank, and readers find the head of each.
fn have_words(plug: &dyn Plug, device: Device) -> Result<(), Failure> {
    let (heads, mut result) = (device.heads(), Ok(()));
    let own = device.own * heads.len() as u64;
    expect_eq(Place::Model, "descriptors that can be written", &own, &plug.view().initialise(device.frames))?;
    plug.view().read(&mut |pages| {
        for head in &heads {
            if let Some(page) = pages.page(*head) {
                page.put(head.get());
            }
        }
        result = heads.iter().try_for_each(|head| {
            let word = |pfn| pages.page(pfn).map(crate::Scratch::get);
            expect_eq(Place::Frame(*head), "word of the head", &Some(head.get()), &word(*head))?;
            let (last_own, tail) = (after(*head, device.own - 1), after(*head, device.own));
            let last = after(*head, device.order.frames().get() - 1);
            for pfn in [tail, last] {
                let is_blank = pages.page(pfn).map(crate::Scratch::is_blank);
                expect_eq(Place::Frame(pfn), "blank descriptor", &Some(true), &is_blank)?;
            }
            for pfn in [*head, last_own, tail, last] {
                expect_eq(Place::Frame(pfn), "head", &Some(*head), &pages.head(pfn))?;
            }
            Ok(())
        });
    });
    result
}
