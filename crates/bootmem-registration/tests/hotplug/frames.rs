//! A page allocator that knows every frame by itself.

use std::collections::BTreeMap;

use sparsemem_core::{Pfn, PfnRange};
use sparsemem_hotplug::{AllocatorHooks, FramesRefused};

pub fn pages(range: PfnRange) -> impl Iterator<Item = u64> {
    range.start().get()..range.end().get()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Usable,
    Isolated,
}

/// A page allocator that agrees to everything, and panics if it hears of a frame that it does not know or knows already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames(BTreeMap<u64, State>);

impl Frames {
    fn change(&mut self, frames: PfnRange, from: Option<State>, to: Option<State>) {
        for page in pages(frames) {
            let before = match to {
                Some(state) => self.0.insert(page, state),
                None => self.0.remove(&page),
            };
            assert_eq!(before, from, "frame {page:#x} on its way to {to:?}");
        }
    }

    /// Gets frames that it may hand out at once.
    pub fn boot(&mut self, frames: PfnRange) {
        self.change(frames, None, Some(State::Usable));
    }

    pub fn knows(&self, page: u64) -> bool {
        self.0.contains_key(&page)
    }

    pub fn known(&self) -> impl Iterator<Item = Pfn> {
        self.0.keys().map(|page| Pfn::new(*page))
    }

    /// How many of these frames may be handed out.
    pub fn usable_in(&self, frames: PfnRange) -> usize {
        let range = frames.start().get()..frames.end().get();
        self.0.range(range).filter(|(_, state)| **state == State::Usable).count()
    }
}

impl AllocatorHooks for Frames {
    fn give(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.change(frames, None, Some(State::Isolated));
        Ok(())
    }

    fn release(&mut self, frames: PfnRange) {
        self.change(frames, Some(State::Isolated), Some(State::Usable));
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.change(frames, Some(State::Usable), Some(State::Isolated));
        Ok(())
    }

    fn evacuate(&mut self, _frames: PfnRange) -> Result<(), FramesRefused> {
        Ok(())
    }

    fn take(&mut self, frames: PfnRange) {
        self.change(frames, Some(State::Isolated), None);
    }
}
