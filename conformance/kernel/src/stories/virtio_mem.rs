//! Stories of a virtio-mem device: the host requests sizes, and after each step driver, device, host, page allocator and
//! direct map agree on what is plugged.

use alloc::format;
use core::hint::spin_loop;
use core::num::NonZeroU16;

use sparsemem::{Pfn, PfnRange};
use sparsemem_hotplug::{OfflineError, PartError, Reason};
use sparsemem_suite::{Fault, World};
use sparsemem_virtio_mem::{Answer, Device, Error, Request, Run};

use super::Ended;
use super::checks::{StoryError, holds, refusal, same, some};
use super::device::{Attached, Staying, mib};
use super::host;
use super::system::{System, none_lost, put_frames};
use crate::say;

/// The device of a story; ends the story if there is none.
macro_rules! attached {
    ($system:ident) => {
        match Attached::begin($system)? {
            Ok(attached) => attached,
            Err(ended) => return Ok(ended),
        }
    };
}

/// The host requests more and less memory, also in the middle of memory blocks and in many of them.
pub(super) fn grows_and_shrinks(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let mut it = attached!(system);
    for size in [2, 300, 64, 512, 130, 0, 1024, 0].map(mib) {
        it.resize(size)?;
        it.try_out()?;
        say!("  {} MiB: all agree", size >> 20);
    }
    Ok(Ended::Passed)
}

/// Memory in use, and memory that has to stay, is not unplugged; all other memory is.
pub(super) fn refused(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let mut it = attached!(system);
    it.resize(mib(256))?;
    let unit = it.driver.unit().get() << 12;
    // In the middle of the lower memory block, so that the upper one can go, and memory on both sides of them.
    let block = some("a run of plugged memory", it.plugged().first().copied())?;
    let middle = Pfn::new(block.start().get() + block.count().get() / 2);
    let used = it.system.use_frames(block.split_at(middle).1, 3)?;
    it.request(0)?;
    let is_in_use = |why: &Error| is_refusal(why, Reason::InUse);
    refusal("shrinking memory in use", it.follow(), is_in_use)?;
    same("bytes that stay, because frames are in use", &unit, &it.agree(3)?)?;
    refusal("shrinking memory in use once more", it.follow(), is_in_use)?;
    same("bytes that still stay", &unit, &it.agree(3)?)?;
    put_frames(used);
    it.resize(0)?;

    it.resize(mib(64))?;
    let all = some("a run of plugged memory", it.plugged().first().copied())?;
    let used = it.system.use_frames(all, 1)?;
    let first = some("a frame in use", used.first().copied())?;
    let staying = Staying(PfnRange::new(first, Pfn::new(first.get() + 1))?);
    it.request(0)?;
    let refused = it.follow_without(&staying);
    refusal("shrinking memory that has to stay", refused, |why| is_refusal(why, Reason::PINNED))?;
    same("bytes that stay, because they are reserved", &unit, &it.agree(1)?)?;
    put_frames(used);
    it.resize(0)?;
    Ok(Ended::Passed)
}

/// True if the allocator has refused to let frames go for this reason.
fn is_refusal(why: &Error, reason: Reason) -> bool {
    matches!(why, Error::Kernel(PartError::Offline(OfflineError::Allocator { why, .. })) if why.reason == reason)
}

/// While the virtual machine migrates, the device is busy: nothing changes, and memory stays usable. Later the same calls
/// succeed.
pub(super) fn busy(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let mut it = attached!(system);
    it.resize(mib(64))?;
    host::migrate()?;
    for wanted in [mib(128), 0] {
        it.request(wanted)?;
        refusal("resizing a device that is busy", it.follow(), Error::is_busy)?;
        same("bytes that a busy device has", &mib(64), &it.agree(0)?)?;
        it.try_out()?;
    }
    host::stay()?;
    it.follow_well()?;
    same("bytes after the migration", &0, &it.agree(0)?)?;
    it.resize(mib(128))?;
    it.resize(0)?;
    Ok(Ended::Passed)
}

/// A simulated shortage.
#[derive(Clone, Copy, Debug)]
enum Shortage {
    /// Page tables of the direct map are short.
    Tables,
    /// Metadata is short: one request fails.
    Allocation,
    /// Metadata is short: every request from one on fails.
    Allocations,
    /// One mapping of the model's array is refused.
    Link,
}

