//! The smallest complete memory model: a table of sections that boots, answers, and is torn down, for one kernel.
#![no_std]

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use sparsemem_core::{presets::X86_64, *};

/// A TiB of addresses.
const SECTIONS: usize = 8192;

const EARLY: SectionFlags = SectionFlags::all().difference(SectionFlags::TAINT_ZONE_DEVICE);

/// A section: its descriptors (null if it is absent) and where they are from, its node, its subsections with memory.
struct Section {
    memmap: AtomicPtr<Page>,
    origin: AtomicU8,
    node: AtomicU32,
    touched: AtomicU64,
}

/// The model. Every field is zero while it is down.
pub struct SmallTable {
    sections: [Section; SECTIONS],
    writer: WriterSlot,
}

// SAFETY: atomics, null pointers and an untaken slot are zero bytes.
unsafe impl ZeroIsNew for SmallTable {}

impl SmallTable {
    /// A section with its descriptors, if it is present.
    fn find(&self, nr: SectionNr) -> Option<(&Section, NonNull<Page>)> {
        let section = self.sections.get(usize::try_from(nr.get()).ok()?)?;
        // Acquire: pairs with the Release in `bring_up`, so that the descriptors are seen as zero.
        Some((section, NonNull::new(section.memmap.load(Ordering::Acquire))?))
    }

    fn present(&self) -> impl Iterator<Item = (SectionNr, &Section, NonNull<Page>)> {
        let all = (0..SECTIONS as u64).map(SectionNr::new);
        all.filter_map(|nr| self.find(nr).map(|(section, memmap)| (nr, section, memmap)))
    }

    fn layout() -> Layout {
        Layout::new::<[Page; X86_64::PAGES_PER_SECTION as usize]>()
    }

    /// Makes a section present, or finds it; marks the subsections of a part. Returns the node that it has.
    fn bring_up<E: MetadataMemory>(&self, env: &mut E, part: &BootPart) -> Result<NodeId, SectionLoss> {
        let index = usize::try_from(part.section.get()).ok();
        let section = index.and_then(|it| self.sections.get(it)).ok_or(SectionLoss::OutsideRange)?;
        if self.find(part.section).is_none() {
            if part.touch == Touch::Again {
                return Err(SectionLoss::OutsideRange); // reported with the first part already
            }
            let block = env.alloc_memmap(Self::layout(), part.node).map_err(SectionLoss::Memmap)?;
            section.origin.store(block.origin().code(), Ordering::Relaxed);
            section.node.store(part.node.get(), Ordering::Relaxed);
            section.touched.store(0, Ordering::Relaxed);
            section.memmap.store(block.start().cast().as_ptr(), Ordering::Release);
        }
        let bits = SubsectionBits::touched::<X86_64>(part.frames).unwrap_or_default().words()[0];
        section.touched.fetch_or(bits, Ordering::Relaxed);
        Ok(NodeId::new(section.node.load(Ordering::Relaxed)))
    }
}

// SAFETY: a section's block has a descriptor for each of its frames, zeroed, until teardown, which has the model for
// itself; all frames of a section are valid together. Only a writer stores to the sections of a shared model.
unsafe impl MemoryModel for SmallTable {
    type Geometry = X86_64;
    type Page = Page;
    type Reclaim = NeverReclaim;

    fn name(&self) -> &'static str {
        "small-table"
    }

    fn lookup_with(&self, pfn: Pfn, _: &<NeverReclaim as Reclaim>::Guard) -> Option<NonNull<Page>> {
        let (_, memmap) = self.find(pfn.section::<X86_64>())?;
        // SAFETY: the offset is less than the number of descriptors in the block.
        Some(unsafe { memmap.add(pfn.offset_in_section::<X86_64>().get() as usize) })
    }

    unsafe fn pfn_of(&self, page: NonNull<Page>) -> Pfn {
        let found = self.present().find_map(|(nr, _, memmap)| {
            let offset = page.addr().get().checked_sub(memmap.addr().get())? / size_of::<Page>();
            let frame = nr.first_pfn::<X86_64>()?.checked_add(PageCount::new(offset as u64))?;
            (frame.section::<X86_64>() == nr).then_some(frame)
        });
        found.expect("a descriptor of this model")
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        let Some((section, _)) = self.find(nr) else { return SectionState::ABSENT };
        let touched = SubsectionBits::from_words([section.touched.load(Ordering::Relaxed)]);
        SectionState { flags: EARLY, early_node: None, subsections: touched, online: touched }
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        self.present().map(|(nr, ..)| nr).find(|nr| *nr >= from)
    }

    fn writer_slot(&self) -> &WriterSlot {
        &self.writer
    }

    fn footprint(&self) -> Footprint {
        let memmap_bytes = self.present().count() as u64 * Self::layout().size() as u64;
        Footprint { table_bytes: size_of::<Self>() as u64, memmap_bytes, ..Footprint::default() }
    }
}

impl<E: MetadataMemory> BootModel<E> for SmallTable {
    fn boot<M: Iterator<Item = MemoryRange> + Clone>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: M,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError> {
        let (model, mut summary) = (writer.model(), BootSummary::default());
        if let Some(present) = model.next_present(SectionNr::new(0)) {
            return Err(BootError::AlreadyUp { present });
        }
        summary.by_section::<X86_64>(&memory, on_event, |part| model.bring_up(env, part));
        let node = |section: &Section| NodeId::new(section.node.load(Ordering::Relaxed));
        summary.count(model.present().map(|(nr, section, _)| (nr, node(section))));
        Ok(summary)
    }

    fn tear_down(&mut self, env: &mut E) -> Result<(), TearDownError> {
        self.writer = WriterSlot::new();
        let (mut lost, first) = (LostBlocks::default(), self.next_present(SectionNr::new(0)));
        for (_, section, memmap) in self.present() {
            let origin =
                Origin::from_code(section.origin.load(Ordering::Relaxed)).expect("stored by `bring_up`");
            section.memmap.store(core::ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: the block is that of `bring_up`; no reader is left, and the section is absent now.
            unsafe { lost.give_back(env, memmap.cast(), Self::layout(), origin) };
        }
        let section = first.unwrap_or(SectionNr::new(0));
        if lost.is_empty() { Ok(()) } else { Err(TearDownError::Lost { lost, section }) }
    }
}
