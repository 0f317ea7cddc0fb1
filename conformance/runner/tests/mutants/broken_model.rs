//! A subject with one defect; everything else is forwarded to a correct subject.

use std::cell::Cell;
use std::collections::BTreeSet;

use sparsemem_core::{
    BootError, BootEvent, BootSummary, EarlyFrames, Footprint, LeafSize, LookupError, MemoryRange,
    PagingDepth, Pfn, PfnRange, SectionFlags, SectionLoss, SectionNr, SectionState, SubsectionBits,
    TearDownError, VirtAddr, VirtRange,
};
use sparsemem_suite::{
    Balance, ByAddress, Deferral, Failure, Fault, Leaf, Life, MemmapSource, NotUp, Pages, Plug, Scratch,
    Shape, Spare, Subject, View, World, range,
};

use super::defect::Defect;
use super::plug::BrokenPlug;

/// A subject with a defect.
pub(crate) struct BrokenModel<'h> {
    pub(super) correct: &'h mut dyn Subject,
    pub(super) defect: Defect,
    boots: Cell<u64>,
    /// The sections whose bring-up failed.
    pub(super) failed: BTreeSet<SectionNr>,
}

impl<'h> BrokenModel<'h> {
    /// The correct subject, changed by a defect.
    pub(crate) fn new(correct: &'h mut dyn Subject, defect: Defect) -> Self {
        Self { correct, defect, boots: Cell::new(0), failed: BTreeSet::new() }
    }

    /// True if the subject has this defect.
    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    /// The frame that is looked up instead.
    fn frame(&self, pfn: Pfn) -> Pfn {
        let frames = self.correct.shape().frames();
        match self.defect {
            Defect::HighAlias => Pfn::new(pfn.get() & (frames - 1)),
            Defect::PairsShare => Pfn::new(pfn.get() & !1),
            Defect::HolesFound if !self.correct.is_valid(pfn) => Pfn::new(pfn.get().saturating_sub(1)),
            _ => pfn,
        }
    }

    /// True if the subject reports that a frame has no descriptor.
    fn denies(&self, pfn: Pfn) -> bool {
        let shape = self.correct.shape();
        match self.defect {
            Defect::NoneAtTop => pfn.get() % shape.section_frames() == shape.section_frames() - 1,
            Defect::HolesAbsent => self.is_hole(pfn),
            _ => false,
        }
    }

    /// True if a frame lies in a subsection without memory.
    fn is_hole(&self, pfn: Pfn) -> bool {
        let shape = self.correct.shape();
        let state = self.correct.section(SectionNr::new(shape.section_of(pfn.get())));
        let index = pfn.get() % shape.section_frames() / shape.subsection_frames();
        !state.subsections.contains(sparsemem_core::SubsectionIdx::new(u32::try_from(index).unwrap()))
    }

    /// The memory that is really booted from.
    fn memory(&self, memory: &[MemoryRange]) -> Vec<MemoryRange> {
        let mut reached = 0;
        let is_taken = |range: &&MemoryRange| {
            let follows = range.frames.start().get() >= reached;
            reached = reached.max(range.frames.end().get());
            follows || !self.has(Defect::NeedsOrder)
        };
        memory.iter().filter(is_taken).copied().collect()
    }

    /// True if the model reports an event to the caller of boot.
    fn passes_on(&self, event: &BootEvent) -> bool {
        !match event {
            BootEvent::SharedSection { .. } => self.has(Defect::SilentSharing),
            BootEvent::BeyondMaximum { .. } => self.has(Defect::SilentMaximum),
            BootEvent::SectionLost { .. } => self.has(Defect::SilentLoss),
            _ => false,
        }
    }

    /// The summary that is told.
    fn summary(&self, mut summary: BootSummary) -> BootSummary {
        match self.defect {
            Defect::OneRun => summary.runs = 1,
            Defect::RunOfNothing if summary.sections == 0 => summary.runs = 1,
            Defect::OtherSecondBoot if self.boots.get() > 1 => summary.runs += 1,
            _ => {}
        }
        summary
    }
}

