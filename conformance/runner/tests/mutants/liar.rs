//! A subject that passes everything on to an honest one, but for one lie.

use std::cell::Cell;

use sparsemem_altmap::MemmapRule;
use sparsemem_core::{
    BootError, BootEvent, BootSummary, Footprint, LeafSize, LookupError, MemoryRange, PagingDepth, Pfn,
    PfnRange, SectionFlags, SectionLoss, SectionNr, SectionState, SubsectionBits, TearDownError, VirtAddr,
    VirtRange,
};
use sparsemem_suite::{
    Balance, Failure, Fault, Leaf, NotUp, Pages, Plug, Scratch, Shape, Spare, Subject, View, World, range,
};

use super::lie::Lie;
use super::plug::LyingPlug;

/// A subject with a lie.
pub(crate) struct Liar<'h> {
    honest: &'h mut dyn Subject,
    lie: Lie,
    boots: Cell<u64>,
}

impl<'h> Liar<'h> {
    /// An honest subject with a lie.
    pub(crate) fn new(honest: &'h mut dyn Subject, lie: Lie) -> Self {
        Self { honest, lie, boots: Cell::new(0) }
    }

    /// Whether this is the lie.
    fn tells(&self, lie: Lie) -> bool {
        self.lie == lie
    }

    /// The frame that is really looked at.
    fn frame(&self, pfn: Pfn) -> Pfn {
        let frames = self.honest.shape().frames();
        match self.lie {
            Lie::HighAlias => Pfn::new(pfn.get() & (frames - 1)),
            Lie::PairsShare => Pfn::new(pfn.get() & !1),
            _ => pfn,
        }
    }

    /// Whether a frame is said to have no descriptor.
    fn denies(&self, pfn: Pfn) -> bool {
        let shape = self.honest.shape();
        match self.lie {
            Lie::NoneAtTop => pfn.get() % shape.section_frames() == shape.section_frames() - 1,
            Lie::HolesAbsent => self.is_hole(pfn),
            _ => false,
        }
    }

    /// Whether a frame lies in a subsection without memory.
    fn is_hole(&self, pfn: Pfn) -> bool {
        let shape = self.honest.shape();
        let state = self.honest.section(SectionNr::new(shape.section_of(pfn.get())));
        let index = pfn.get() % shape.section_frames() / shape.subsection_frames();
        !state.subsections.contains(sparsemem_core::SubsectionIdx::new(u32::try_from(index).unwrap()))
    }

    /// The memory that is really booted from.
    fn memory(&self, memory: &[MemoryRange]) -> Vec<MemoryRange> {
        let mut reached = 0;
        let is_behind = |range: &&MemoryRange| {
            let behind = range.frames.start().get() >= reached;
            reached = reached.max(range.frames.end().get());
            behind || !self.tells(Lie::NeedsOrder)
        };
        memory.iter().filter(is_behind).copied().collect()
    }

    /// Whether an event is told.
    fn passes_on(&self, event: &BootEvent) -> bool {
        !match event {
            BootEvent::SharedSection { .. } => self.tells(Lie::SilentSharing),
            BootEvent::BeyondMaximum { .. } => self.tells(Lie::SilentMaximum),
            BootEvent::SectionLost { .. } => self.tells(Lie::SilentLoss),
            _ => false,
        }
    }

    /// The summary that is told.
    fn summary(&self, mut summary: BootSummary) -> BootSummary {
        match self.lie {
            Lie::OneRun => summary.runs = 1,
            Lie::RunOfNothing if summary.sections == 0 => summary.runs = 1,
            Lie::OtherSecondBoot if self.boots.get() > 1 => summary.runs += 1,
            _ => {}
        }
        summary
    }
}

impl View for Liar<'_> {
    fn name(&self) -> &'static str {
        self.honest.name()
    }

    fn shape(&self) -> Shape {
        self.honest.shape()
    }

    fn descriptor_bytes(&self) -> u64 {
        self.honest.descriptor_bytes()
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.honest.footprint();
        if self.tells(Lie::CheapMemmap) {
            footprint.memmap_bytes /= 2;
        }
        footprint
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        let mut state = self.honest.section(nr);
        match self.lie {
            Lie::NotEarly => state.flags.remove(SectionFlags::EARLY),
            Lie::AllSubsections if !state.flags.is_empty() => {
                state.subsections = SubsectionBits::from_words([u64::MAX]);
            }
            _ => {}
        }
        state
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        self.honest.next_present(from)
    }

    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        self.honest.next_valid(within)
    }

    fn present_sections(&self) -> Vec<SectionNr> {
        let mut present = self.honest.present_sections();
        if self.tells(Lie::ForgetsLast) {
            present.pop();
        }
        if self.tells(Lie::LooksAtAll) {
            present = (0..self.shape().sections()).map(SectionNr::new).collect();
            present.retain(|nr| !self.honest.section(*nr).flags.is_empty());
        }
        present
    }

    fn valid_ranges(&self, within: PfnRange) -> Vec<PfnRange> {
        let longer = range(within.start().get(), within.end().get().saturating_add(1));
        self.honest.valid_ranges(if self.tells(Lie::Overruns) { longer } else { within })
    }

    fn is_valid(&self, pfn: Pfn) -> bool {
        self.honest.is_valid(self.frame(pfn)) && !self.denies(pfn)
    }

    fn lookup(&self, pfn: Pfn) -> Option<usize> {
        self.honest.lookup(self.frame(pfn)).filter(|_| !self.denies(pfn))
    }

    fn lookup_unchecked(&self, pfn: Pfn) -> Option<usize> {
        self.honest.lookup_unchecked(self.frame(pfn))
    }

    fn pfn_of(&self, pfn: Pfn) -> Option<Pfn> {
        let frame = self.honest.pfn_of(pfn)?;
        Some(Pfn::new(frame.get() + u64::from(self.tells(Lie::NextFrame))))
    }

    fn explain(&self, pfn: Pfn) -> Result<usize, LookupError> {
        let section = SectionNr::new(self.shape().section_of(pfn.get()));
        self.honest.explain(self.frame(pfn)).map_err(|error| match error {
            LookupError::BeyondMaximum { pfn, .. } if self.tells(Lie::OtherReason) => {
                LookupError::AbsentSection { pfn, section }
            }
            error => error,
        })
    }

    fn read(&self, visit: &mut dyn FnMut(&dyn Pages)) {
        self.honest.read(&mut |pages| visit(&LyingPages { liar: self, pages }));
    }

    fn initialise(&self, frames: PfnRange) -> u64 {
        self.honest.initialise(frames)
    }

    fn world(&self) -> &dyn World {
        self
    }
}

