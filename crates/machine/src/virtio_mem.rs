//! A `virtio-mem` device, as a hypervisor has it: bytes of requests in, bytes of responses out.
//!
//! It shares no code with the driver: both have the layouts of VIRTIO 1.2, 5.15, from the specification.
//!
//! # Invariants
//!
//! 1. Only blocks of the usable region are plugged, and a request changes all of its blocks or none.
//! 2. Memory has contents while it is plugged. A load or store anywhere else is an error, which the caller reports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sparsemem_core::{ByteLen, PhysAddr, PhysRange};

/// An answer of the device to a request, other than the one that the specification asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// It refuses for the moment, which it may.
    Busy,
    /// It denies the request, which it may if the driver plugs too much.
    Nack,
    /// It finds the request not valid.
    Error,
    /// It answers with a number that has no meaning, and has done nothing.
    Garbled,
    /// It does what it is asked for, and answers with a number that has no meaning.
    GarbledAfter,
}

/// An access to memory that is not plugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("access to {at}, which is not plugged")]
pub struct Unplugged {
    /// The address.
    pub at: PhysAddr,
}

/// A request that the device answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The type of the request.
    pub request: u16,
    /// Its address.
    pub start: u64,
    /// Its number of blocks.
    pub blocks: u16,
    /// The type of the response.
    pub response: u16,
}

const ACK: u16 = 0;
const NACK: u16 = 1;
const BUSY: u16 = 2;
const ERROR: u16 = 3;
const MEANINGLESS: u16 = 77;

/// A memory device. Its clones are the same device, for the driver, for a test that plays the host, and for those who use
/// the memory.
#[derive(Clone, Debug)]
pub struct VirtioMemDevice {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    block: u64,
    node: u16,
    region: PhysRange,
    usable: u64,
    requested: u64,
    /// Numbers of plugged blocks of the region.
    plugged: BTreeSet<u64>,
    /// Words in plugged memory that were stored.
    words: BTreeMap<u64, u64>,
    /// The misbehaviours for the next requests that change blocks or ask for them; `None` for a good answer.
    script: VecDeque<Option<Misbehaviour>>,
    answered: Vec<Answered>,
}