impl View for BrokenModel<'_> {
    fn name(&self) -> &'static str {
        self.correct.name()
    }

    fn shape(&self) -> Shape {
        self.correct.shape()
    }

    fn descriptor_bytes(&self) -> u64 {
        self.correct.descriptor_bytes()
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.correct.footprint();
        if self.has(Defect::CheapMemmap) {
            footprint.memmap_bytes /= 2;
        }
        if self.has(Defect::OtherPlanes) && footprint.usage_bytes > 0 {
            footprint.plane_bytes += 8;
        }
        footprint
    }

    fn early_frames(&self) -> EarlyFrames {
        match self.defect {
            Defect::HolesDenied => EarlyFrames::Populated,
            Defect::ClaimsFrames => EarlyFrames::Reported,
            _ => self.correct.early_frames(),
        }
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        let mut state = self.correct.section(nr);
        match self.defect {
            Defect::ForgetsMark if self.failed.contains(&nr) => state = SectionState::ABSENT,
            Defect::ForgetsNode => state.early_node = None,
            Defect::NotEarly => state.flags.remove(SectionFlags::EARLY),
            Defect::AllSubsections if !state.flags.is_empty() => {
                state.subsections = SubsectionBits::from_words([u64::MAX]);
            }
            _ => {}
        }
        state
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        self.correct.next_present(from)
    }

    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        self.correct.next_valid(within)
    }

    fn present_sections(&self) -> Vec<SectionNr> {
        let mut present = self.correct.present_sections();
        if self.has(Defect::ForgetsLast) {
            present.pop();
        }
        if self.has(Defect::LooksAtAll) {
            present = (0..self.shape().sections()).map(SectionNr::new).collect();
            present.retain(|nr| !self.correct.section(*nr).flags.is_empty());
        }
        present
    }

    fn valid_ranges(&self, within: PfnRange) -> Vec<PfnRange> {
        let longer = range(within.start().get(), within.end().get().saturating_add(1));
        let runs = self.correct.valid_ranges(if self.has(Defect::Overruns) { longer } else { within });
        match (runs.first(), runs.last()) {
            (Some(first), Some(last)) if self.has(Defect::HolesWalked) => {
                vec![range(first.start().get(), last.end().get())]
            }
            _ => runs,
        }
    }

    fn is_valid(&self, pfn: Pfn) -> bool {
        self.correct.is_valid(self.frame(pfn)) && !self.denies(pfn)
    }

    fn lookup(&self, pfn: Pfn) -> Option<usize> {
        self.correct.lookup(self.frame(pfn)).filter(|_| !self.denies(pfn))
    }

    fn lookup_unchecked(&self, pfn: Pfn) -> Option<usize> {
        self.correct.lookup_unchecked(self.frame(pfn))
    }

    fn pfn_of(&self, pfn: Pfn) -> Option<Pfn> {
        let frame = self.correct.pfn_of(pfn)?;
        Some(Pfn::new(frame.get() + u64::from(self.has(Defect::NextFrame))))
    }

    fn pfn_by_address(&self, pfn: Pfn, promise: ByAddress) -> Option<Pfn> {
        self.correct.pfn_by_address(pfn, promise)
    }

    fn explain(&self, pfn: Pfn) -> Result<usize, LookupError> {
        let section = SectionNr::new(self.shape().section_of(pfn.get()));
        self.correct.explain(self.frame(pfn)).map_err(|error| match error {
            LookupError::BeyondMaximum { pfn, .. } if self.has(Defect::OtherReason) => {
                LookupError::AbsentSection { pfn, section }
            }
            error => error,
        })
    }

    fn read(&self, visit: &mut dyn FnMut(&dyn Pages)) {
        self.correct.read(&mut |pages| visit(&BrokenPages { model: self, pages }));
    }

    fn initialise(&self, frames: PfnRange) -> u64 {
        self.correct.initialise(frames)
    }

    fn world(&self) -> &dyn World {
        self
    }
}

