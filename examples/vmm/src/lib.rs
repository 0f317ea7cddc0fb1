//! A virtual machine monitor over `vm-memory`: a record for each page of its guest, also of memory that is plugged later.

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use sparsemem::*;
use sparsemem_environments::{StdHeap, counted_readers};
use vm_memory::{Address, GuestAddress, GuestMemoryBackend, GuestMemoryRegion, GuestUsize};

counted_readers! {
    /// Processor threads and the device model look pages up; memory is unplugged beside them.
    pub struct Readers;
}

/// The record of a page.
#[derive(Debug, Default)]
pub struct GuestPage {
    /// Written since the last round of migration.
    pub dirty: AtomicBool,
    /// Private to a confidential guest.
    pub private: AtomicBool,
    stamp: Stamp,
}

// SAFETY: atomics: zeros are valid, nothing has to be dropped, and nothing unwinds.
unsafe impl PageDescriptor for GuestPage {
    unsafe fn initialise(&self, _: Pfn, section: SectionNr) {
        // SAFETY: the caller promises the same.
        unsafe { self.stamp.set(section) }
    }
}

// SAFETY: `initialise` sets it.
unsafe impl SectionStamp for GuestPage {
    fn section(&self) -> SectionNr {
        self.stamp.section()
    }
}

pub struct Vmm;
impl Config for Vmm {
    type Geometry = presets::X86_64;
    type Page = GuestPage;
    type Reclaim = Readers;
    type Array = NoArray;
}

/// The model of one guest.
pub type Model = Selected<Vmm, { selected_len::<Vmm>() }>;

/// The records of one guest's pages, and the heap that they come from.
pub struct Pages {
    model: Box<Model>,
    heap: Mutex<StdHeap>,
}

fn frames(start: GuestAddress, len: GuestUsize) -> PfnRange {
    let bytes = PhysRange::from_start_count(PhysAddr::new(start.raw_value()), ByteLen::new(len));
    bytes.unwrap_or_default().whole_frames::<presets::X86_64>()
}

impl Pages {
    /// Records for the memory of a guest.
    pub fn of(memory: &impl GuestMemoryBackend) -> Result<Self, Box<dyn Error>> {
        let ranges: Vec<_> = memory.iter().map(|region| frames(region.start_addr(), region.len())).collect();
        let (model, mut heap) = (Box::new(Model::new()), StdHeap::default());
        let boot = ranges.iter().map(|frames| MemoryRange { frames: *frames, node: NodeId::new(0) });
        let mut writer = model.write().ok_or("nobody else has the model")?;
        let lost = writer.boot(&mut heap, boot, &mut |_| ())?.lost;
        drop(writer);
        for frames in ranges {
            initialise(&*model, frames);
        }
        if lost > 0 { Err("no memory for the records".into()) } else { Ok(Self { model, heap: heap.into() }) }
    }

    /// Uses the record of the page at an address, if the guest has one there.
    pub fn with<T>(&self, at: GuestAddress, act: impl FnOnce(&GuestPage) -> T) -> Option<T> {
        let pfn = PhysAddr::new(at.raw_value()).pfn::<presets::X86_64>();
        self.model.read().page(pfn).map(act)
    }

    /// Makes records for a block of a virtio-mem device, whole subsections of one section (2 MiB of 128).
    pub fn plug(&self, at: GuestAddress, len: GuestUsize) -> Result<(), Box<dyn Error>> {
        let mut heap = self.heap.lock().map_err(|_| "an earlier plug panicked")?; // it keeps writers apart, too
        let mut writer = self.model.write().ok_or("the lock keeps writers apart")?;
        Ok(writer.install(&mut *heap, frames(at, len), NodeId::new(0))?)
    }

    /// Removes them, once no thread looks at one any more.
    pub fn unplug(&self, at: GuestAddress, len: GuestUsize) -> Result<(), Box<dyn Error>> {
        let mut heap = self.heap.lock().map_err(|_| "an earlier plug panicked")?;
        let mut writer = self.model.write().ok_or("the lock keeps writers apart")?;
        let retired = writer.retire(&mut *heap, frames(at, len))?;
        if retired.lost.is_empty() { Ok(()) } else { Err(retired.lost.to_string().into()) }
    }
}
