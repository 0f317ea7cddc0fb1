//! The configuration of a machine, and the physical addresses that exist because of it.
//!
//! # Invariants
//!
//! 1. Ranges of a [`PhysLayout`] consist of whole frames, do not overlap and are sorted by address.

use sparsemem_core::{LeafSize, NodeId, PagingDepth, PhysAddr, PhysRange};

use crate::{MachineError, Processor};

/// Bytes of a frame.
pub(crate) const FRAME: u64 = LeafSize::Size4KiB.bytes();
/// Virtual addresses that a process of the host has.
pub(crate) const HOST_ADDRESSES: u64 = 1 << 47;

/// The configuration of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineConfig {
    /// Memory, with the node of each range, in any order. Only whole frames of 4 KiB count. Addresses outside all
    /// ranges are holes.
    pub memory: Vec<(PhysRange, NodeId)>,
    /// Memory that can be accessed and mapped, but that the allocators never use: memory of devices, and memory
    /// modules that are plugged in later.
    pub unmanaged: Vec<PhysRange>,
    /// The processor, whose page tables the machine has.
    pub processor: Processor,
    /// Levels of the page tables.
    pub depth: PagingDepth,
    /// The largest mapping that the machine supports.
    pub largest_leaf: LeafSize,
    /// Bytes of virtual addresses to reserve for a virtual memmap, rounded up to 1 GiB; zero for none.
    pub vmemmap_bytes: u64,
    /// The allocators do not use the first so many bytes of physical memory (Linux reserves the first megabyte).
    pub reserved_low_bytes: u64,
}

impl MachineConfig {
    /// No memory, no window, an x86_64 processor, four levels, leaves up to 2 MiB, the first megabyte reserved.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            memory: Vec::new(),
            unmanaged: Vec::new(),
            processor: Processor::X86_64,
            depth: PagingDepth::Four,
            largest_leaf: LeafSize::Size2MiB,
            vmemmap_bytes: 0,
            reserved_low_bytes: 1 << 20,
        }
    }

    /// Adds memory of a node.
    #[must_use]
    pub fn memory(mut self, range: PhysRange, node: NodeId) -> Self {
        self.memory.push((range, node));
        self
    }

    /// Adds memory that the allocators never use.
    #[must_use]
    pub fn unmanaged(mut self, range: PhysRange) -> Self {
        self.unmanaged.push(range);
        self
    }

    /// Reserves virtual addresses for a virtual memmap; `bytes` is rounded up to 1 GiB.
    #[must_use]
    pub const fn vmemmap_bytes(mut self, bytes: u64) -> Self {
        self.vmemmap_bytes = bytes;
        self
    }

    /// Chooses the processor.
    #[must_use]
    pub const fn processor(mut self, processor: Processor) -> Self {
        self.processor = processor;
        self
    }

    /// Chooses the levels of the page tables.
    #[must_use]
    pub const fn depth(mut self, depth: PagingDepth) -> Self {
        self.depth = depth;
        self
    }

    /// Chooses the largest mapping.
    #[must_use]
    pub const fn largest_leaf(mut self, size: LeafSize) -> Self {
        self.largest_leaf = size;
        self
    }

    /// Makes the allocators leave out the first `bytes` bytes of physical memory.
    #[must_use]
    pub const fn reserved_low_bytes(mut self, bytes: u64) -> Self {
        self.reserved_low_bytes = bytes;
        self
    }
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// The physical addresses that exist.
#[derive(Debug)]
pub(crate) struct PhysLayout {
    /// Memory with a node, sorted.
    managed: Vec<(PhysRange, NodeId)>,
    /// All addresses that exist, sorted, with neighbours joined.
    existing: Vec<PhysRange>,
}

impl PhysLayout {
    /// Checks and sorts the ranges of a configuration.
    pub(crate) fn new(config: &MachineConfig) -> Result<Self, MachineError> {
        let mut all: Vec<_> = config.memory.iter().map(|(range, _)| *range).collect();
        all.extend(&config.unmanaged);
        all.retain(|range| !range.is_empty());
        all.sort_by_key(|range| range.start());
        check_disjoint(&all)?;
        check_size(&all)?;
        let mut managed: Vec<_> = config.memory.iter().map(|(range, node)| (frames(*range), *node)).collect();
        managed.retain(|(range, _)| !range.is_empty());
        managed.sort_by_key(|(range, _)| range.start());
        Ok(Self { managed, existing: joined(&all) })
    }

