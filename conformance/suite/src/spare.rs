//! A device that the world keeps for scenarios, and the altmap in its memory.
//!
//! # Invariants
//!
//! 1. A [`Spare`] is memory that nobody uses; who makes one promises it, and what is done with it here rests on that.

#![allow(unsafe_code, reason = "an altmap is told its place by a promise")]

use sparsemem_altmap::{Altmap, AltmapSpec, TooFewWords, WithAltmap};
use sparsemem_core::{Geometry, MetadataMemory, PhysRange};

/// Memory that is there, that nobody uses and no boot was told of: a device to plug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare(PhysRange);

impl Spare {
    /// The device with this memory.
    ///
    /// # Safety
    ///
    /// As long as the world is there, the range is memory that nothing uses but what is plugged by scenarios, one at a time;
    /// and the direct map of every environment of the world has it as [`WithAltmap::new`] asks: for reading and writing,
    /// contiguous, and aligned as it is in memory.
    #[must_use]
    pub const unsafe fn new(range: PhysRange) -> Self {
        Self(range)
    }

    /// Its memory.
    #[must_use]
    pub const fn range(self) -> PhysRange {
        self.0
    }
}

/// An altmap in a device: the frames of `spec` have to lie in it.
pub(crate) struct DeviceAltmap<'w, G> {
    altmap: Altmap<'w, G>,
}

impl<'w, G: Geometry> DeviceAltmap<'w, G> {
    /// Claims the free frames of `spec`; `None` if they do not lie in the device.
    pub(crate) fn claim(
        device: Spare,
        spec: AltmapSpec,
        words: &'w mut [u64],
    ) -> Option<Result<Self, TooFewWords>> {
        let inside = spec.frames().intersection(device.range().whole_frames::<G>()) == spec.frames();
        // SAFETY: the frames lie in the device, whose memory is there and nobody's (`Spare::new`); one altmap at a time
        // is made of it, for the time that one model is plugged.
        inside.then(|| unsafe { Altmap::claim(spec, words) }.map(|altmap| Self { altmap }))
    }

    /// The altmap.
    pub(crate) const fn get(&self) -> &Altmap<'w, G> {
        &self.altmap
    }

    /// An environment with this altmap before it.
    pub(crate) const fn before<'a, E: MetadataMemory>(
        &'a mut self,
        env: &'a mut E,
    ) -> WithAltmap<'a, 'w, G, E> {
        // SAFETY: the frames lie in the device (`DeviceAltmap::claim`), which the direct map of the world's environment
        // has as is asked (`Spare::new`); scenarios have no other environments.
        unsafe { WithAltmap::new(env, &mut self.altmap) }
    }
}
