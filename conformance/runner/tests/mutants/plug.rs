//! A plugged model that passes everything on to an honest one, but for one lie.

use sparsemem_core::{PageCount, Pfn, PfnRange};
use sparsemem_suite::{Memmap, Obstacle, Plug, PlugError, Snapshot, Step, View, World};

use super::lie::Lie;

/// A plugged model with a lie.
pub(crate) struct LyingPlug<'h> {
    honest: &'h mut dyn Plug,
    lie: Lie,
}

impl<'h> LyingPlug<'h> {
    /// An honest plugged model with a lie.
    pub(crate) fn new(honest: &'h mut dyn Plug, lie: Lie) -> Self {
        Self { honest, lie }
    }

    /// What the first descriptors of a range hold.
    fn words(&self, frames: PfnRange) -> Vec<(Pfn, u64)> {
        let mut words = Vec::new();
        self.honest.view().read(&mut |pages| {
            let first = (frames.start().get()..).take(2).map(Pfn::new);
            words.extend(first.filter_map(|pfn| Some((pfn, pages.page(pfn)?.get()))));
        });
        words
    }

    /// Writes to descriptors what they held before.
    fn put_back(&self, words: &[(Pfn, u64)]) {
        self.honest.view().read(&mut |pages| {
            let pages = words.iter().filter_map(|(pfn, word)| Some((pages.page(*pfn)?, *word)));
            pages.for_each(|(page, word)| page.put(word));
        });
    }
}

impl Plug for LyingPlug<'_> {
    fn view(&self) -> &dyn View {
        self.honest.view()
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self.honest.world_mut()
    }

    fn apply(&mut self, step: Step) -> Result<(), PlugError> {
        match (self.lie, step) {
            (Lie::StaysOffline, Step::Online(_) | Step::Offline(_))
            | (Lie::KeepsDevices, Step::RemoveDevice(..))
            | (Lie::KeepsMemory, Step::RemoveMemory(..)) => Ok(()),
            (Lie::KeepsWords, Step::AddDevice(frames, _) | Step::Online(frames)) => {
                let words = self.words(frames);
                let done = self.honest.apply(step);
                self.put_back(&words);
                done
            }
            (Lie::NeverRefuses, _) => {
                let _ = self.honest.apply(step);
                Ok(())
            }
            (Lie::LeavesSomething, Step::AddMemory(..) | Step::AddDevice(..)) => {
                let added = self.honest.apply(step);
                if added.is_err() {
                    self.honest.world_mut().heal();
                    let _ = self.honest.apply(step);
                }
                added
            }
            (Lie::IgnoresAltmap, Step::AddMemory(frames, _)) => {
                self.honest.apply(Step::AddMemory(frames, Memmap::Ram))
            }
            (Lie::IgnoresAltmap, Step::RemoveMemory(frames, _)) => {
                self.honest.apply(Step::RemoveMemory(frames, Memmap::Ram))
            }
            (Lie::IgnoresAltmap, Step::AddDevice(frames, _)) => {
                self.honest.apply(Step::AddDevice(frames, Memmap::Ram))
            }
            (Lie::IgnoresAltmap, Step::RemoveDevice(frames, _)) => {
                self.honest.apply(Step::RemoveDevice(frames, Memmap::Ram))
            }
            _ => self.honest.apply(step),
        }
    }

    fn had_since_boot(&mut self, frames: PfnRange) {
        self.honest.had_since_boot(frames);
    }

    fn obstruct(&mut self, obstacle: Option<Obstacle>) {
        self.honest.obstruct(obstacle);
    }

    fn snapshot(&self, watched: &[u64]) -> Snapshot {
        self.honest.snapshot(watched)
    }

    fn frame_of(&self, pfn: Pfn) -> Option<Pfn> {
        self.honest.frame_of(pfn).filter(|_| self.lie != Lie::NeverInitialises)
    }

    fn altmap_in_use(&self) -> PageCount {
        self.honest.altmap_in_use()
    }
}