    /// Memory with the node of each range, lowest first.
    pub(crate) fn managed(&self) -> &[(PhysRange, NodeId)] {
        &self.managed
    }

    /// The first address past all that exist.
    pub(crate) fn end(&self) -> PhysAddr {
        self.existing.last().map_or(PhysAddr::new(0), |range| range.end())
    }

    /// True if every byte of `range` exists.
    pub(crate) fn exists(&self, range: PhysRange) -> bool {
        let next = self.existing.partition_point(|known| known.start() <= range.start());
        let before = next.checked_sub(1).and_then(|index| self.existing.get(index));
        before.is_some_and(|known| known.contains_range(range))
    }
}

/// The whole frames in `range`, as bytes.
fn frames(range: PhysRange) -> PhysRange {
    let start = range.start().get().div_ceil(FRAME) * FRAME;
    let end = range.end().get() / FRAME * FRAME;
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end.max(start))).unwrap_or_default()
}

/// The whole frames of sorted ranges, with neighbours joined.
fn joined(sorted: &[PhysRange]) -> Vec<PhysRange> {
    let mut joined: Vec<PhysRange> = Vec::new();
    for range in sorted.iter().map(|range| frames(*range)).filter(|range| !range.is_empty()) {
        match joined.last_mut() {
            Some(last) if last.end() == range.start() => {
                *last = PhysRange::new(last.start(), range.end()).unwrap_or(*last);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// Checks that no two of the sorted ranges share a byte.
fn check_disjoint(sorted: &[PhysRange]) -> Result<(), MachineError> {
    for (first, second) in sorted.iter().zip(sorted.iter().skip(1)) {
        if first.overlaps(*second) {
            return Err(MachineError::Overlap { first: *first, second: *second });
        }
    }
    Ok(())
}

/// Checks that the host can map all addresses up to the end of the highest range.
fn check_size(sorted: &[PhysRange]) -> Result<(), MachineError> {
    match sorted.last() {
        Some(last) if last.end().get() >= HOST_ADDRESSES => Err(MachineError::TooLarge { end: last.end() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(start: u64, end: u64) -> PhysRange {
        PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
    }

    #[test]
    fn partial_frames_are_holes() {
        let config = MachineConfig::new()
            .memory(bytes(0x5001, 0x8fff), NodeId::new(1))
            .memory(bytes(0x1001, 0x1fff), NodeId::new(0));
        let layout = PhysLayout::new(&config).unwrap();
        assert_eq!(layout.managed(), [(bytes(0x6000, 0x8000), NodeId::new(1))]);
        assert_eq!(layout.end(), PhysAddr::new(0x8000));
        assert!(layout.exists(bytes(0x6000, 0x8000)));
        assert!(!layout.exists(bytes(0x6000, 0x8001)) && !layout.exists(bytes(0x1000, 0x2000)));
    }

    #[test]
    fn neighbours_of_different_kinds_exist_together() {
        let config = MachineConfig::new()
            .unmanaged(bytes(0x3000, 0x4000))
            .memory(bytes(0x4000, 0x5000), NodeId::new(1))
            .memory(bytes(0x2000, 0x3000), NodeId::new(0));
        let layout = PhysLayout::new(&config).unwrap();
        assert!(layout.exists(bytes(0x2000, 0x5000)));
        assert_eq!(layout.managed().len(), 2);
    }

    #[test]
    fn impossible_layouts_name_the_offender() {
        let overlap = MachineConfig::new()
            .memory(bytes(0x4000, 0x6000), NodeId::new(0))
            .unmanaged(bytes(0x2000, 0x4001));
        let error = PhysLayout::new(&overlap).unwrap_err();
        let expected = MachineError::Overlap { first: bytes(0x2000, 0x4001), second: bytes(0x4000, 0x6000) };
        assert_eq!(error, expected);
        let large = MachineConfig::new().memory(bytes(0, u64::MAX), NodeId::new(0));
        let error = PhysLayout::new(&large).unwrap_err();
        assert_eq!(error, MachineError::TooLarge { end: PhysAddr::new(u64::MAX) });
    }
}
