//! The parts of the models under test: domains, memory, descriptor, usage, and a placement that frees by subsection.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::sync::Mutex;

use loom::sync::{RwLock, RwLockReadGuard};
use sparsemem_core::presets::Minute;
use sparsemem_core::{
    Block, Footprint, ForeignBlock, GracePeriod, MetadataMemory, NodeId, Origin, OutOfMemory, PageDescriptor,
    Pfn, PfnRange, PhysAddr, PhysMap, Reclaim, Rejected, SectionLoss, SectionShape, SubsectionBits,
    SubsectionIdx, Usage,
};
use sparsemem_section::{
    Content, Placement, Populate, PopulateRequest, RootedTable, SectionMemmap, SectionTable, SectionWord,
    SparseModel,
};
use sparsemem_usage_map::SectionUsage;

use crate::ledger;

pub(crate) type Rooted<R> =
    SparseModel<RootedTable<Minute, Descriptor, CheckedUsage, { Minute::NR_ROOTS_LEN }>, Piecewise, R>;

/// A model without sections.
pub(crate) fn model<R>() -> Rooted<R> {
    SparseModel::with(RootedTable::new(), Piecewise::new())
}

/// A descriptor of which only the address matters.
#[repr(align(32))]
pub(crate) struct Descriptor(#[allow(dead_code, reason = "only its address matters")] [u8; 32]);

// SAFETY: bytes; zero is valid, nothing to drop.
unsafe impl PageDescriptor for Descriptor {}

loom::lazy_static! {
    /// Readers share it; whoever waits for them takes it alone. Waiting costs no spinning, which loom would explore.
    static ref READERS: RwLock<()> = RwLock::new(());
}

/// Proof of being inside.
pub(crate) struct Inside {
    _shared: RwLockReadGuard<'static, ()>,
}

/// A domain that waits for its readers.
pub(crate) struct Patient;

// SAFETY: `synchronize` waits until no guard is left.
unsafe impl Reclaim for Patient {
    type Guard = Inside;

    fn enter() -> Inside {
        Inside { _shared: READERS.read().unwrap() }
    }
}

// SAFETY: see above.
unsafe impl GracePeriod for Patient {
    fn synchronize() {
        drop(READERS.write().unwrap());
    }
}

/// A domain that breaks its promise: it does not wait.
pub(crate) struct Impatient;

// SAFETY: none; this is the broken variant.
unsafe impl Reclaim for Impatient {
    type Guard = Inside;

    fn enter() -> Inside {
        Patient::enter()
    }
}

// SAFETY: none; this is the broken variant.
unsafe impl GracePeriod for Impatient {
    fn synchronize() {}
}

/// Memory that is written off instead of freed.
pub(crate) struct Memory;

// SAFETY: virtual addresses serve as physical ones.
unsafe impl PhysMap for Memory {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(at.get() as usize)).unwrap()
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        Some(PhysAddr::new(at.as_ptr().expose_provenance() as u64))
    }
}

