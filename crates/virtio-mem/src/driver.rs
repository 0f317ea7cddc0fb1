//! The driver: which memory is plugged and unplugged, and what is compared with the device.

use sparsemem_core::{
    ByteLen, Geometry, InstallModel, LostBlocks, MarkModel, MemoryModel, NodeId, PageCount, PfnRange,
    PhysRange, RetireModel, Retired,
};
use sparsemem_hotplug::{Direction, Hotplug, Limits, Ram};

use crate::asking::Asking;
use crate::device::{Outcome, change, run_of, state, unplug_all};
use crate::select::{Fill, Layout};
use crate::{AttachError, Config, Device, Error, KeepsOff, Request, Run, State};

/// The name of the memory in the table of resources, as Linux has it.
const NAME: &str = "System RAM (virtio_mem)";

/// The parts of a kernel that an operation of the driver works with.
#[derive(Debug)]
pub struct Kernel<'k, 'h, M: MemoryModel, E, H, D> {
    /// The records of physical memory, with the model.
    pub hotplug: &'k mut Hotplug<'h, M>,
    /// The environment of the model. It must not put metadata into memory of the device.
    pub env: &'k mut E,
    /// The page allocator; wrap it in [`WithReserved`](sparsemem_hotplug::WithReserved) if there is memory that must
    /// stay.
    pub allocator: &'k mut H,
    /// The device.
    pub device: &'k mut D,
}

/// The result of a resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "lost blocks are lost memory that the caller should report"]
pub struct Resized {
    /// Bytes that are plugged now.
    pub plugged: ByteLen,
    /// Bytes that the device requests. The two differ by less than a unit.
    pub requested: ByteLen,
    /// Metadata blocks that the environment refused.
    pub lost: LostBlocks,
}

/// The driver of one memory device.
///
/// It remembers nothing about blocks: what is plugged is what the model has. So it costs a few words, and model and
/// driver cannot differ; whether the device agrees is what [`verify`](Self::verify) compares.
///
/// The device's blocks are added as subsections, online at once, and their frames are valid only while they are
/// plugged. If the device has smaller blocks than a subsection, it is asked for all blocks of a subsection together. A
/// memory block exists while any of its memory does.
#[derive(Debug)]
pub struct VirtioMem<G> {
    layout: Layout<G>,
    region: PhysRange,
    block: ByteLen,
    node: NodeId,
    ram: Ram,
    /// Frames that the model does not have, and the device may: there was no answer.
    unsure: Option<PfnRange>,
}

impl<G: Geometry> VirtioMem<G> {
    /// A driver for a device with this configuration. Its memory belongs to `node`, which the kernel looks up for
    /// [`Config::proximity_domain`].
    ///
    /// # Errors
    ///
    /// [`AttachError`] if no part of the device's region can be memory here.
    pub fn new(config: &Config, limits: &Limits<G>, node: NodeId) -> Result<Self, AttachError> {
        let layout = Layout::new(config, limits)?;
        let ram = Ram::driver_managed(NAME).unwrap_or_default().merging();
        Ok(Self { layout, region: config.region(), block: config.block(), node, ram, unsure: None })
    }

    /// The frames that may be plugged at all.
    #[must_use]
    pub const fn region(&self) -> PfnRange {
        self.layout.region
    }

    /// The frames that are plugged and unplugged together: one block of the device, or one subsection.
    #[must_use]
    pub const fn unit(&self) -> PageCount {
        PageCount::new(self.layout.unit)
    }

    /// The bytes that the model has of this device.
    #[must_use]
    pub fn plugged<M: MemoryModel<Geometry = G>>(&self, model: &M) -> ByteLen {
        ByteLen::new(Layout::count(model, self.layout.region) << G::PAGE_SHIFT)
    }

