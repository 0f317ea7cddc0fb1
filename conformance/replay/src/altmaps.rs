//! The altmaps of the memory that is present.
//!
//! # Invariants
//!
//! 1. An altmap's frames lie in the memory that is added with it, and the machine's allocators never get them.

#![allow(unsafe_code, reason = "the caller of an altmap's constructor promises its frames")]

use std::collections::BTreeMap;
use std::vec::IntoIter;

use sparsemem_altmap::{Altmap, AltmapSpec, FramePool, WithAltmap};
use sparsemem_core::{Geometry, Pfn, PfnRange};
use sparsemem_machine::Machine;

use super::environment::Env;
use super::kernel::Geo;
use super::script::{Op, Script};

/// Words for the bits of altmaps: enough for all of a recording, each once for every time that it may be added.
pub(super) fn words(script: &Script) -> Vec<Vec<u64>> {
    let specs: Vec<AltmapSpec> = script.ops().filter_map(Op::altmap).collect();
    let largest = specs.iter().map(|spec| FramePool::words_needed(spec.free())).max().unwrap_or(0);
    let times = 1 + script.ops().filter(|op| op.removed().is_some()).count();
    vec![vec![0; usize::try_from(largest).unwrap_or(0)]; specs.len() * times]
}

/// Altmaps by the first frame of their memory.
pub(super) struct Altmaps<'w, G> {
    words: IntoIter<&'w mut Vec<u64>>,
    claimed: BTreeMap<Pfn, Altmap<'w, G>>,
}

impl<'w, G: Geometry> Altmaps<'w, G> {
    /// No altmaps; later ones use these words, one after the other.
    pub(super) fn new(words: &'w mut [Vec<u64>]) -> Self {
        let words: Vec<_> = words.iter_mut().collect();
        Self { words: words.into_iter(), claimed: BTreeMap::new() }
    }

    /// Claims the frames that added memory reserves for its altmap.
    pub(super) fn claim(&mut self, spec: AltmapSpec, machine: &Machine) -> Result<Altmap<'w, G>, String> {
        let frames = spec.free_frames();
        let managed = machine.memory().iter().map(|(range, _)| range.whole_frames::<Geo>());
        if let Some(ram) = managed.into_iter().find(|ram| ram.overlaps(frames)) {
            return Err(format!("the altmap {frames} lies in memory of boot: {ram}"));
        }
        if let Some(other) = self.claimed.values().find(|it| it.spec().free_frames().overlaps(frames)) {
            return Err(format!("the altmap {frames} overlaps that at {}", other.spec().base()));
        }
        let words = self.words.next().map(Vec::as_mut_slice).unwrap_or_default();
        // SAFETY: the frames are memory (devices and RAM that is added consist of whole frames that the machine has)
        // which the machine's allocators do not manage; no other altmap has them; only users of the added memory could
        // write there, and there are none.
        unsafe { Altmap::claim(spec, words) }.map_err(|error| error.to_string())
    }

    /// Keeps the altmap of memory that was added.
    pub(super) fn keep(&mut self, altmap: Altmap<'w, G>) {
        self.claimed.insert(altmap.spec().base(), altmap);
    }

    /// The altmap of some memory, to remove the memory with.
    pub(super) fn take(&mut self, frames: PfnRange) -> Option<Altmap<'w, G>> {
        self.claimed.remove(&frames.start())
    }

    /// The first altmap in some frames.
    pub(super) fn first_in(&self, frames: PfnRange) -> Option<AltmapSpec> {
        self.claimed.range(frames.start()..frames.end()).map(|(_, altmap)| altmap.spec()).next()
    }
}

/// An environment of the machine that takes memmaps from an altmap first.
pub(super) const fn env<'a, 'w, G: Geometry>(
    machine: &'a mut Machine,
    altmap: &'a mut Altmap<'w, G>,
) -> Env<'a, 'w, G> {
    // SAFETY: the direct map of the machine is one mapping of all its memory, for as long as the machine lives.
    unsafe { WithAltmap::new(machine, altmap) }
}