impl Shortage {
    /// Begins a shortage before request `nr`, counted from 0.
    fn begin(self, it: &mut Attached<'_, '_>, nr: u64) {
        let fault = match self {
            Self::Tables => return it.pages.arm(nr),
            Self::Allocation => Fault::NthAllocation(nr + 1),
            Self::Allocations => Fault::AllocationsAfter(nr),
            Self::Link => Fault::NthLink(nr + 1),
        };
        it.system.world.arm(fault);
    }

    /// Ends it, and returns how many requests were refused.
    fn end(self, it: &mut Attached<'_, '_>) -> u64 {
        match self {
            Self::Tables => it.pages.heal(),
            _ => it.system.world.heal(),
        }
    }
}

/// Every allocation of a resizing fails in turn: of metadata, of mappings, and of page tables of the direct map. Each time
/// nothing has changed, and the next call succeeds.
pub(super) fn out_of_memory(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let mut it = attached!(system);
    // Tables of the direct map stay, so they are missing only before there was anything.
    let mut points = fail_each(&mut it, Shortage::Tables, (0, mib(8)))?;
    holds("the direct map needs a page table", points > 0)?;
    for shortage in [Shortage::Allocation, Shortage::Allocations, Shortage::Link] {
        for step in [(0, mib(8)), (mib(8), mib(12)), (mib(12), 0)] {
            let failed = fail_each(&mut it, shortage, step)?;
            say!("  {shortage:?}, from {} to {} MiB: {failed} points", step.0 >> 20, step.1 >> 20);
            points += failed;
        }
    }
    it.resize(0)?;
    let counted = format!("{points} points at which an allocation or a mapping failed");
    Ok(Ended::Counted(counted))
}

/// Resizes from one size to another as often as there are requests that can fail, each of which fails once; then so that
/// none does. Returns the number of failures.
fn fail_each(
    it: &mut Attached<'_, '_>,
    shortage: Shortage,
    (from, to): (u64, u64),
) -> Result<u64, StoryError> {
    it.resize(from)?;
    for nr in 0.. {
        let before = it.system.snapshot();
        it.request(to)?;
        shortage.begin(it, nr);
        let result = it.follow();
        let refused = shortage.end(it);
        let after = match result {
            Ok(resized) => none_lost(&resized.lost).map(|()| to)?,
            Err(_) if refused > 0 => from,
            Err(why) => return Err(why.into()),
        };
        same("bytes on which all agree after a shortage", &after, &it.agree(0)?)?;
        if after == from {
            it.system.snapshot().check_is(&before)?;
        }
        if refused == 0 {
            return Ok(nr);
        }
        // Small pages may have taken the place of a large one that was refused, and then all is done.
        it.resize(from)?;
    }
    Ok(0)
}

/// The device is reset by its driver, is asked to unplug all, has blocks that the kernel knows nothing of, and is reset with
/// the virtual machine: then the kernel boots, and tells this story from the middle.
pub(super) fn reset(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let mut it = attached!(system);
    let config = it.device.config()?;
    if config.requested().get() > 0 {
        return after_reset(it, config.requested().get());
    }
    it.resize(mib(256))?;
    it = it.reset()?;
    same("bytes after a reset of the device", &mib(256), &it.agree(0)?)?;
    it.try_out()?;
    it.unplug_all()?;
    same("bytes after all was unplugged", &0, &it.agree(0)?)?;

    let run = Run { start: config.region().start(), blocks: NonZeroU16::MIN };
    same("the answer to a request of nobody", &Answer::Ack, &it.device.request(Request::Plug(run))?)?;
    let differ = it.driver.verify(&it.system.hotplug, &mut it.device);
    refusal("a block that only the device has", differ, |why| matches!(why, Error::Disagree { .. }))?;
    it.start()?;
    same("bytes after the driver has begun anew", &0, &it.agree(0)?)?;
    it.follow_well()?;
    same("bytes before the virtual machine is reset", &mib(256), &it.agree(0)?)?;
    host::reset();
    loop {
        spin_loop();
    }
}

/// The rest of the story, after the reset of the virtual machine: the device still requests a size, and has nothing.
fn after_reset(mut it: Attached<'_, '_>, requested: u64) -> Result<Ended, StoryError> {
    same("bytes that are requested after the reset", &mib(256), &requested)?;
    same("bytes after the reset", &0, &it.agree(0)?)?;
    it.follow_well()?;
    same("bytes that came again", &requested, &it.agree(0)?)?;
    it.try_out()?;
    it.resize(0)?;
    Ok(Ended::Passed)
}
