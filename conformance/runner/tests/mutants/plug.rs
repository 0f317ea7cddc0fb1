//! A plugged model with one defect; everything else is forwarded to a correct one.

use sparsemem_core::{PageCount, Pfn, PfnRange};
use sparsemem_suite::{Memmap, Obstacle, Plug, PlugError, Snapshot, Step, View, World};

use super::defect::Defect;

/// A plugged model with a defect.
pub(crate) struct BrokenPlug<'h> {
    correct: &'h mut dyn Plug,
    defect: Defect,
}

impl<'h> BrokenPlug<'h> {
    /// The correct plugged model, changed by a defect.
    pub(crate) fn new(correct: &'h mut dyn Plug, defect: Defect) -> Self {
        Self { correct, defect }
    }

    /// The words in the first descriptors of a range.
    fn words(&self, frames: PfnRange) -> Vec<(Pfn, u64)> {
        let mut words = Vec::new();
        self.correct.view().read(&mut |pages| {
            let first = (frames.start().get()..).take(2).map(Pfn::new);
            words.extend(first.filter_map(|pfn| Some((pfn, pages.page(pfn)?.get()))));
        });
        words
    }

    /// Writes the earlier words to descriptors.
    fn put_back(&self, words: &[(Pfn, u64)]) {
        self.correct.view().read(&mut |pages| {
            let pages = words.iter().filter_map(|(pfn, word)| Some((pages.page(*pfn)?, *word)));
            pages.for_each(|(page, word)| page.put(word));
        });
    }
}

impl Plug for BrokenPlug<'_> {
    fn view(&self) -> &dyn View {
        self.correct.view()
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self.correct.world_mut()
    }

    fn apply(&mut self, step: Step) -> Result<(), PlugError> {
        match (self.defect, step) {
            (Defect::StaysOffline, Step::Online(_) | Step::Offline(_))
            | (Defect::KeepsDevices, Step::RemoveDevice(..))
            | (Defect::KeepsMemory, Step::RemoveMemory(..)) => Ok(()),
            (Defect::KeepsWords, Step::AddDevice(frames, _) | Step::Online(frames)) => {
                let words = self.words(frames);
                let done = self.correct.apply(step);
                self.put_back(&words);
                done
            }
            (Defect::TakesNeighbours, Step::RemoveDevice(frames, _)) => {
                let done = self.correct.apply(step);
                self.put_back(&[(frames.end(), 0)]);
                done
            }
            (Defect::NeverRefuses, _) => {
                let _ = self.correct.apply(step);
                Ok(())
            }
            (Defect::NeverFolds, Step::AddCompounds(frames, _)) => {
                self.correct.apply(Step::AddDevice(frames, Memmap::Ram))
            }
            (Defect::NeverFolds, Step::Fold(..)) | (Defect::NeverUnfolds, Step::Unfold(..)) => Ok(()),
            (Defect::LosesWords, Step::Fold(frames, _)) => {
                let done = self.correct.apply(step);
                self.put_back(&[(frames.start(), 0)]);
                done
            }
            (Defect::LeavesSomething, Step::AddMemory(..) | Step::AddDevice(..) | Step::AddCompounds(..)) => {
                let added = self.correct.apply(step);
                if added.is_err() {
                    self.correct.world_mut().heal();
                    let _ = self.correct.apply(step);
                }
                added
            }
            (Defect::IgnoresAltmap, Step::AddMemory(frames, _)) => {
                self.correct.apply(Step::AddMemory(frames, Memmap::Ram))
            }
            (Defect::IgnoresAltmap, Step::RemoveMemory(frames, _)) => {
                self.correct.apply(Step::RemoveMemory(frames, Memmap::Ram))
            }
            (Defect::IgnoresAltmap, Step::AddDevice(frames, _)) => {
                self.correct.apply(Step::AddDevice(frames, Memmap::Ram))
            }
            (Defect::IgnoresAltmap, Step::RemoveDevice(frames, _)) => {
                self.correct.apply(Step::RemoveDevice(frames, Memmap::Ram))
            }
            (Defect::TakesAnyAltmap, Step::RemoveDevice(frames, _)) => {
                self.correct.apply(Step::RemoveDevice(frames, Memmap::Altmap))
            }
            _ => self.correct.apply(step),
        }
    }

    fn had_since_boot(&mut self, frames: PfnRange) {
        self.correct.had_since_boot(frames);
    }

    fn obstruct(&mut self, obstacle: Option<Obstacle>) {
        self.correct.obstruct(obstacle);
    }

    fn snapshot(&self, watched: &[u64]) -> Snapshot {
        self.correct.snapshot(watched)
    }

    fn frame_of(&self, pfn: Pfn) -> Option<Pfn> {
        self.correct.frame_of(pfn).filter(|_| self.defect != Defect::NeverInitialises)
    }

    fn altmap_in_use(&self) -> PageCount {
        self.correct.altmap_in_use()
    }
}
