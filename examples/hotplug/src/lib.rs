//! A kernel with memory hotplug in a `static` lock: boot, then a memory module that is plugged in and pulled out, while
//! readers look frames up. Everything that a kernel writes is here; the test plugs a module.
#![no_std]

extern crate alloc;

use alloc::{boxed::Box, vec};
use sparsemem::{
    Config, MemoryModel, MemoryRange, MetadataMemory, NoArray, NodeId, Page, PfnRange, PhysRange, Selected,
    presets::X86_64, selected_len,
};
use sparsemem_environments::counted_readers;
use sparsemem_hotplug::{AllocatorHooks, BlockSize, FramesRefused, Hotplug, Limits, Storage};

counted_readers! {
    /// Memory is removed, so readers are counted. A kernel with RCU waits for that instead.
    pub struct Readers;
}

/// The parts of the model that this kernel provides.
pub struct Kernel;

impl Config for Kernel {
    type Geometry = X86_64;
    type Page = Page;
    type Reclaim = Readers;
    type Array = NoArray;
}

/// The model's type, for code that names it.
pub type Model = Selected<Kernel, { selected_len::<Kernel>() }>;

sparsemem::declare! {
    /// The frames of this machine and their descriptors.
    pub static MODEL: Kernel;
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
pub fn boot<E: MetadataMemory>(
    env: &mut E,
    firmware: &[(PhysRange, NodeId)],
    addressable: PfnRange,
) -> Hotplug<'static, Model> {
    let ranges = firmware.iter().map(|(bytes, node)| MemoryRange::from_bytes::<X86_64>(*bytes, *node));
    let mut writer = MODEL.write().expect("nobody else changes the model");
    let summary = writer.boot(env, ranges.clone(), &mut |_event| ()).expect("the first boot");
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
