//! The altmaps of the devices that are present.
//!
//! # Invariants
//!
//! 1. An altmap's frames lie in a device that is added with it, and the machine's allocators never get them.

#![allow(unsafe_code, reason = "the caller of an altmap's constructor promises its frames")]

use std::collections::BTreeMap;
use std::vec::IntoIter;

use sparsemem_altmap::{Altmap, AltmapSpec, FramePool, WithAltmap};
use sparsemem_core::{Pfn, PfnRange};
use sparsemem_machine::Machine;

use super::model::Env;
use super::script::{Geo, Op, Script};

/// Words for the bits of every altmap of a recording, in order.
pub(super) fn words(script: &Script) -> Vec<Vec<u64>> {
    let specs = script.steps.iter().flat_map(|step| &step.ops).filter_map(|op| match op {
        Op::AddDevice { altmap, .. } => *altmap,
        _ => None,
    });
    let words = |spec: AltmapSpec| usize::try_from(FramePool::words_needed(spec.free())).unwrap_or(0);
    specs.map(|spec| vec![0; words(spec)]).collect()
}

/// Altmaps by the first frame of their device.
pub(super) struct Altmaps<'w> {
    words: IntoIter<&'w mut Vec<u64>>,
    claimed: BTreeMap<Pfn, Altmap<'w, Geo>>,
}

impl<'w> Altmaps<'w> {
    /// No altmaps; later ones use these words, one after the other.
    pub(super) fn new(words: &'w mut [Vec<u64>]) -> Self {
        let words: Vec<_> = words.iter_mut().collect();
        Self { words: words.into_iter(), claimed: BTreeMap::new() }
    }

    /// Claims the frames that a device reserves for its altmap.
    pub(super) fn claim(&mut self, spec: AltmapSpec, machine: &Machine) -> Result<Altmap<'w, Geo>, String> {
        let frames = spec.free_frames();
        let managed = machine.memory().iter().map(|(range, _)| range.whole_frames::<Geo>());
        if let Some(ram) = managed.into_iter().find(|ram| ram.overlaps(frames)) {
            return Err(format!("the altmap {frames} lies in memory of boot: {ram}"));
        }
        if let Some(other) = self.claimed.values().find(|it| it.spec().free_frames().overlaps(frames)) {
            return Err(format!("the altmap {frames} overlaps that at {}", other.spec().base()));
        }
        let words = self.words.next().map(Vec::as_mut_slice).unwrap_or_default();
        // SAFETY: the frames are memory (a device consists of whole frames that the machine has) which the machine's
        // allocators do not manage; no other altmap has them; only users of the device could write there, and there
        // are none.
        unsafe { Altmap::claim(spec, words) }.map_err(|error| error.to_string())
    }

    /// Keeps the altmap of a device that was added.
    pub(super) fn keep(&mut self, altmap: Altmap<'w, Geo>) {
        self.claimed.insert(altmap.spec().base(), altmap);
    }

    /// The altmap of a device, to remove it with.
    pub(super) fn take(&mut self, device: PfnRange) -> Option<Altmap<'w, Geo>> {
        self.claimed.remove(&device.start())
    }
}

/// An environment of the machine that takes memmaps from an altmap first.
pub(super) const fn env<'a, 'w>(machine: &'a mut Machine, altmap: &'a mut Altmap<'w, Geo>) -> Env<'a, 'w> {
    // SAFETY: the direct map of the machine is one mapping of all its memory, for as long as the machine lives.
    unsafe { WithAltmap::new(machine, altmap) }
}
