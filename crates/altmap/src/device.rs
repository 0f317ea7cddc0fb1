//! An altmap: existing frames of a device, and the record of the frames that hold blocks.

use core::marker::PhantomData;

use sparsemem_core::{
    Geometry, MemoryModel, PageCount, Pfn, PfnRange, Rejected, SectionShape, SubsectionBits,
};

use crate::pool::{FramePool, GiveBackError, TakeError, TooFewWords};
use crate::room::{MemmapRule, room_needed};
use crate::spec::{AltmapError, AltmapSpec};

/// The caller wanted to release an altmap while its blocks are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{in_use} of the altmap at frame {base} are still in use; retire the memory with descriptors in them first"
)]
pub struct StillInUse {
    /// First frame of the altmap.
    pub base: Pfn,
    /// Number of frames in use.
    pub in_use: PageCount,
}

/// Frames of a device that hold its own memmap, and the record of the frames in use.
///
/// It lives from before the device is added until after it is removed. [`WithAltmap`] passes it to the calls that add
/// and remove. Its bits lie in words of the caller: [`FramePool::words_needed`] of them.
///
/// ```
/// use sparsemem_altmap::{Altmap, AltmapSpec, FramePool};
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{PageCount, Pfn};
///
/// // A device at 4 GiB sets 1022 frames aside, after two for its driver.
/// let spec = AltmapSpec::new(Pfn::new(0x10_0000), PageCount::new(2), PageCount::new(1022))?;
/// let mut words = [0; 32];
/// assert_eq!(FramePool::words_needed(spec.free()), words.len() as u64);
/// // SAFETY: the frames are the device's memory, of which nothing else uses any.
/// let altmap = unsafe { Altmap::<X86_64>::claim(spec, &mut words) }?;
/// assert_eq!(altmap.in_use(), PageCount::new(0));
/// // Memory is added and removed in between, with `WithAltmap`.
/// let back = altmap.release().map_err(|refused| refused.error)?;
/// assert_eq!(back, spec);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`WithAltmap`]: crate::WithAltmap
#[derive(Debug)]
pub struct Altmap<'w, G> {
    spec: AltmapSpec,
    pool: FramePool<'w>,
    geometry: PhantomData<fn() -> G>,
}

impl<'w, G: Geometry> Altmap<'w, G> {
    /// Takes the frames that `spec` sets aside for the memmap.
    ///
    /// # Errors
    ///
    /// [`TooFewWords`].
    ///
    /// # Safety
    ///
    /// The free frames of `spec`, of the size that `G` has, are memory, and nothing but blocks of this altmap lies in them
    /// until [`Altmap::release`] gives them back: for ever, if the altmap is dropped instead.
    pub unsafe fn claim(spec: AltmapSpec, words: &'w mut [u64]) -> Result<Self, TooFewWords> {
        let pool = FramePool::new(spec.free_frames(), words)?;
        Ok(Self { spec, pool, geometry: PhantomData })
    }

    /// Checks that `request` can be added with this altmap, before any of it is added: the conditions that Linux checks
    /// (base and offset, A-08), and that none of it is populated, that the altmap is not in use, lies below the
    /// geometry's maximum, and has room for the memmap by `rule`.
    ///
    /// An altmap that passes may still be too small where leaves of several sizes need aligned frames; the
    /// installation then fails, and leaves everything as it was.
    ///
    /// # Errors
    ///
    /// [`AltmapError`], naming the part that does not fit.
    pub fn check_add<M>(&self, model: &M, rule: MemmapRule, request: PfnRange) -> Result<(), AltmapError>
    where
        M: MemoryModel<Geometry = G>,
    {
        self.spec.validate(request)?;
        let beyond = |frames: &PfnRange| frames.end().get() > G::MAX_PFN;
        if let Some(frames) = [self.spec.frames(), request].into_iter().find(beyond) {
            return Err(AltmapError::BeyondMaximum { frames, last: Pfn::new(G::MAX_PFN - 1) });
        }
        if self.in_use().get() != 0 {
            return Err(AltmapError::InUse { in_use: self.in_use() });
        }
        check_absent(model, request)?;
        let free = self.spec.free();
        match room_needed(model, rule, self.spec.free_frames().start(), request) {
            Some(needed) if needed <= free => Ok(()),
            needed => {
                let needed = needed.unwrap_or(PageCount::new(u64::MAX));
                Err(AltmapError::TooSmall { request, needed, free })
            }
        }
    }

    /// Gives the frames back to the device.
    ///
    /// It is not enough that its own frames are retired: a section's memmap, or a large leaf, that lies here may also
    /// hold descriptors of neighbours. The block is given back when the last of them is retired through an environment
    /// that contains this altmap, alone or with others.
    ///
    /// Source: Linux warns when a device is unmapped with its altmap in use (A-11).
    ///
    /// # Errors
    ///
    /// [`StillInUse`] with the altmap, if any of its blocks are in use.
    pub fn release(self) -> Result<AltmapSpec, Rejected<StillInUse, Self>> {
        let in_use = self.in_use();
        if in_use.get() != 0 {
            let error = StillInUse { base: self.spec.base(), in_use };
            return Err(Rejected { error, returned: self });
        }
        Ok(self.spec)
    }

    /// The frames that are set aside.
    #[must_use]
    pub const fn spec(&self) -> AltmapSpec {
        self.spec
    }

    /// The number of frames that blocks lie in (Linux: `alloc`).
    #[must_use]
    pub const fn in_use(&self) -> PageCount {
        self.pool.in_use()
    }

    /// The number of free frames before frames that are in use (Linux: `align`).
    #[must_use]
    pub const fn skipped(&self) -> PageCount {
        self.pool.skipped()
    }

    /// Takes `count` frames out of the pool, and returns them.
    pub(crate) fn take(&mut self, count: PageCount, align: PageCount) -> Result<PfnRange, TakeError> {
        self.pool.take(count, align)
    }

    /// Puts the frames of a block back into the pool; the next block may get them.
    ///
    /// # Safety
    ///
    /// If the frames are a block, the caller owns it, and no other code uses it any more.
    pub(crate) unsafe fn give_back(&mut self, frames: PfnRange) -> Result<(), GiveBackError> {
        self.pool.give_back(frames)
    }
}

/// Refuses a request that is populated in part.
fn check_absent<M: MemoryModel>(model: &M, request: PfnRange) -> Result<(), AltmapError> {
    for (section, part) in request.by_section::<M::Geometry>() {
        // `by_section` gives parts of one section that are not empty: there is always a set.
        let wanted = SubsectionBits::touched::<M::Geometry>(part).unwrap_or_default();
        let populated = model.section(section).subsections.intersection(wanted);
        if !populated.is_empty() {
            return Err(AltmapError::Populated { request, section, populated });
        }
    }
    Ok(())
}
