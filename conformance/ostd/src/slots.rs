//! The model, and what this kernel keeps in it of a frame: how often it is in use.

use core::sync::atomic::{AtomicU64, Ordering};

use ostd::impl_frame_meta_for;
use ostd::mm::io::util::HasVmReaderWriter;
use ostd::mm::{FrameAllocOptions, HasPaddr, PAGE_SIZE};
use sparsemem::{
    ArrayPlace, BootError, ByteLen, Config, MemoryModel, NeverReclaim, OutOfMemory, PagingDepth, Pfn,
    PhysAddr, PhysRange, PlaceClaim, Slot, SlotValue, StaticReader, initialise, presets::X86_64,
};
use sparsemem_boot_maps::BootMap;
use sparsemem_environments::{BootArena, DirectMap, PageTables};
use sparsemem_x86_64_page_table::X86_64 as Entries;

use crate::compare::{Disagreement, Wrong};
use crate::regions::ram;

/// The record that this kernel keeps of a frame: as many bytes as ostd does.
pub(crate) struct Record {
    /// The number of users.
    users: AtomicU64,
    _rest: [AtomicU64; 6],
}

// SAFETY: it does not unwind.
unsafe impl SlotValue for Record {
    fn new(_: Pfn) -> Self {
        Self { users: AtomicU64::new(0), _rest: [const { AtomicU64::new(0) }; 6] }
    }
}

const _: () = assert!(size_of::<Slot<Record>>() == 64);

struct Kernel;

impl Config for Kernel {
    type Geometry = X86_64;
    type Page = Slot<Record>;
    type Reclaim = NeverReclaim;
    type Array = Array;
}

/// The place of vmemmap's array.
struct Array;

// SAFETY: ostd leaves the addresses from 0xffff_e100_0000_0000 to its image's unused, and has a table of its own for each 512
// GiB of the upper half, for ever and in every address space, through which it maps nothing there.
unsafe impl ArrayPlace for Array {
    const START: u64 = 0xffff_e200_0000_0000;
    const BYTES: u64 = 1 << 40;

    fn claim() -> &'static PlaceClaim {
        static CLAIM: PlaceClaim = PlaceClaim::new();
        &CLAIM
    }
}

sparsemem::declare! {
    static MODEL: Kernel;
}

/// The metadata in ostd of frames that hold the model's metadata.
#[derive(Debug)]
struct OfModel;
impl_frame_meta_for!(OfModel);

/// The reason why the model did not come up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootFailure {
    /// ostd's allocator has too little memory.
    #[error(transparent)]
    NoMemory(#[from] OutOfMemory),
    /// The model refuses the ranges.
    #[error(transparent)]
    Refused(#[from] BootError),
    /// Somebody has the writer.
    #[error("it has a writer")]
    Written,
    /// Some sections have no descriptors.
    #[error("{lost} sections have no descriptors")]
    Lost {
        /// The number of these sections.
        lost: u64,
    },
}

/// The model after its boot.
pub(crate) struct Booted {
    /// Its name.
    pub(crate) model: &'static str,
    /// Sections with RAM.
    pub(crate) sections: u64,
    /// Records of frames.
    pub(crate) records: u64,
    /// Bytes of metadata.
    pub(crate) bytes: u64,
}

/// Boots the model from a map, with memory of ostd's allocator, and makes the records of all RAM.
pub(crate) fn boot(map: &BootMap<'_>) -> Result<Booted, BootFailure> {
    let bytes = MODEL.boot_bytes(ram(map));
    let mut arena = arena(bytes)?;
    let mut writer = MODEL.write().ok_or(BootFailure::Written)?;
    let summary = writer.boot(&mut arena, ram(map), &mut |_| ())?;
    drop(writer);
    if summary.lost > 0 {
        return Err(BootFailure::Lost { lost: summary.lost });
    }
    let records = ram(map).map(|range| initialise(&MODEL, range.frames).get()).sum();
    Ok(Booted { model: MODEL.name(), sections: summary.sections, records, bytes: bytes.get() })
}

/// A boot environment over frames of ostd's allocator, which the model keeps, and ostd's page tables.
fn arena(bytes: ByteLen) -> Result<BootArena<PageTables<DirectMap>>, OutOfMemory> {
    let all = PhysRange::new(PhysAddr::new(0), PhysAddr::new(u64::MAX)).unwrap_or_default();
    // SAFETY: ostd maps all RAM at a fixed distance, for ever, and so it does the frames of the arena.
    let map = unsafe { DirectMap::new(start_of_linear_mapping(), all) };
    // SAFETY: these are the tables of ostd's kernel, of which all address spaces share the upper half, with four levels;
    // one processor runs.
    let tables = unsafe { PageTables::new(map, root(), PagingDepth::Four, Entries::forget) };
    let take = |bytes: ByteLen| {
        let frames = usize::try_from(bytes.get()).ok()?.div_ceil(PAGE_SIZE);
        let segment = FrameAllocOptions::new().zeroed(false).alloc_segment_with(frames, |_| OfModel).ok()?;
        let start = segment.paddr();
        core::mem::forget(segment);
        Some(PhysAddr::new(start as u64))
    };
    // SAFETY: the frames are the model's for ever, and the map reaches them.
    unsafe { BootArena::new(tables, bytes, take) }
}

/// The start of ostd's map of all physical memory: ostd does not publish it, but the address of a frame shows it.
fn start_of_linear_mapping() -> usize {
    let frame = FrameAllocOptions::new().alloc_frame();
    frame.map_or(0, |frame| frame.reader().cursor().expose_provenance() - frame.paddr())
}

/// The top-level page table that the processor uses.
fn root() -> PhysAddr {
    let root: u64;
    // SAFETY: reading the register changes nothing.
    unsafe { core::arch::asm!("mov {}, cr3", out(reg) root, options(nomem, nostack, preserves_flags)) };
    PhysAddr::new(root & 0x000f_ffff_ffff_f000)
}

/// A frame's record, if it is RAM.
pub(crate) fn record(pfn: Pfn) -> Option<&'static Record> {
    StaticReader::new(&MODEL).page(pfn).and_then(Slot::get)
}