impl Subject for BrokenModel<'_> {
    fn life(&self) -> Life {
        self.correct.life()
    }

    fn boot(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        self.boots.set(self.boots.get() + 1);
        let (memory, mut events) = (self.memory(memory), Vec::new());
        let booted = self.correct.boot(&memory, &mut |event| events.push(event));
        let lost = events.iter().find_map(|event| match event {
            BootEvent::SectionLost { why, .. } => Some(*why),
            _ => None,
        });
        if let (Defect::LoudLoss, Some(why)) = (self.defect, lost) {
            events.push(BootEvent::SectionLost { section: SectionNr::new(0), why });
            events
                .push(BootEvent::SectionLost { section: SectionNr::new(0), why: SectionLoss::OutsideRange });
        }
        events.into_iter().filter(|event| self.passes_on(event)).for_each(on_event);
        if self.has(Defect::Dirty) {
            self.correct.read(&mut |pages| pages.page(Pfn::new(0)).into_iter().for_each(|page| page.put(1)));
        }
        match booted {
            Err(NotUp::Boot(BootError::AlreadyUp { .. })) if self.has(Defect::BootsTwice) => {
                Ok(BootSummary::default())
            }
            booted => booted.map(|summary| self.summary(summary)),
        }
    }

    fn tear_down(&mut self) -> Result<(), TearDownError> {
        self.correct.tear_down()
    }

    fn deferral(&mut self) -> Option<&mut dyn Deferral> {
        Some(self)
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self
    }

    fn plug(
        &mut self,
        memory: &[MemoryRange],
        memmaps: MemmapSource,
        scenario: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let defect = self.defect;
        self.correct.plug(memory, memmaps, &mut |plug| scenario(&mut BrokenPlug::new(plug, defect)))
    }
}

/// A reader with the same defect.
struct BrokenPages<'l, 'h> {
    model: &'l BrokenModel<'h>,
    pages: &'l dyn Pages,
}

impl Pages for BrokenPages<'_, '_> {
    fn page(&self, pfn: Pfn) -> Option<&dyn Scratch> {
        let is_blind = self.model.has(Defect::BlindReader)
            && pfn.get().is_multiple_of(self.model.shape().section_frames());
        self.pages.page(self.model.frame(pfn)).filter(|_| !is_blind && !self.model.denies(pfn))
    }

    fn online_page(&self, pfn: Pfn) -> Option<&dyn Scratch> {
        if self.model.has(Defect::HolesOnline) { self.pages.page(pfn) } else { self.pages.online_page(pfn) }
    }

    fn head(&self, pfn: Pfn) -> Option<Pfn> {
        self.pages.head(pfn)
    }

    fn explain(&self, pfn: Pfn) -> Result<&dyn Scratch, LookupError> {
        self.pages.explain(pfn)
    }
}

impl World for BrokenModel<'_> {
    fn balance(&self) -> Balance {
        let mut balance = self.correct.world().balance();
        if self.has(Defect::Leaks) && self.boots.get() > 0 {
            balance.boot.blocks += 1;
        }
        balance
    }

    fn arm(&mut self, fault: Fault) {
        self.correct.world_mut().arm(fault);
    }

    fn heal(&mut self) -> u64 {
        self.correct.world_mut().heal()
    }

    fn can_refuse_links(&self) -> bool {
        self.correct.world().can_refuse_links()
    }

    fn largest_leaf(&self) -> LeafSize {
        self.correct.world().largest_leaf()
    }

    fn table_shift(&self) -> u32 {
        self.correct.world().table_shift()
    }

    fn depth(&self) -> PagingDepth {
        self.correct.world().depth()
    }

    fn leaf_at(&self, at: VirtAddr) -> Option<Leaf> {
        self.correct.world().leaf_at(at).filter(|_| !self.has(Defect::NotMapped))
    }

    fn leaves(&self, within: VirtRange, visit: &mut dyn FnMut(Leaf)) {
        let mut last = None;
        self.correct.world().leaves(within, &mut |mut leaf| {
            if self.has(Defect::SmallLeaves) {
                leaf.size = LeafSize::Size4KiB;
            }
            last = Some(leaf);
            visit(leaf);
        });
        if let (Defect::IdleLeaf, Some(mut leaf)) = (self.defect, last) {
            leaf.at = VirtAddr::new(leaf.at.get() + 16 * leaf.size.bytes());
            visit(leaf);
        }
    }

    fn is_readable(&self, at: VirtAddr) -> bool {
        self.has(Defect::NothingFaults) || self.correct.world().is_readable(at)
    }

    fn check(&self) -> Result<(), String> {
        self.correct.world().check()
    }

    fn ticks(&self) -> u64 {
        self.correct.world().ticks()
    }

    fn end_boot(&mut self) {
        self.correct.world_mut().end_boot();
    }

    fn spare(&self) -> Option<Spare> {
        self.correct.world().spare()
    }

    fn fingerprint(&self) -> u64 {
        self.correct.world().fingerprint()
    }
}
