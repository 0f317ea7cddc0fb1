//! A kernel with memory hotplug: boot, then a memory module that is plugged in and pulled out, while readers look frames up.
//!
//! Everything that a kernel writes is above the test: the domain that protects readers, the environment (here over a heap),
//! and the page allocator's side. The test plugs a module.
#![no_std]

extern crate alloc;

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::collections::BTreeMap;
use alloc::{boxed::Box, vec};
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use sparsemem::{
    Block, Config, ForeignBlock, GracePeriod, MemoryModel, MemoryRange, MetadataMemory, NoArray, NodeId,
    Origin, OutOfMemory, Page, PfnRange, PhysAddr, PhysMap, PhysRange, Reclaim, Rejected, Selected,
    presets::X86_64, selected_len,
};
use sparsemem_hotplug::{AllocatorHooks, BlockSize, FramesRefused, Hotplug, Limits, Storage};

/// The parts of the model that this kernel provides.
pub struct Kernel;

impl Config for Kernel {
    type Geometry = X86_64;
    type Page = Page;
    type Reclaim = Readers; // memory is removed, so readers are counted
    type Array = NoArray;
}

/// The model's type, for code that names it.
pub type Model = Selected<Kernel, { selected_len::<Kernel>() }>;

sparsemem::declare! {
    /// The frames of this machine and their descriptors.
    pub static MODEL: Kernel;
}

/// Readers that are counted in one word. A kernel with RCU waits for that instead.
pub struct Readers;

/// A reader.
pub struct Guard(());

/// The number of guards that exist.
static READERS: AtomicU64 = AtomicU64::new(0);

impl Drop for Guard {
    fn drop(&mut self) {
        // Release: what the reader did happens before `synchronize` sees it gone.
        READERS.fetch_sub(1, Ordering::Release);
    }
}

// SAFETY: `synchronize` returns only after it saw no guard at all.
unsafe impl Reclaim for Readers {
    type Guard = Guard;

    fn enter() -> Guard {
        READERS.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `synchronize`: either that sees this guard, or this reader sees what was unpublished.
        fence(Ordering::SeqCst);
        Guard(())
    }
}

// SAFETY: a guard that existed at the call is counted until it is dropped; the fences order a later one after the call.
unsafe impl GracePeriod for Readers {
    fn synchronize() {
        fence(Ordering::SeqCst);
        // Acquire: pairs with the Release of the last guard.
        while READERS.load(Ordering::Acquire) != 0 {
            core::hint::spin_loop();
        }
    }
}

/// Metadata from the kernel's heap, whose memory is mapped at a fixed distance from its physical address.
pub struct Heap {
    /// The address where physical address 0 is mapped.
    pub direct_map: usize,
    /// The blocks that are out, so that no other is ever freed here.
    pub blocks: BTreeMap<PhysAddr, Layout>,
}

// SAFETY: the heap lies in the direct map.
unsafe impl PhysMap for Heap {
    fn phys_to_virt(&self, at: PhysAddr) -> NonNull<u8> {
        let start = core::ptr::with_exposed_provenance_mut(self.direct_map.wrapping_add(at.get() as usize));
        NonNull::new(start).unwrap_or(NonNull::dangling())
    }

    fn virt_to_phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        let offset = at.as_ptr().expose_provenance().checked_sub(self.direct_map)?;
        Some(PhysAddr::new(offset as u64))
    }
}

// SAFETY: the heap gives no byte twice, zeroes what it gives, and takes back only what is in `blocks`. A heap that is
// exhausted by the list of blocks ends the kernel and does not unwind.
unsafe impl MetadataMemory for Heap {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let none = OutOfMemory::new(layout, node);
        // SAFETY: a model asks for no empty block.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(none)?;
        let phys = self.virt_to_phys(start).ok_or(none)?;
        self.blocks.insert(phys, layout);
        // SAFETY: the block is new, and nobody else has it.
        Ok(unsafe { Block::from_parts(start, phys, layout, Origin::Runtime) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if self.blocks.get(&block.phys()) != Some(&block.layout()) {
            return Err(Rejected { error: block.foreign(), returned: block });
        }
        self.blocks.remove(&block.phys());
        // SAFETY: the block is one of this heap, and it was just given up.
        unsafe { dealloc(block.start().as_ptr(), block.layout()) };
        Ok(())
    }
}

/// The page allocator's side: it counts the frames that it has; a real one puts them on its lists.
#[derive(Default)]
pub struct Frames {
    /// Frames that may be handed out.
    pub free: u64,
}

impl AllocatorHooks for Frames {
    fn give(&mut self, _: PfnRange) -> Result<(), FramesRefused> {
        Ok(()) // only now it could refuse; `release` comes when all others agreed
    }