// SAFETY: blocks are fresh from the heap, and stay allocated until the execution ends.
unsafe impl MetadataMemory for Memory {
    fn alloc_zeroed(&mut self, layout: Layout, _node: NodeId) -> Result<Block, OutOfMemory> {
        let start = NonNull::new(ledger::allocate(layout)).unwrap();
        let phys = PhysAddr::new(start.as_ptr().expose_provenance() as u64);
        // SAFETY: the block is fresh.
        Ok(unsafe { Block::from_parts(start, phys, layout, Origin::Runtime) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if ledger::write_off(block.start().addr().get()) {
            return Ok(());
        }
        Err(Rejected { error: block.foreign(), returned: block })
    }
}

/// A usage that knows whether it was given back.
pub(crate) struct CheckedUsage(SectionUsage<Minute>);

impl CheckedUsage {
    fn checked(&self) -> &SectionUsage<Minute> {
        ledger::assert_live(core::ptr::from_ref(self).addr());
        &self.0
    }
}

// SAFETY: it passes everything on to a usage that keeps the promise.
unsafe impl Usage for CheckedUsage {
    type Geometry = Minute;

    fn new(origin: Origin) -> Self {
        Self(SectionUsage::new(origin))
    }

    fn origin(&self) -> Origin {
        self.0.origin()
    }

    fn memmap_origin(&self) -> Origin {
        self.0.memmap_origin()
    }

    fn set_memmap_origin(&self, origin: Origin) {
        self.0.set_memmap_origin(origin);
    }

    fn contains(&self, index: SubsectionIdx) -> bool {
        self.checked().contains(index)
    }

    fn insert(&self, bits: SubsectionBits) {
        self.0.insert(bits);
    }

    fn remove(&self, bits: SubsectionBits) {
        self.0.remove(bits);
    }

    fn is_online(&self, index: SubsectionIdx) -> bool {
        self.checked().is_online(index)
    }

    fn insert_online(&self, bits: SubsectionBits) {
        self.0.insert_online(bits);
    }

    fn remove_online(&self, bits: SubsectionBits) {
        self.0.remove_online(bits);
    }

    fn online(&self) -> SubsectionBits {
        self.checked().online()
    }

    fn snapshot(&self) -> SubsectionBits {
        self.checked().snapshot()
    }
}

/// Frames of a subsection.
const PIECE: u64 = Minute::PAGES_PER_SUBSECTION;
/// Subsections of the geometry.
const PIECES: usize = (Minute::MAX_PFN / PIECE) as usize;

/// A placement that behaves like a virtual memmap: every subsection has memory of its own, which goes with it. Pieces
/// are found by frame number, so no page tables are needed.
pub(crate) struct Piecewise {
    pieces: Mutex<[usize; PIECES]>,
}

impl Piecewise {
    fn new() -> Self {
        Self { pieces: Mutex::new([0; PIECES]) }
    }

    fn descriptor_of(&self, pfn: Pfn) -> NonNull<Descriptor> {
        let piece = self.pieces.lock().unwrap()[(pfn.get() / PIECE) as usize];
        assert_ne!(piece, 0, "frame {pfn} was found without memory for its descriptor");
        let address = piece + (pfn.get() % PIECE) as usize * size_of::<Descriptor>();
        NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap()
    }

    fn layout() -> Layout {
        Layout::array::<Descriptor>(PIECE as usize).unwrap()
    }
}

type Table = RootedTable<Minute, Descriptor, CheckedUsage, { Minute::NR_ROOTS_LEN }>;

// SAFETY: one piece per subsection, found by frame number.
unsafe impl Placement<Table> for Piecewise {
    const NAME: &'static str = "piecewise";

    unsafe fn descriptor(&self, _word: SectionWord<Descriptor>, pfn: Pfn) -> NonNull<Descriptor> {
        self.descriptor_of(pfn)
    }

    unsafe fn descriptor_unchecked(&self, _table: &Table, pfn: Pfn) -> NonNull<Descriptor> {
        self.descriptor_of(pfn)
    }

    unsafe fn frame(&self, _table: &Table, _page: NonNull<Descriptor>) -> Pfn {
        unreachable!("no test goes back from descriptor to frame")
    }
}

// SAFETY: pieces are allocated in `populate` and written off in `shrink`.
unsafe impl Populate<Table, Memory> for Piecewise {
    fn populate(
        &self,
        _table: &Table,
        env: &mut Memory,
        request: &PopulateRequest,
        _refused: &mut dyn FnMut(ForeignBlock),
    ) -> Result<SectionMemmap<Descriptor>, SectionLoss> {
        let mut pieces = self.pieces.lock().unwrap();
        for piece in request.frames.start().get() / PIECE..request.frames.end().get() / PIECE {
            let block = env.alloc_memmap(Self::layout(), request.node).map_err(SectionLoss::Memmap)?;
            pieces[piece as usize] = block.start().as_ptr().expose_provenance();
        }
        let anything = NonNull::new(core::ptr::without_provenance_mut(1 << 20)).unwrap();
        Ok(SectionMemmap { first: anything, origin: Origin::Runtime, content: Content::Zero })
    }

    unsafe fn depopulate(
        &self,
        table: &Table,
        env: &mut Memory,
        frames: PfnRange,
        _memmap: SectionMemmap<Descriptor>,
        refused: &mut dyn FnMut(ForeignBlock),
    ) {
        // SAFETY: the caller's promise covers it.
        unsafe { self.shrink(table, env, frames, refused) };
    }

    unsafe fn shrink(
        &self,
        _table: &Table,
        _env: &mut Memory,
        frames: PfnRange,
        _refused: &mut dyn FnMut(ForeignBlock),
    ) {
        let pieces = self.pieces.lock().unwrap();
        for piece in frames.start().get() / PIECE..frames.end().get() / PIECE {
            ledger::write_off(pieces[piece as usize]);
        }
    }

    unsafe fn footprint(&self, _table: &Table, _env: &Memory) -> Footprint {
        Footprint::default()
    }
}

const _: () = assert!(Table::ENCODED_MODEL.len() > 0);
