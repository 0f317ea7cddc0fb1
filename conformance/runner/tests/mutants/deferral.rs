//! Boots that wait, with a defect.

use sparsemem_core::{
    BootEvent, BootSummary, BringUpError, BroughtUp, LostBlocks, MemoryRange, Pfn, SectionNr,
};
use sparsemem_suite::{Deferral, NotUp, View as _};

use super::broken_model::BrokenModel;
use super::defect::Defect;

impl BrokenModel<'_> {
    /// The boots of the correct subject.
    fn deferral(&mut self) -> &mut dyn Deferral {
        self.correct.deferral().expect("the correct subject has boots that wait")
    }
}

impl Deferral for BrokenModel<'_> {
    fn boot_deferred(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        match self.defect {
            Defect::BootsAtOnce => self.correct.boot(memory, on_event),
            _ => self.deferral().boot_deferred(memory, on_event),
        }
    }

    fn bring_up(&mut self, section: SectionNr) -> Result<BroughtUp, BringUpError> {
        let up = self.deferral().bring_up(section);
        if up.is_err() {
            self.failed.insert(section);
        }
        if self.defect == Defect::Dirty {
            let first = Pfn::new(self.shape().first_frame(section.get()));
            self.correct.read(&mut |pages| pages.page(first).into_iter().for_each(|page| page.put(1)));
        }
        match up {
            Ok(BroughtUp::Before) if self.defect == Defect::BringsUpAgain => {
                Ok(BroughtUp::Now { lost: LostBlocks::default() })
            }
            up => up,
        }
    }
}