    fn release(&mut self, frames: PfnRange) {
        self.free += frames.count().get();
    }

    fn isolate(&mut self, frames: PfnRange) -> Result<(), FramesRefused> {
        self.free -= frames.count().get(); // a real one refuses frames that cannot be moved
        Ok(())
    }

    fn evacuate(&mut self, _: PfnRange) -> Result<(), FramesRefused> {
        Ok(()) // nobody uses any
    }

    fn take(&mut self, _: PfnRange) {}
}

/// Boots the model from what the firmware says is memory, and makes hotplug's tables. Keep the result in a lock.
///
/// # Panics
///
/// If the model is up already, or memory for metadata was short.
pub fn boot(
    heap: &mut Heap,
    firmware: &[(PhysRange, NodeId)],
    addressable: PfnRange,
) -> Hotplug<'static, Model> {
    let ranges = firmware.iter().map(|(bytes, node)| MemoryRange::from_bytes::<X86_64>(*bytes, *node));
    let mut writer = MODEL.write().expect("nobody else changes the model");
    let summary = writer.boot(heap, ranges.clone(), &mut |_event| ()).expect("the first boot");
    assert_eq!(summary.lost, 0, "a section has no metadata");
    drop(writer);
    for range in ranges {
        sparsemem::initialise(&MODEL, range.frames);
    }
    // Room for 64 blocks, 4 notifiers and 64 resources.
    let storage = Storage {
        blocks: Box::leak(vec![None; 64].into()),
        notifiers: Box::leak(vec![None; 4].into()),
        resources: Box::leak(vec![None; 64].into()),
    };
    let limits = Limits { addressable, block: BlockSize::SECTION };
    let mut hotplug = Hotplug::new(&MODEL, limits, storage);
    for (bytes, node) in firmware {
        hotplug.adopt_boot(*bytes, *node).expect("what was just booted");
    }
    hotplug
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use sparsemem::{PageCount, Pfn};
    use sparsemem_hotplug::Ram;
    use std::sync::Mutex;

    /// Where a kernel keeps it.
    static HOTPLUG: Mutex<Option<Hotplug<'static, Model>>> = Mutex::new(None);

    #[test]
    fn a_module_is_plugged_in_used_and_pulled_out() {
        let mut heap = Heap { direct_map: 0, blocks: BTreeMap::new() };
        let mut frames = Frames::default();
        let ram = PhysRange::new(PhysAddr::new(0), PhysAddr::new(256 << 20)).unwrap();
        let all = PfnRange::new(Pfn::new(0), Pfn::new(1 << 34)).unwrap();
        *HOTPLUG.lock().unwrap() = Some(boot(&mut heap, &[(ram, NodeId::new(0))], all));
        let at_boot = heap.blocks.len();

        // 128 MiB at 4 GiB, on node 1.
        let module = PfnRange::from_start_count(Pfn::new(0x10_0000), PageCount::new(0x8000)).unwrap();
        let mut hotplug = HOTPLUG.lock().unwrap();
        let hotplug = hotplug.as_mut().unwrap();
        hotplug.add_memory(&mut heap, module, NodeId::new(1), Ram::default()).unwrap();
        hotplug.online(&mut frames, module).unwrap();
        assert_eq!(frames.free, 0x8000);
        assert!(MODEL.read().online_page(module.start()).is_some());

        hotplug.offline(&mut frames, module).unwrap();
        let removed = hotplug.remove_memory(&mut heap, module).unwrap();
        assert!(removed.lost.is_empty() && MODEL.read().page(module.start()).is_none());
        assert_eq!((frames.free, heap.blocks.len()), (0, at_boot), "everything came back");
    }
}