    /// Begins to use the device, or goes on after it was reset: afterwards device and model have the same blocks.
    ///
    /// If the model has none of its memory and the device still has some plugged, which an earlier kernel may have
    /// left, the device is asked to unplug all. Otherwise the two are compared as by [`verify`](Self::verify).
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the device does not unplug its memory now; [`Error::Disagree`] and [`Error::Sizes`] if a
    /// reset took memory that the kernel uses: its contents are lost.
    pub fn start<M, D>(&mut self, hotplug: &Hotplug<'_, M>, device: &mut D) -> Result<(), Error>
    where
        M: MemoryModel<Geometry = G>,
        D: Device,
    {
        let config = self.config(device)?;
        if self.plugged(hotplug.model()).get() == 0 {
            if config.plugged().get() > 0 || self.unsure.is_some() {
                unplug_all(device)?;
            }
            self.unsure = None;
        }
        self.settle(device)?;
        self.verify(hotplug, device)
    }

    /// Compares all usable blocks of the device with the model.
    ///
    /// # Errors
    ///
    /// [`Error::Disagree`] with the lowest blocks in which they differ, [`Error::Sizes`], [`Error::Device`],
    /// [`Error::Config`], [`Error::Changed`].
    pub fn verify<M, D>(&self, hotplug: &Hotplug<'_, M>, device: &mut D) -> Result<(), Error>
    where
        M: MemoryModel<Geometry = G>,
        D: Device,
    {
        let (model, config) = (hotplug.model(), self.config(device)?);
        let usable = self.layout.usable(&config);
        let mut rest = usable;
        while !rest.is_empty() {
            let (frames, ours) = self.layout.same(model, rest);
            let theirs = state(device, self.run(frames)?)?;
            if ours != theirs {
                return Err(Error::Disagree { frames, model: ours, device: theirs });
            }
            (_, rest) = rest.split_at(frames.end());
        }
        let (_, frames) = self.layout.region.split_at(usable.end());
        let beyond = Layout::state(model, frames);
        if !frames.is_empty() && beyond != State::Unplugged {
            return Err(Error::Disagree { frames, model: beyond, device: State::Unplugged });
        }
        self.check_sizes(model, &config)
    }

    /// Plugs or unplugs until the plugged size is the requested size, as closely as whole units allow.
    ///
    /// Memory blocks that exist are filled first, then new ones, lowest first; highest memory is unplugged first. What
    /// the allocator does not let go is left out, and lower memory is unplugged instead. Each run within a memory block
    /// is an operation of its own, and all or nothing. Source: Linux `virtio_mem_run_wq`. Differs from Linux: it goes
    /// on with single units where a run stays, but does not retry by a timer. Retrying is the caller's.
    ///
    /// # Errors
    ///
    /// [`Error`] of the run that failed, which is as it was, or of the first run that stays. The runs before it are
    /// plugged or unplugged: call this again when the reason is gone.
    pub fn resize<M, E, H, D>(&mut self, kernel: &mut Kernel<'_, '_, M, E, H, D>) -> Result<Resized, Error>
    where
        M: InstallModel<E> + RetireModel<E> + MarkModel + MemoryModel<Geometry = G>,
        H: KeepsOff,
        D: Device,
    {
        self.settle(kernel.device)?;
        let config = self.config(kernel.device)?;
        self.check_sizes(kernel.hotplug.model(), &config)?;
        let (have, requested) = (self.plugged(kernel.hotplug.model()), config.requested());
        let unit = self.layout.unit << G::PAGE_SHIFT;
        let mut lost = LostBlocks::default();
        self.grow(kernel, self.layout.usable(&config), requested.get().saturating_sub(have.get()) / unit)?;
        self.shrink(kernel, have.get().saturating_sub(requested.get()) / unit, &mut lost)?;
        Ok(Resized { plugged: self.plugged(kernel.hotplug.model()), requested, lost })
    }

    /// Takes all memory of the device away, whatever it requests, for a driver that is unloaded. Blocks that the device
    /// has and the model does not are unplugged as well.
    ///
    /// # Errors
    ///
    /// As [`resize`](Self::resize).
    pub fn unplug_all<M, E, H, D>(
        &mut self,
        kernel: &mut Kernel<'_, '_, M, E, H, D>,
    ) -> Result<LostBlocks, Error>
    where
        M: RetireModel<E> + MarkModel + MemoryModel<Geometry = G>,
        H: KeepsOff,
        D: Device,
    {
        let mut lost = LostBlocks::default();
        self.shrink(kernel, u64::MAX, &mut lost)?;
        self.start(kernel.hotplug, kernel.device)?;
        Ok(lost)
    }

    /// Plugs frames: whole units that are unplugged. All or nothing.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing has changed then.
    pub fn plug<M, E, H, D>(
        &mut self,
        kernel: &mut Kernel<'_, '_, M, E, H, D>,
        frames: PfnRange,
    ) -> Result<(), Error>
    where
        M: InstallModel<E> + RetireModel<E> + MarkModel + MemoryModel<Geometry = G>,
        H: KeepsOff,
        D: Device,
    {
        self.settle(kernel.device)?;
        let run = self.run(frames)?;
        let Kernel { hotplug, env, allocator, device } = kernel;
        let mut asking =
            Asking::new(&mut **allocator, &mut **device, run, Direction::Online, &mut self.unsure);
        let plugged = hotplug.plug(*env, &mut asking, frames, self.node, self.ram);
        plugged.map_err(|why| asking.refused.map_or(Error::Kernel(why), Error::Device))
    }

    /// Unplugs frames: whole units that are plugged and that the allocator lets go. All or nothing.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing has changed then.
    pub fn unplug<M, E, H, D>(
        &mut self,
        kernel: &mut Kernel<'_, '_, M, E, H, D>,
        frames: PfnRange,
    ) -> Result<Retired, Error>
    where
        M: RetireModel<E> + MarkModel + MemoryModel<Geometry = G>,
        H: KeepsOff,
        D: Device,
    {
        self.settle(kernel.device)?;
        let run = self.run(frames)?;
        let Kernel { hotplug, env, allocator, device } = kernel;
        let mut asking =
            Asking::new(&mut **allocator, &mut **device, run, Direction::Offline, &mut self.unsure);
        hotplug.unplug(*env, &mut asking, frames).map_err(|why| match asking.refused {
            _ if asking.stranded => Error::Stranded { frames },
            Some(refused) => Error::Device(refused),
            None => Error::Kernel(why),
        })
    }

    /// Plugs units until none is wanted.
    fn grow<M, E, H, D>(
        &mut self,
        kernel: &mut Kernel<'_, '_, M, E, H, D>,
        usable: PfnRange,
        mut wanted: u64,
    ) -> Result<(), Error>
    where
        M: InstallModel<E> + RetireModel<E> + MarkModel + MemoryModel<Geometry = G>,
        H: KeepsOff,
        D: Device,
    {
        let mut first = None;
        for fill in [Fill::Existing, Fill::Any] {
            let mut rest = usable;
            while wanted > 0 {
                let (model, blocks) = (kernel.hotplug.model(), kernel.hotplug.blocks());
                let Some(run) = self.layout.next_gap(model, blocks, rest, wanted, fill) else { break };
                match self.plug(kernel, run) {
                    Ok(()) => wanted -= self.units_of(run),
                    Err(why) if why.is_about_frames() => drop(first.get_or_insert(why)),
                    Err(why) => return Err(why),
                }
                (_, rest) = rest.split_at(run.end());
            }
        }
        first.filter(|_| wanted > 0).map_or(Ok(()), Err)
    }

    /// Unplugs units until none is surplus, or none is left.
    fn shrink<M, E, H, D>(
        &mut self,
        kernel: &mut Kernel<'_, '_, M, E, H, D>,
        mut surplus: u64,
        lost: &mut LostBlocks,
    ) -> Result<(), Error>
    where
        M: RetireModel<E> + MarkModel + MemoryModel<Geometry = G>,
        H: KeepsOff,
        D: Device,
    {
        let (mut first, mut rest) = (None, self.layout.region);
        let mut one_by_one = PfnRange::default();
        while surplus > 0 {
            let most = if one_by_one.overlaps(rest) { 1 } else { surplus };
            let Some(run) = self.layout.next_there(kernel.hotplug.model(), rest, most) else { break };
            match self.unplug(kernel, run) {
                Ok(retired) => {
                    lost.add(retired.lost);
                    surplus -= self.units_of(run);
                }
                // Some of it may go, so its units are next, one by one.
                Err(why) if why.is_about_frames() && self.units_of(run) > 1 => {
                    first.get_or_insert(why);
                    one_by_one = run;
                    continue;
                }
                Err(why) if why.is_about_frames() => drop(first.get_or_insert(why)),
                Err(why) => return Err(why),
            }
            (rest, _) = rest.split_at(run.start());
        }
        first.filter(|_| surplus > 0).map_or(Ok(()), Err)
    }

    /// Finds out about blocks for which there was no answer, and unplugs them: the model does not have them.
    fn settle<D: Device>(&mut self, device: &mut D) -> Result<(), Error> {
        let Some(frames) = self.unsure else { return Ok(()) };
        for unit in self.layout.units(frames) {
            let run = self.run(unit)?;
            if state(device, run)? == State::Unplugged {
                continue;
            }
            match change(device, Request::Unplug(run)) {
                Outcome::Done => {}
                Outcome::Refused(refused) | Outcome::Unknown(refused) => return Err(refused.into()),
            }
        }
        self.unsure = None;
        Ok(())
    }

    /// The configuration, if the device is still the one that it was.
    fn config<D: Device>(&self, device: &mut D) -> Result<Config, Error> {
        let config = device.config()?;
        if config.region() != self.region || config.block() != self.block {
            return Err(Error::Changed { then: self.region, now: config.region() });
        }
        Ok(config)
    }

    /// Checks that device and model have the same amount of memory.
    fn check_sizes<M: MemoryModel<Geometry = G>>(&self, model: &M, config: &Config) -> Result<(), Error> {
        let (model, device) = (self.plugged(model), config.plugged());
        if model == device { Ok(()) } else { Err(Error::Sizes { model, device }) }
    }

    /// The device's blocks of some units.
    fn run(&self, frames: PfnRange) -> Result<Run, Error> {
        let run = run_of::<G>(frames, self.block).filter(|_| self.layout.is_run(frames));
        run.ok_or(Error::NotUnits { frames, region: self.layout.region, unit: self.unit() })
    }

    fn units_of(&self, run: PfnRange) -> u64 {
        run.count().get() / self.layout.unit
    }
}