impl Subject for Liar<'_> {
    fn boot(
        &mut self,
        memory: &[MemoryRange],
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, NotUp> {
        self.boots.set(self.boots.get() + 1);
        let (memory, mut events) = (self.memory(memory), Vec::new());
        let booted = self.honest.boot(&memory, &mut |event| events.push(event));
        let lost = events.iter().find_map(|event| match event {
            BootEvent::SectionLost { why, .. } => Some(*why),
            _ => None,
        });
        if let (Lie::LoudLoss, Some(why)) = (self.lie, lost) {
            events.push(BootEvent::SectionLost { section: SectionNr::new(0), why });
            events
                .push(BootEvent::SectionLost { section: SectionNr::new(0), why: SectionLoss::OutsideRange });
        }
        events.into_iter().filter(|event| self.passes_on(event)).for_each(on_event);
        if self.tells(Lie::Dirty) {
            self.honest.read(&mut |pages| pages.page(Pfn::new(0)).into_iter().for_each(|page| page.put(1)));
        }
        match booted {
            Err(NotUp::Boot(BootError::AlreadyUp { .. })) if self.tells(Lie::BootsTwice) => {
                Ok(BootSummary::default())
            }
            booted => booted.map(|summary| self.summary(summary)),
        }
    }

    fn tear_down(&mut self) -> Result<(), TearDownError> {
        self.honest.tear_down()
    }

    fn world_mut(&mut self) -> &mut dyn World {
        self
    }

    fn plug(
        &mut self,
        memory: &[MemoryRange],
        rule: MemmapRule,
        play: &mut dyn FnMut(&mut dyn Plug) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let lie = self.lie;
        self.honest.plug(memory, rule, &mut |plug| play(&mut LyingPlug::new(plug, lie)))
    }
}

/// A reader with the same lie.
struct LyingPages<'l, 'h> {
    liar: &'l Liar<'h>,
    pages: &'l dyn Pages,
}

impl Pages for LyingPages<'_, '_> {
    fn page(&self, pfn: Pfn) -> Option<&dyn Scratch> {
        let is_blind =
            self.liar.tells(Lie::BlindReader) && pfn.get().is_multiple_of(self.liar.shape().section_frames());
        self.pages.page(self.liar.frame(pfn)).filter(|_| !is_blind && !self.liar.denies(pfn))
    }

    fn online_page(&self, pfn: Pfn) -> Option<&dyn Scratch> {
        if self.liar.tells(Lie::HolesOnline) { self.pages.page(pfn) } else { self.pages.online_page(pfn) }
    }

    fn explain(&self, pfn: Pfn) -> Result<&dyn Scratch, LookupError> {
        self.pages.explain(pfn)
    }
}

impl World for Liar<'_> {
    fn balance(&self) -> Balance {
        let mut balance = self.honest.world().balance();
        if self.tells(Lie::Leaks) && self.boots.get() > 0 {
            balance.boot.blocks += 1;
        }
        balance
    }

    fn arm(&mut self, fault: Fault) {
        self.honest.world_mut().arm(fault);
    }

    fn heal(&mut self) -> u64 {
        self.honest.world_mut().heal()
    }

    fn can_refuse_links(&self) -> bool {
        self.honest.world().can_refuse_links()
    }

    fn largest_leaf(&self) -> LeafSize {
        self.honest.world().largest_leaf()
    }

    fn depth(&self) -> PagingDepth {
        self.honest.world().depth()
    }

    fn leaf_at(&self, at: VirtAddr) -> Option<Leaf> {
        self.honest.world().leaf_at(at).filter(|_| !self.tells(Lie::NotMapped))
    }

    fn leaves(&self, within: VirtRange, visit: &mut dyn FnMut(Leaf)) {
        let mut last = None;
        self.honest.world().leaves(within, &mut |mut leaf| {
            if self.tells(Lie::SmallLeaves) {
                leaf.size = LeafSize::Size4KiB;
            }
            last = Some(leaf);
            visit(leaf);
        });
        if let (Lie::IdleLeaf, Some(mut leaf)) = (self.lie, last) {
            leaf.at = VirtAddr::new(leaf.at.get() + 16 * leaf.size.bytes());
            visit(leaf);
        }
    }

    fn is_readable(&self, at: VirtAddr) -> bool {
        self.tells(Lie::NothingFaults) || self.honest.world().is_readable(at)
    }

    fn check(&self) -> Result<(), String> {
        self.honest.world().check()
    }

    fn ticks(&self) -> u64 {
        self.honest.world().ticks()
    }

    fn end_boot(&mut self) {
        self.honest.world_mut().end_boot();
    }

    fn spare(&self) -> Option<Spare> {
        self.honest.world().spare()
    }

    fn fingerprint(&self) -> u64 {
        self.honest.world().fingerprint()
    }
}
