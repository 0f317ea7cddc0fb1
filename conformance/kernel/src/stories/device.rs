//! The setting of stories about a virtio-mem device: the device, its driver, and whether all agree on its memory.

use alloc::vec::Vec;

use sparsemem::{ByteLen, MemoryModel, NodeId, PageCount, PfnRange, SectionShape};
use sparsemem_hotplug::{Reserved, WithReserved};
use sparsemem_suite::WorldWithEnvironment;
use sparsemem_virtio_mem::{Error, Kernel, Resized, VirtioMem};
use virtio_drivers::transport::InterruptStatus;

use super::Ended;
use super::checks::{StoryError, holds, same, some};
use super::host;
use super::system::{System, none_lost};
use crate::arch::{Sizes, pci};
use crate::frames::FRAMES;
use crate::glue::MODEL;
use crate::virtio_mem::{self, DevicePages, MemoryDevice};
use crate::{direct_map, paging, say};

/// The host's name of the device.
const ID: &str = "vm0";
/// The node of the device on the machine of these stories.
const NODE: NodeId = NodeId::new(1);

/// Bytes of so many MiB.
pub(super) const fn mib(count: u64) -> u64 {
    count << 20
}

/// Frames that hold something which must stay.
pub(super) struct Staying(pub(super) PfnRange);

impl Reserved for Staying {
    fn pinned(&self, frames: PfnRange) -> Option<PfnRange> {
        self.next_reserved(frames)
    }

    fn next_reserved(&self, frames: PfnRange) -> Option<PfnRange> {
        Some(self.0).filter(|staying| staying.overlaps(frames))
    }
}

/// A device with its driver, in a system.
pub(super) struct Attached<'a, 's> {
    /// The system.
    pub(super) system: &'a mut System<'s>,
    /// The device.
    pub(super) device: MemoryDevice,
    /// Its driver.
    pub(super) driver: VirtioMem<Sizes>,
    /// The page allocator.
    pub(super) pages: DevicePages,
}

impl<'a, 's> Attached<'a, 's> {
    /// Begins to use the device, or returns why the story cannot be told.
    pub(super) fn begin(system: &'a mut System<'s>) -> Result<Result<Self, Ended>, StoryError> {
        if let Some(why) = pci::CANNOT {
            return Ok(Err(Ended::Skipped(why)));
        }
        let (device, config) = virtio_mem::device()?;
        let (region, block, domain) = (config.region(), config.block(), config.proximity_domain());
        say!("  a device with blocks of {block} in {region}, node {domain:?}");
        let driver = virtio_mem::driver(&config, &system.hotplug)?;
        let mut attached = Self { system, device, driver, pages: DevicePages::default() };
        attached.start()?;
        attached.agree(0)?;
        Ok(Ok(attached))
    }

    /// Begins to use the device, or goes on after it was reset.
    pub(super) fn start(&mut self) -> Result<(), StoryError> {
        Ok(self.driver.start(&self.system.hotplug, &mut self.device)?)
    }

    /// Resets the device, and goes on with it. Its blocks stay.
    pub(super) fn reset(self) -> Result<Self, StoryError> {
        let Self { system, device, driver, pages } = self;
        drop(device);
        let (device, _) = virtio_mem::device()?;
        let mut attached = Self { system, device, driver, pages };
        attached.start()?;
        Ok(attached)
    }

