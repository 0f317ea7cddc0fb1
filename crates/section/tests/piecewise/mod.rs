//! A placement with memory per subsection, which goes with it: what a virtual memmap does where a subsection's
//! descriptors fill pages, without page tables.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::sync::Mutex;

use sparsemem_core::presets::Minute;
use sparsemem_core::{
    Footprint, LostBlocks, MetadataMemory, Origin, PageDescriptor, Pfn, PfnRange, SectionLoss, SectionShape,
};
use sparsemem_section::{
    Content, Placement, Populate, PopulateRequest, SectionMemmap, SectionTable, SectionWord, Writing,
};

use crate::fixture::ledger;
use crate::fixture::memory::Memory;

/// Frames of a subsection.
const PIECE: u64 = Minute::PAGES_PER_SUBSECTION;
/// Subsections of the geometry.
const PIECES: usize = (Minute::MAX_PFN / PIECE) as usize;

/// Finds pieces by frame number.
pub(crate) struct Piecewise {
    /// The host's lock, not one of the model checker's: a lookup of a virtual array loads nothing.
    pieces: Mutex<[usize; PIECES]>,
}

impl Piecewise {
    pub(crate) fn new() -> Self {
        Self { pieces: Mutex::new([0; PIECES]) }
    }

    fn descriptor_of<P>(&self, pfn: Pfn) -> NonNull<P> {
        let piece = self.pieces.lock().unwrap()[(pfn.get() / PIECE) as usize];
        assert_ne!(piece, 0, "frame {pfn} was found without memory for its descriptor");
        let address = piece + (pfn.get() % PIECE) as usize * size_of::<P>();
        NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap()
    }
}

fn layout<P: PageDescriptor>() -> Layout {
    Layout::array::<P>(PIECE as usize).unwrap()
}

// SAFETY: one piece per subsection, found by frame number.
unsafe impl<T: SectionTable<Geometry = Minute>> Placement<T> for Piecewise {
    const NAME: &'static str = "piecewise";

    unsafe fn descriptor(&self, _word: SectionWord<T::Page>, pfn: Pfn) -> NonNull<T::Page> {
        self.descriptor_of(pfn)
    }

    unsafe fn descriptor_unchecked(&self, _table: &T, pfn: Pfn) -> NonNull<T::Page> {
        self.descriptor_of(pfn)
    }

    unsafe fn frame(&self, _table: &T, _page: NonNull<T::Page>) -> Pfn {
        unreachable!("no test goes back from descriptor to frame")
    }

    fn footprint(&self, _sections: u64) -> Footprint {
        Footprint::default()
    }
}

// SAFETY: pieces are allocated in `populate` and written off in `shrink`.
unsafe impl<T: SectionTable<Geometry = Minute>> Populate<T, Memory> for Piecewise {
    fn populate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut Memory,
        request: &PopulateRequest,
        _lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        let mut pieces = writing.placement().pieces.lock().unwrap();
        for piece in request.frames.start().get() / PIECE..request.frames.end().get() / PIECE {
            let block = env.alloc_memmap(layout::<T::Page>(), request.node).map_err(SectionLoss::Memmap)?;
            pieces[piece as usize] = block.start().as_ptr().expose_provenance();
        }
        let anything = NonNull::new(core::ptr::without_provenance_mut(1 << 20)).unwrap();
        Ok(SectionMemmap { first: anything, origin: Origin::Runtime, content: Content::Zero })
    }

    unsafe fn depopulate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut Memory,
        frames: PfnRange,
        _memmap: SectionMemmap<T::Page>,
        lost: &mut LostBlocks,
    ) {
        // SAFETY: the caller's promise covers it.
        unsafe { <Self as Populate<T, Memory>>::shrink(writing, env, frames, lost) };
    }

    unsafe fn shrink(
        writing: &mut Writing<'_, T, Self>,
        _env: &mut Memory,
        frames: PfnRange,
        _lost: &mut LostBlocks,
    ) {
        let pieces = writing.placement().pieces.lock().unwrap();
        for piece in frames.start().get() / PIECE..frames.end().get() / PIECE {
            ledger::write_off(pieces[piece as usize]);
        }
    }
}