impl VirtioMemDevice {
    /// A device with a region of which all is usable, in blocks of `block` bytes. It requests nothing yet.
    ///
    /// # Panics
    ///
    /// If the block is not a power of two, or the region does not consist of whole blocks.
    #[must_use]
    pub fn new(region: PhysRange, block: ByteLen, node: u16) -> Self {
        let (block, usable) = (block.get(), region.count().get());
        assert!(
            block.is_power_of_two() && (region.start().get() | usable).is_multiple_of(block),
            "not of whole blocks"
        );
        let state = State {
            block,
            node,
            region,
            usable,
            requested: 0,
            plugged: BTreeSet::new(),
            words: BTreeMap::new(),
            script: VecDeque::new(),
            answered: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host wants this much memory to be plugged; the usable region grows to it if it has to.
    pub fn request(&self, bytes: ByteLen) {
        let mut state = self.state();
        state.requested = bytes.get().min(state.region.count().get());
        state.usable = state.usable.max(state.requested);
    }

    /// The host allows plugging in the first `bytes` bytes only. Only for a device with no more than that plugged.
    pub fn limit(&self, bytes: ByteLen) {
        self.state().usable = bytes.get();
    }

    /// Sets the misbehaviours for the following requests, one after the other; `None` for what the specification asks
    /// for.
    pub fn misbehave(&self, script: impl IntoIterator<Item = Option<Misbehaviour>>) {
        self.state().script = script.into_iter().collect();
    }

    /// Ends a misbehaviour. Returns how many requests of the script were not made.
    #[must_use = "a script that did not run to its end tested less than it seems"]
    pub fn heal(&self) -> usize {
        std::mem::take(&mut self.state().script).len()
    }

    /// The virtual machine was reset: everything is unplugged.
    pub fn system_reset(&self) {
        let mut state = self.state();
        state.plugged.clear();
        state.words.clear();
    }

    /// The addresses at which it may plug memory.
    #[must_use]
    pub fn region(&self) -> PhysRange {
        self.state().region
    }

    /// The bytes that are plugged.
    #[must_use]
    pub fn plugged(&self) -> ByteLen {
        let state = self.state();
        ByteLen::new(state.plugged.len() as u64 * state.block)
    }

    /// The addresses of the plugged blocks, lowest first.
    #[must_use]
    pub fn plugged_blocks(&self) -> Vec<PhysAddr> {
        let state = self.state();
        state.plugged.iter().map(|nr| PhysAddr::new(state.region.start().get() + nr * state.block)).collect()
    }

    /// The requests since the last call of this.
    #[must_use]
    pub fn take_log(&self) -> Vec<Answered> {
        std::mem::take(&mut self.state().answered)
    }

    /// Stores a word in plugged memory.
    ///
    /// # Errors
    ///
    /// [`Unplugged`] if the memory is not plugged.
    pub fn store(&self, at: PhysAddr, word: u64) -> Result<(), Unplugged> {
        let mut state = self.state();
        state.check_access(at)?;
        state.words.insert(at.get(), word);
        Ok(())
    }

    /// Loads a word from plugged memory.
    ///
    /// # Errors
    ///
    /// [`Unplugged`] if the memory is not plugged.
    pub fn load(&self, at: PhysAddr) -> Result<u64, Unplugged> {
        let state = self.state();
        state.check_access(at)?;
        Ok(state.words.get(&at.get()).copied().unwrap_or(0xa5a5_a5a5_a5a5_a5a5))
    }

    /// The configuration space.
    #[must_use]
    pub fn config(&self) -> [u8; 56] {
        let state = self.state();
        let plugged = state.plugged.len() as u64 * state.block;
        let words = [
            state.block,
            // Padding without a meaning.
            0x5555_5555_5555_0000 | u64::from(state.node),
            state.region.start().get(),
            state.region.count().get(),
            state.usable,
            plugged,
            state.requested,
        ];
        let mut bytes = [0; 56];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Answers a request.
    #[must_use]
    pub fn answer(&self, request: &[u8; 24]) -> [u8; 10] {
        let mut state = self.state();
        let [k0, k1, _, _, _, _, _, _, s0, s1, s2, s3, s4, s5, s6, s7, b0, b1, ..] = *request;
        let kind = u16::from_le_bytes([k0, k1]);
        let start = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let blocks = u16::from_le_bytes([b0, b1]);
        let (response, detail) = match state.script.pop_front().flatten() {
            None => state.obey(kind, start, blocks),
            Some(Misbehaviour::Busy) => (BUSY, MEANINGLESS),
            Some(Misbehaviour::Nack) => (NACK, MEANINGLESS),
            Some(Misbehaviour::Error) => (ERROR, MEANINGLESS),
            Some(Misbehaviour::Garbled) => (MEANINGLESS, MEANINGLESS),
            Some(Misbehaviour::GarbledAfter) => {
                let _ = state.obey(kind, start, blocks);
                (MEANINGLESS, MEANINGLESS)
            }
        };
        state.answered.push(Answered { request: kind, start, blocks, response });
        let ([r0, r1], [d0, d1]) = (response.to_le_bytes(), detail.to_le_bytes());
        [r0, r1, 1, 2, 3, 4, 5, 6, d0, d1]
    }
}

impl State {
    /// Does what the specification asks for: the type of the response, and its detail.
    fn obey(&mut self, kind: u16, start: u64, blocks: u16) -> (u16, u16) {
        if kind == 2 {
            self.plugged.clear();
            self.words.clear();
            return (ACK, MEANINGLESS);
        }
        let Some(run) = self.run(start, blocks) else { return (ERROR, MEANINGLESS) };
        let there = run.clone().filter(|nr| self.plugged.contains(nr)).count();
        match (kind, there) {
            (0, 0) if (self.plugged.len() as u64 + u64::from(blocks)) * self.block > self.requested => {
                (NACK, MEANINGLESS)
            }
            (0, 0) => {
                self.plugged.extend(run);
                (ACK, MEANINGLESS)
            }
            (1, all) if all == usize::from(blocks) => {
                for nr in run {
                    self.plugged.remove(&nr);
                    let from = self.region.start().get() + nr * self.block;
                    self.words.retain(|at, _| !(from..from + self.block).contains(at));
                }
                (ACK, MEANINGLESS)
            }
            (3, all) if all == usize::from(blocks) => (ACK, 0),
            (3, 0) => (ACK, 1),
            (3, _) => (ACK, 2),
            _ => (ERROR, MEANINGLESS),
        }
    }

    /// The numbers of the blocks of a request, if the specification allows it.
    fn run(&self, start: u64, blocks: u16) -> Option<std::ops::Range<u64>> {
        let offset = start.checked_sub(self.region.start().get())?;
        let end = offset.checked_add(u64::from(blocks) * self.block)?;
        let valid = offset.is_multiple_of(self.block) && blocks > 0 && end <= self.usable;
        valid.then(|| offset / self.block..end / self.block)
    }

    fn check_access(&self, at: PhysAddr) -> Result<(), Unplugged> {
        let nr = at.get().checked_sub(self.region.start().get()).map(|offset| offset / self.block);
        if nr.is_some_and(|nr| self.plugged.contains(&nr)) { Ok(()) } else { Err(Unplugged { at }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn device() -> VirtioMemDevice {
        let region = PhysRange::new(PhysAddr::new(64 * MIB), PhysAddr::new(96 * MIB)).unwrap();
        let device = VirtioMemDevice::new(region, ByteLen::new(2 * MIB), 3);
        device.limit(ByteLen::new(16 * MIB));
        device.request(ByteLen::new(8 * MIB));
        device
    }

    /// The type of the response to a request, and its detail.
    fn ask(device: &VirtioMemDevice, kind: u8, start: u64, blocks: u8) -> (u8, u8) {
        let mut request = [0; 24];
        request[0] = kind;
        request[8..16].copy_from_slice(&(start * MIB).to_le_bytes());
        request[16] = blocks;
        let response = device.answer(&request);
        (response[0], response[8])
    }

    #[test]
    fn what_the_specification_forbids_is_an_error() {
        let device = device();
        for (start, blocks) in [(65, 1), (64, 0), (62, 2), (78, 2), (80, 1), (96, 1)] {
            for kind in [0, 1, 3] {
                assert_eq!(ask(&device, kind, start, blocks).0, 3, "request {kind} of {blocks} from {start}");
            }
        }
        assert_eq!(ask(&device, 0, 66, 2).0, 0);
        assert_eq!(ask(&device, 0, 64, 2).0, 3, "one is plugged");
        assert_eq!(ask(&device, 1, 64, 2).0, 3, "one is not plugged");
        assert_eq!(ask(&device, 0, 70, 3).0, 1, "more than is requested");
        assert_eq!(ask(&device, 4, 64, 1).0, 3, "no such request");
        assert_eq!(
            [(66, 2), (64, 1), (64, 2)].map(|(at, blocks)| ask(&device, 3, at, blocks)),
            [(0, 0), (0, 1), (0, 2)]
        );
        assert_eq!(device.plugged().get(), 4 * MIB);
        assert_eq!(ask(&device, 2, 0, 0).0, 0);
        assert_eq!(device.plugged().get(), 0);
    }

    #[test]
    fn memory_is_there_while_it_is_plugged() {
        let (device, at) = (device(), PhysAddr::new(66 * MIB + 8));
        assert_eq!(device.store(at, 1), Err(Unplugged { at }));
        assert_eq!(ask(&device, 0, 66, 1).0, 0);
        device.store(at, 1).unwrap();
        assert_eq!(device.load(at), Ok(1));
        assert_eq!(ask(&device, 1, 66, 1).0, 0);
        assert_eq!(device.load(at), Err(Unplugged { at }));
        assert_eq!(ask(&device, 0, 66, 1).0, 0);
        assert_ne!(device.load(at), Ok(1), "what was there is gone");
        device.system_reset();
        assert_eq!(device.load(at), Err(Unplugged { at }));
    }

    #[test]
    fn misbehaviour_is_for_one_request_each() {
        let device = device();
        device.misbehave([None, Some(Misbehaviour::Busy), Some(Misbehaviour::GarbledAfter)]);
        assert_eq!([64, 66, 66, 68].map(|at| ask(&device, 0, at, 1).0), [0, 2, 77, 0]);
        assert_eq!((device.heal(), device.plugged_blocks().len()), (0, 3));
        assert_eq!(device.take_log().len(), 4);
    }
}
