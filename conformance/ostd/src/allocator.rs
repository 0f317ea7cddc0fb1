//! The page allocator of osdk, whose every frame is booked: in a bitmap until the model is up, and then in the model.

use core::alloc::Layout;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use osdk_frame_allocator::FrameAllocator;
use osdk_heap_allocator::{HeapAllocator, type_from_layout};
use ostd::mm::frame::GlobalFrameAllocator;
use ostd::mm::heap::SlotInfo;
use ostd::mm::{PAGE_SIZE, Paddr};
use sparsemem::{Pfn, PhysAddr, SectionShape, presets::X86_64};

use crate::slots::{Event, book};

const _: () = assert!(PAGE_SIZE as u64 == X86_64::PAGE_SIZE);

#[ostd::global_frame_allocator]
static FRAMES: Watched = Watched;

#[ostd::global_heap_allocator]
static HEAP: HeapAllocator = HeapAllocator;

#[ostd::global_heap_allocator_slot_map]
const fn slot_of(layout: Layout) -> Option<SlotInfo> {
    type_from_layout(layout)
}

/// True once the model is up.
static IS_UP: AtomicBool = AtomicBool::new(false);

/// Books all frames in the model from now on.
pub(crate) fn watch() {
    IS_UP.store(true, Ordering::Relaxed);
}

/// The frames that were given before the model was up, as far as they lie below 8 GiB.
static EARLY: [AtomicU64; 1 << 15] = [const { AtomicU64::new(0) }; 1 << 15];

/// The word of a frame in [`EARLY`], and its bit.
fn early(pfn: Pfn) -> Option<(&'static AtomicU64, u64)> {
    let word = EARLY.get(usize::try_from(pfn.get() / 64).ok()?)?;
    Some((word, 1 << (pfn.get() % 64)))
}

/// True if a frame was given before the model was up. ostd's metadata does not say it of frames with one owner.
pub(crate) fn was_given(pfn: Pfn) -> bool {
    early(pfn).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}

/// The allocator.
struct Watched;

impl Watched {
    /// Books an event of each frame of a block.
    fn book(start: Paddr, size: usize, event: Event) {
        for at in (start..start + size).step_by(PAGE_SIZE) {
            let pfn = PhysAddr::new(at as u64).pfn::<X86_64>();
            if IS_UP.load(Ordering::Relaxed) {
                book(pfn, event);
            } else if let Some((word, bit)) = early(pfn) {
                match event {
                    Event::Given => word.fetch_or(bit, Ordering::Relaxed),
                    Event::TakenBack => word.fetch_and(!bit, Ordering::Relaxed),
                };
            }
        }
    }
}

impl GlobalFrameAllocator for Watched {
    fn alloc(&self, layout: Layout) -> Option<Paddr> {
        let start = FrameAllocator.alloc(layout)?;
        Self::book(start, layout.size(), Event::Given);
        Some(start)
    }

    fn dealloc(&self, start: Paddr, size: usize) {
        Self::book(start, size, Event::TakenBack);
        FrameAllocator.dealloc(start, size);
    }

    fn add_free_memory(&self, start: Paddr, size: usize) {
        FrameAllocator.add_free_memory(start, size);
    }
}
