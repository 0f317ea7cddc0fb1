//! Scenarios with RAM that is folded and unfolded while it is up.

use sparsemem_core::Pfn;

use super::compound::{Device, after, have_pages};
use super::life::{mappings_agree, take};
use super::refusals::refuses;
use super::{Memmap, Plug, Step};
use crate::failure::{Place, expect, expect_eq};
use crate::{Facts, Failure, Setting};

/// RAM that is online, whose heads have words.
struct Up<'p> {
    plug: &'p mut dyn Plug,
    facts: Facts,
    ram: Device,
}

/// Brings RAM up, calls a scenario with it, and removes it; nothing is left then. Where the model cannot fold RAM that is up, it
/// refuses.
fn with_ram(
    setting: &mut Setting<'_>,
    scenario: fn(&mut Up<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let facts = setting.facts;
    setting.plug(&mut |plug, places, notes| {
        let Some(ram) = Device::new(&facts, places, notes) else { return Ok(()) };
        let (frames, watched) = (ram.frames, places.watched());
        let before = plug.snapshot(&watched).timeless();
        take(plug, Step::AddMemory(frames, Memmap::Ram))?;
        take(plug, Step::Online(frames))?;
        match ram.fold_refusal() {
            Some(words) => refuses(plug, &watched, Step::Fold(frames, ram.order), words)?,
            None => scenario(&mut Up { plug: &mut *plug, facts, ram })?,
        }
        take(plug, Step::Offline(frames))?;
        take(plug, Step::RemoveMemory(frames, Memmap::Ram))?;
        before.is_still(&plug.snapshot(&watched).timeless())
    })
}

/// Tails share a page, heads keep their words, and the rest of the memmap is given back.
pub(crate) fn fold_up(setting: &mut Setting<'_>) -> Result<(), Failure> {
    with_ram(setting, |up| {
        up.put(&up.of_heads());
        let whole = up.memmap_bytes();
        up.fold()?;
        let (page, heads) = (up.facts.shape.page_bytes(), up.ram.heads().len() as u64);
        let tails = up.ram.frames.count().get() * up.facts.descriptor_bytes - heads * page;
        let saved = whole.saturating_sub(up.memmap_bytes());
        let is_right = (tails.saturating_sub(2 * page)..tails).contains(&saved);
        expect(is_right, Place::Model, "bytes given back", "those of tails but for a page", saved)?;
        have_pages(up.plug, &up.facts, up.ram)?;
        up.have(&up.of_heads())?;
        let (own, frames) = (up.ram.own * heads, up.ram.frames);
        let written = up.plug.view().initialise(frames);
        expect_eq(Place::Model, "descriptors that can be written", &own, &written)?;
        up.have_heads(|head, _| head)?;
        mappings_agree(up.plug)?;
        refuses(up.plug, &[], Step::Fold(frames, up.ram.order), "folded already")
    })
}

/// Every frame has a descriptor of its own again, and heads keep their words.
pub(crate) fn unfold(setting: &mut Setting<'_>) -> Result<(), Failure> {
    with_ram(setting, |up| {
        let whole = up.memmap_bytes();
        up.put(&up.of_heads());
        up.fold()?;
        take(up.plug, Step::Unfold(up.ram.frames, up.ram.order))?;
        expect_eq(Place::Model, "bytes of descriptors", &whole, &up.memmap_bytes())?;
        up.have(&up.of_heads())?;
        up.have_heads(|_, pfn| pfn)?;
        let frames = up.ram.frames;
        let written = up.plug.view().initialise(frames);
        expect_eq(Place::Model, "descriptors that can be written", &frames.count().get(), &written)?;
        let (heads, tails) = (up.of_heads(), up.of_tails());
        up.put(&tails);
        up.have(&tails)?;
        up.have(&heads)?;
        mappings_agree(up.plug)?;
        refuses(up.plug, &[], Step::Unfold(frames, up.ram.order), "is not folded")
    })
}

impl Up<'_> {
    fn fold(&mut self) -> Result<(), Failure> {
        take(self.plug, Step::Fold(self.ram.frames, self.ram.order))
    }

    fn memmap_bytes(&self) -> u64 {
        self.plug.view().footprint().memmap_bytes
    }

    /// The first and the last frame of each compound with a descriptor of its own.
    fn of_heads(&self) -> alloc::vec::Vec<Pfn> {
        let own = self.ram.own;
        self.ram.heads().into_iter().flat_map(|head| [head, after(head, own - 1)]).collect()
    }

    /// Some tails of each compound.
    fn of_tails(&self) -> alloc::vec::Vec<Pfn> {
        let (own, all) = (self.ram.own, self.ram.order.frames().get());
        self.ram.heads().into_iter().flat_map(|head| [own, all - 1].map(|tail| after(head, tail))).collect()
    }

    /// Puts a word of its own into the descriptor of each frame.
    fn put(&self, frames: &[Pfn]) {
        self.plug.view().read(&mut |pages| {
            for pfn in frames {
                if let Some(page) = pages.page(*pfn) {
                    page.put(pfn.get());
                }
            }
        });
    }

    /// Expects the words that were put.
    fn have(&self, frames: &[Pfn]) -> Result<(), Failure> {
        let mut result = Ok(());
        self.plug.view().read(&mut |pages| {
            result = frames.iter().try_for_each(|pfn| {
                let word = pages.page(*pfn).map(crate::Scratch::get);
                expect_eq(Place::Frame(*pfn), "word", &Some(pfn.get()), &word)
            });
        });
        result
    }

    /// Expects that readers find the head of each frame: a function of the compound's first frame and the frame.
    fn have_heads(&self, head_of: fn(Pfn, Pfn) -> Pfn) -> Result<(), Failure> {
        let (heads, last) = (self.ram.heads(), self.ram.order.frames().get() - 1);
        let (own, mut result) = (self.ram.own, Ok(()));
        self.plug.view().read(&mut |pages| {
            result = heads.iter().try_for_each(|head| {
                [0, own - 1, own, last].iter().try_for_each(|offset| {
                    let pfn = after(*head, *offset);
                    expect_eq(Place::Frame(pfn), "head", &Some(head_of(*head, pfn)), &pages.head(pfn))
                })
            });
        });
        result
    }
}