/// A frame's number, from the address of its descriptor alone.
pub(crate) fn frame_of_descriptor(pfn: Pfn) -> Option<Pfn> {
    let page = MODEL.lookup(pfn)?;
    // SAFETY: the descriptor is of this model, was initialised if it has a record, and is never removed.
    Some(unsafe { MODEL.pfn_of(page) })
}

impl Record {
    /// True if somebody uses the frame.
    pub(crate) fn is_in_use(&self) -> bool {
        self.users.load(Ordering::Relaxed) != 0
    }

    /// Books a user who was there before.
    pub(crate) fn adopt(&self) {
        self.users.store(1, Ordering::Relaxed);
    }

    /// Books a user of a frame that has none; false if it has.
    fn begin(&self) -> bool {
        self.users.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Books that the user has gone; false if there was none.
    fn end(&self) -> bool {
        self.users.compare_exchange(1, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The counts of bookings.
pub(crate) struct Booked {
    /// Frames that the allocator gave.
    pub(crate) given: u64,
    /// Frames that it got back.
    pub(crate) taken_back: u64,
}

static GIVEN: AtomicU64 = AtomicU64::new(0);
static TAKEN_BACK: AtomicU64 = AtomicU64::new(0);
/// The first frame that could not be booked; an allocator cannot return an error.
static WRONG: AtomicU64 = AtomicU64::new(u64::MAX);

/// The events of a frame in the allocator.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// The allocator gives it.
    Given,
    /// The allocator gets it back.
    TakenBack,
}

/// Books an event of a frame, which nobody uses in ostd's metadata before it is given and after it was taken back.
pub(crate) fn book(pfn: Pfn, event: Event) {
    let unused = crate::compare::is_unused(pfn);
    let is_booked = record(pfn).is_some_and(|record| match event {
        Event::Given => record.begin(),
        Event::TakenBack => record.end(),
    });
    let counter = match event {
        Event::Given => &GIVEN,
        Event::TakenBack => &TAKEN_BACK,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    if !(unused && is_booked) {
        let _ = WRONG.compare_exchange(u64::MAX, pfn.get(), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The bookings until now.
///
/// # Errors
///
/// The first frame that could not be booked.
pub(crate) fn booked() -> Result<Booked, Disagreement> {
    match WRONG.load(Ordering::Relaxed) {
        u64::MAX => Ok(Booked {
            given: GIVEN.load(Ordering::Relaxed),
            taken_back: TAKEN_BACK.load(Ordering::Relaxed),
        }),
        pfn => Err(Disagreement::new(Pfn::new(pfn), Wrong::NotBooked)),
    }
}
