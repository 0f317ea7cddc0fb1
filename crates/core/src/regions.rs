//! A map of physical addresses, by which a range is RAM, reserved, a device's, a hole, or several of these.
//!
//! # Invariants
//!
//! 1. Regions are sorted, do not overlap and are not empty: [`Regions::new`] refuses any others.
//! 2. Addresses that no region has are a hole.

use crate::{PhysAddr, PhysRange};

/// The kind of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegionKind {
    /// Ordinary memory.
    Ram,
    /// Memory that the firmware keeps, or that does not work.
    Reserved,
    /// Registers or memory of a device, also memory that a driver hands out.
    Device,
}

/// Addresses of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// The addresses.
    pub range: PhysRange,
    /// Their kind.
    pub kind: RegionKind,
}

/// The answer of [`Regions::what_is`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhatIs {
    /// Every byte is RAM.
    Ram,
    /// Every byte is reserved.
    Reserved,
    /// Every byte is a device's.
    Device,
    /// No byte is in a region.
    Hole,
    /// The bytes have different answers.
    Mixed,
}

impl From<RegionKind> for WhatIs {
    fn from(kind: RegionKind) -> Self {
        match kind {
            RegionKind::Ram => Self::Ram,
            RegionKind::Reserved => Self::Reserved,
            RegionKind::Device => Self::Device,
        }
    }
}

/// Regions that cannot be a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionsError {
    /// A region has no byte.
    #[error("the region at {at} is empty; leave it out")]
    Empty {
        /// Its start.
        at: PhysAddr,
    },
    /// A region begins before the one before it ends.
    #[error("{second} begins before {first} ends; sort the regions, and give each byte to one of them")]
    Disorder {
        /// The region that comes first.
        first: PhysRange,
        /// The one after it.
        second: PhysRange,
    },
}

/// One map of the physical address space.
///
/// A kernel asks it before it does something with addresses that somebody else names: before it plugs memory there (a
/// hole), lets a driver map them (a device), or reads them as memory (RAM).
///
/// ```
/// use sparsemem_core::{PhysAddr, PhysRange, Region, RegionKind, Regions, WhatIs};
///
/// let bytes = |start, end| PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap();
/// let map = [
///     Region { range: bytes(0, 0x9_f000), kind: RegionKind::Ram },
///     Region { range: bytes(0x9_f000, 0xa_0000), kind: RegionKind::Reserved },
///     Region { range: bytes(0xfec0_0000, 0xfec0_1000), kind: RegionKind::Device },
/// ];
/// let regions = Regions::new(&map)?;
/// assert_eq!(regions.what_is(bytes(0x1000, 0x2000)), WhatIs::Ram);
/// assert_eq!(regions.what_is(bytes(0x9_e000, 0xa_0000)), WhatIs::Mixed);
/// assert_eq!(regions.what_is(bytes(0x10_0000, 0x20_0000)), WhatIs::Hole);
/// assert_eq!(regions.what_is(bytes(0xfec0_0000, 0xfec0_0400)), WhatIs::Device);
/// # Ok::<(), sparsemem_core::RegionsError>(())
/// ```
///
/// Source: Linux `region_intersects`, which is asked about one kind at a time and answers yes, no or partly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regions<'a>(&'a [Region]);

impl<'a> Regions<'a> {
    /// The map of these regions, lowest first. Neighbours may have one kind.
    ///
    /// # Errors
    ///
    /// [`RegionsError`], with the region that is empty or in disorder.
    pub fn new(regions: &'a [Region]) -> Result<Self, RegionsError> {
        if let Some(empty) = regions.iter().find(|region| region.range.is_empty()) {
            return Err(RegionsError::Empty { at: empty.range.start() });
        }
        let mut pairs = regions.iter().zip(regions.iter().skip(1));
        match pairs.find(|(first, second)| second.range.start() < first.range.end()) {
            Some((first, second)) => Err(RegionsError::Disorder { first: first.range, second: second.range }),
            None => Ok(Self(regions)),
        }
    }

    /// Tells what lies at a range. Nothing lies at an empty range, so the answer is a hole.
    ///
    /// # Cost
    ///
    /// A binary search over the regions, and a step for each region that the range touches, up to the first difference.
    #[must_use]
    pub fn what_is(&self, range: PhysRange) -> WhatIs {
        let first = self.0.partition_point(|region| region.range.end() <= range.start());
        let touched = self.0.iter().skip(first).take_while(|region| region.range.start() < range.end());
        let mut answer = None;
        let mut known = range.start();
        for region in touched.filter(|_| !range.is_empty()) {
            let here = WhatIs::from(region.kind);
            if region.range.start() > known || answer.is_some_and(|before| before != here) {
                return WhatIs::Mixed;
            }
            (answer, known) = (Some(here), region.range.end());
        }
        match answer {
            Some(_) if known < range.end() => WhatIs::Mixed,
            Some(answer) => answer,
            None => WhatIs::Hole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(start: u64, end: u64) -> PhysRange {
        PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
    }

    fn region(start: u64, end: u64, kind: RegionKind) -> Region {
        Region { range: bytes(start, end), kind }
    }

    #[test]
    fn every_range_has_the_answer_of_its_bytes() {
        use RegionKind::{Device, Ram, Reserved};
        let map = [region(2, 4, Ram), region(4, 5, Ram), region(5, 7, Reserved), region(9, 10, Device)];
        let regions = Regions::new(&map).unwrap();
        let byte = |at: u64| {
            let here = map.iter().find(|region| region.range.contains(PhysAddr::new(at)));
            here.map_or(WhatIs::Hole, |region| region.kind.into())
        };
        for (start, end) in (0..12).flat_map(|start| (start..13).map(move |end| (start, end))) {
            let mut answers = (start..end).map(byte);
            let first = answers.next().unwrap_or(WhatIs::Hole);
            let expected = if answers.all(|answer| answer == first) { first } else { WhatIs::Mixed };
            assert_eq!(regions.what_is(bytes(start, end)), expected, "{start}..{end}");
        }
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let (one, other) = (region(2, 4, RegionKind::Ram), region(3, 5, RegionKind::Device));
        let disorder = RegionsError::Disorder { first: one.range, second: other.range };
        assert_eq!(Regions::new(&[one, other]), Err(disorder));
        assert!(matches!(Regions::new(&[other, one]), Err(RegionsError::Disorder { .. })));
        let empty = region(7, 7, RegionKind::Ram);
        assert_eq!(Regions::new(&[one, empty]), Err(RegionsError::Empty { at: PhysAddr::new(7) }));
        assert_eq!(Regions::new(&[]).unwrap().what_is(bytes(0, u64::MAX)), WhatIs::Hole);
    }
}
