//! The map: ranges as they were handed over, and what follows from all of them together.
//!
//! # Invariants
//!
//! 1. Entries stay as they were added. Every answer looks at all of them, so their order does not matter.
//! 2. A call that fails leaves as many entries as there were.

use sparsemem_core::{
    ByteLen, Geometry, MemoryRange, NodeId, Pfn, PfnRange, PhysAddr, PhysRange, Region, RegionKind, Regions,
    SectionShape,
};

use crate::MapError;

/// The use of a range, as a protocol states it; the least careful use comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// RAM that nobody uses.
    Free,
    /// RAM that the loader, the firmware until the kernel has read its tables, or the kernel itself uses.
    Taken,
    /// Registers or memory of a device, also persistent memory.
    Device,
    /// Memory that the kernel must not use: the firmware keeps it, or it is broken.
    Reserved,
}

impl Use {
    /// True if it is RAM.
    #[must_use]
    pub const fn is_ram(self) -> bool {
        matches!(self, Self::Free | Self::Taken)
    }

    /// The kind of a region with this use.
    #[must_use]
    pub const fn region(self) -> RegionKind {
        match self {
            Self::Free | Self::Taken => RegionKind::Ram,
            Self::Device => RegionKind::Device,
            Self::Reserved => RegionKind::Reserved,
        }
    }
}

/// A statement about a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Use(Use),
    /// Free RAM in it is taken.
    Take,
    Node(NodeId),
}

/// Room for one range of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    range: PhysRange,
    what: What,
}

impl Entry {
    /// An entry that a map can use.
    pub const EMPTY: Self = Self { range: PhysRange::empty_at(PhysAddr::new(0)), what: What::Take };
}

/// The answer for an address, and the address up to which it holds.
#[derive(Clone, Copy, Debug)]
struct Answer {
    used: Option<Use>,
    node: NodeId,
    end: u64,
}

/// A map of memory from boot protocols, in a slice of entries.
#[derive(Debug)]
pub struct BootMap<'s> {
    entries: &'s mut [Entry],
    len: usize,
}

impl<'s> BootMap<'s> {
    /// An empty map with room for as many ranges as the slice has entries, whatever they are.
    #[must_use]
    pub const fn new(storage: &'s mut [Entry]) -> Self {
        Self { entries: storage, len: 0 }
    }

    /// Adds a range of `len` bytes; one without bytes is nothing.
    ///
    /// # Errors
    ///
    /// [`MapError::Wraps`], [`MapError::Full`].
    pub fn add(&mut self, start: PhysAddr, len: u64, used: Use) -> Result<(), MapError> {
        self.enter(start, len, What::Use(used))
    }

    /// Makes the free RAM in a range taken: by the kernel's image, its boot allocator, an archive.
    ///
    /// # Errors
    ///
    /// [`MapError::Full`].
    pub fn take(&mut self, range: PhysRange) -> Result<(), MapError> {
        self.enter(range.start(), range.count().get(), What::Take)
    }

    /// Says that memory in a range is of a node, wherever there is memory.
    ///
    /// # Errors
    ///
    /// [`MapError::Wraps`], [`MapError::Full`].
    pub fn assign(&mut self, start: PhysAddr, len: u64, node: NodeId) -> Result<(), MapError> {
        self.enter(start, len, What::Node(node))
    }

    /// All RAM as whole frames, lowest first, split where nodes change: what a model boots from.
    ///
    /// # Cost
    ///
    /// Each step looks at every entry a few times.
    pub fn ram<G: Geometry>(&self) -> impl Iterator<Item = MemoryRange> + Clone {
        self.frames::<G>(|used| used.is_some_and(Use::is_ram))
    }

    /// The whole frames that nobody uses, lowest first, split where nodes change: what a frame allocator begins with.
    ///
    /// # Cost
    ///
    /// As [`BootMap::ram`].
    pub fn free<G: Geometry>(&self) -> impl Iterator<Item = MemoryRange> + Clone {
        self.frames::<G>(|used| used == Some(Use::Free))
    }

