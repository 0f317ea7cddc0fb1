//! A device that the world reserves for scenarios, and the altmap in its memory.
//!
//! # Invariants
//!
//! 1. A [`Spare`] is memory that no other code uses: the caller of its unsafe constructor promises that, and the
//!    unsafe code here relies on it.

#![allow(unsafe_code, reason = "the caller of an altmap's constructor promises its place")]

use sparsemem_altmap::{Altmap, AltmapSpec, TooFewWords, WithAltmap};
use sparsemem_core::{Geometry, MetadataMemory, PhysRange};

/// Memory that no code uses and that was not reported to boot: a device to plug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare(PhysRange);

impl Spare {
    /// The device with this memory.
    ///
    /// # Safety
    ///
    /// As long as the world lives, the range is memory that nothing uses but what is plugged by scenarios, one at a
    /// time; and the direct map of every environment of the world has it as [`WithAltmap::new`] asks: for reading and
    /// writing, contiguous, and aligned as it is in memory.
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
        // SAFETY: the frames lie in the device, whose memory exists and has no other user (`Spare::new`); one altmap
        // at a time is made of it, for the time that one model is plugged.
        inside.then(|| unsafe { Altmap::claim(spec, words) }.map(|altmap| Self { altmap }))
    }

    /// The altmap.
    pub(crate) const fn get(&self) -> &Altmap<'w, G> {
        &self.altmap
    }

    /// An environment that takes memmaps from this altmap first, and all else from `env`.
    pub(crate) const fn before<'a, E: MetadataMemory>(
        &'a mut self,
        env: &'a mut E,
    ) -> WithAltmap<'a, 'w, G, E> {
        // SAFETY: the frames lie in the device (`DeviceAltmap::claim`), which the direct map of the world's
        // environment has as `WithAltmap::new` asks (`Spare::new`); scenarios have no other environments.
        unsafe { WithAltmap::new(env, &mut self.altmap) }
    }
}