    /// Has the host request a size, and checks that the device announces it.
    pub(super) fn request(&mut self, bytes: u64) -> Result<(), StoryError> {
        // Reading the status ends older announcements.
        let _ = self.device.ack_interrupt();
        let is_new = host::sizes(ID)?.1 != bytes;
        host::request(ID, bytes)?;
        let status = self.device.ack_interrupt();
        let announced = status.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT);
        holds("the device announces another requested size", announced || !is_new)
    }

    /// Plugs or unplugs what the device requests.
    pub(super) fn follow(&mut self) -> Result<Resized, Error> {
        let Self { system, device, driver, pages } = self;
        let (hotplug, env) = (&mut system.hotplug, system.world.env_mut());
        driver.resize(&mut Kernel { hotplug, env, allocator: pages, device })
    }

    /// The same; afterwards that is plugged, and nothing is lost.
    pub(super) fn follow_well(&mut self) -> Result<(), StoryError> {
        let resized = self.follow()?;
        same("bytes that the driver has plugged", &resized.requested, &resized.plugged)?;
        none_lost(&resized.lost)
    }

    /// The same as [`Attached::follow`], while some frames have to stay.
    pub(super) fn follow_without(&mut self, staying: &Staying) -> Result<Resized, Error> {
        let Self { system, device, driver, pages } = self;
        let (hotplug, env) = (&mut system.hotplug, system.world.env_mut());
        let mut allocator = WithReserved::new(pages, staying);
        driver.resize(&mut Kernel { hotplug, env, allocator: &mut allocator, device })
    }

    /// Takes all memory of the device away, whatever it requests.
    pub(super) fn unplug_all(&mut self) -> Result<(), StoryError> {
        let Self { system, device, driver, pages } = self;
        let (hotplug, env) = (&mut system.hotplug, system.world.env_mut());
        none_lost(&driver.unplug_all(&mut Kernel { hotplug, env, allocator: pages, device })?)
    }

    /// Has the host request a size, and follows: then that is plugged, and all agree.
    pub(super) fn resize(&mut self, bytes: u64) -> Result<(), StoryError> {
        self.request(bytes)?;
        self.follow_well()?;
        same("bytes on which all agree", &bytes, &self.agree(0)?)
    }

    /// The frames that the model has of the device.
    pub(super) fn plugged(&self) -> Vec<PfnRange> {
        MODEL.valid_ranges(self.driver.region()).collect()
    }

    /// Compares driver, device, host, page allocator, direct map and memory blocks; stories use so many frames of the
    /// device. Returns the bytes that are plugged.
    pub(super) fn agree(&mut self, used: u64) -> Result<u64, StoryError> {
        self.driver.verify(&self.system.hotplug, &mut self.device)?;
        let region = self.driver.region();
        let plugged = self.driver.plugged(&MODEL);
        same("bytes that are plugged, by the model and by the host", &plugged.get(), &host::sizes(ID)?.0)?;
        let there = self.plugged();
        let frames: u64 = there.iter().map(|run| run.count().get()).sum();
        let free = |within: PfnRange| FRAMES.lock().count(within);
        let in_runs: u64 = there.iter().map(|run| free(*run).0).sum();
        same("bytes of valid frames", &plugged, &ByteLen::new(frames << 12))?;
        same("frames of the device that are free or in use", &frames, &(in_runs + used))?;
        same("frames of the device that are free, and isolated", &(in_runs, 0), &free(region))?;
        let place = some("a place in the direct map", region.bytes::<Sizes>().and_then(direct_map::place))?;
        let mut mapped = 0;
        paging::leaves(place, &mut |leaf| mapped += leaf.size.bytes());
        same("bytes of the device in the direct map", &plugged.get(), &mapped)?;
        self.check_blocks(&there)?;
        Ok(plugged.get())
    }

    /// Fails unless there is a memory block of the device's node wherever its memory is, and nowhere else.
    fn check_blocks(&self, there: &[PfnRange]) -> Result<(), StoryError> {
        let region = self.driver.region();
        for (nr, part) in region.by_section::<Sizes>() {
            let is_there = there.iter().any(|run| run.overlaps(part));
            same("the node of a memory block", &is_there.then_some(NODE), &self.system.node_of(nr))?;
        }
        Ok(())
    }

    /// Uses some frames of each run that is plugged, and compares three views of their mappings.
    pub(super) fn try_out(&mut self) -> Result<(), StoryError> {
        for run in self.plugged() {
            let ends = run.split_at(run.start().saturating_add(PageCount::new(Sizes::PAGES_PER_SUBSECTION)));
            for part in [ends.0, ends.1].into_iter().filter(|part| !part.is_empty()) {
                super::system::put_frames(self.system.use_frames(part, 2)?);
            }
            let place = some("a place in the direct map", run.bytes::<Sizes>().and_then(direct_map::place))?;
            let bytes = self.system.mapped_by_all_views(place)?;
            holds("the direct map has all of a run", bytes == place.count().get())?;
        }
        Ok(())
    }
}