    /// The map for questions about addresses ([`Regions::what_is`]), in `storage`.
    ///
    /// # Errors
    ///
    /// [`MapError::Full`], if there are more regions than `storage` has room for.
    pub fn regions<'r>(&self, storage: &'r mut [Region]) -> Result<Regions<'r>, MapError> {
        let (capacity, mut len) = (storage.len(), 0);
        for kind in [RegionKind::Ram, RegionKind::Reserved, RegionKind::Device] {
            for range in self.runs(move |used| used.is_some_and(|used| used.region() == kind)) {
                *storage.get_mut(len).ok_or(MapError::Full { capacity })? = Region { range, kind };
                len += 1;
            }
        }
        let regions = storage.get_mut(..len).unwrap_or_default();
        regions.sort_unstable_by_key(|region| region.range.start());
        // Runs of one use are apart from all others, and are not empty.
        Regions::new(regions).map_err(|_| MapError::Full { capacity })
    }

    /// Runs several additions, all or none of them.
    #[allow(dead_code, reason = "without a protocol's feature nobody does")]
    pub(crate) fn all_or_none(
        &mut self,
        add: impl FnOnce(&mut Self) -> Result<(), MapError>,
    ) -> Result<(), MapError> {
        let before = self.len;
        let added = add(self);
        if added.is_err() {
            self.len = before;
        }
        added
    }

    fn enter(&mut self, start: PhysAddr, len: u64, what: What) -> Result<(), MapError> {
        let range = PhysRange::from_start_count(start, ByteLen::new(len));
        let range = range.ok_or(MapError::Wraps { start, len })?;
        if !range.is_empty() {
            let full = MapError::Full { capacity: self.entries.len() };
            *self.entries.get_mut(self.len).ok_or(full)? = Entry { range, what };
            self.len += 1;
        }
        Ok(())
    }

    fn entries(&self) -> &[Entry] {
        self.entries.get(..self.len).unwrap_or_default()
    }

    /// The answer of all entries together for an address. `u64::MAX` is the end if nothing changes any more.
    fn at(&self, at: u64) -> Answer {
        let (mut answer, mut is_taken, mut node) =
            (Answer { used: None, node: NodeId::new(0), end: u64::MAX }, false, None);
        for Entry { range, what } in self.entries() {
            let (start, end) = (range.start().get(), range.end().get());
            let border = if at < start { start } else { end };
            if border > at {
                answer.end = answer.end.min(border);
            }
            if !range.contains(PhysAddr::new(at)) {
                continue;
            }
            match what {
                What::Use(used) => answer.used = answer.used.max(Some(*used)),
                What::Take => is_taken = true,
                What::Node(of) => node = node.or(Some(*of)),
            }
        }
        if is_taken && answer.used == Some(Use::Free) {
            answer.used = Some(Use::Taken);
        }
        Answer { node: node.unwrap_or(answer.node), ..answer }
    }

    /// The longest runs of addresses whose use is `wanted`, lowest first.
    fn runs(&self, wanted: impl Fn(Option<Use>) -> bool + Copy) -> impl Iterator<Item = PhysRange> + Clone {
        let mut next = 0;
        // The first address from `from` on for which the answer is `is`.
        let find = move |mut from: u64, is: bool| {
            while from < u64::MAX {
                let answer = self.at(from);
                if wanted(answer.used) == is {
                    break;
                }
                from = answer.end;
            }
            from
        };
        core::iter::from_fn(move || {
            let start = find(next, true);
            next = find(start, false);
            let run = PhysRange::new(PhysAddr::new(start), PhysAddr::new(next)).ok()?;
            (!run.is_empty()).then_some(run)
        })
    }

    /// The whole frames of such runs, split where the node changes.
    fn frames<G: Geometry>(
        &self,
        wanted: impl Fn(Option<Use>) -> bool + Copy,
    ) -> impl Iterator<Item = MemoryRange> + Clone {
        self.runs(wanted).flat_map(move |run| self.by_node::<G>(run.whole_frames::<G>()))
    }

    /// Frames, split where the node of their first bytes changes.
    fn by_node<G: Geometry>(&self, frames: PfnRange) -> impl Iterator<Item = MemoryRange> + Clone {
        let mut rest = frames;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let node = self.at(rest.start().get() << G::PAGE_SHIFT).node;
            let mut end = rest.start();
            while end < rest.end() {
                let answer = self.at(end.get() << G::PAGE_SHIFT);
                if answer.node != node {
                    break;
                }
                end = Pfn::new(answer.end.div_ceil(G::PAGE_SIZE));
            }
            let (frames, others) = rest.split_at(end);
            rest = others;
            Some(MemoryRange { frames, node })
        })
    }
}
