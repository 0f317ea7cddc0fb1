//! The mappings of the host that repeat the leaves of the page tables.
//!
//! # Invariants
//!
//! 1. A leaf is in the mirror exactly while its addresses are mapped to its memory by the host; they are accessible once
//!    it is published.
//! 2. Leaves of the mirror do not overlap, and lie in the window.

use std::collections::{BTreeMap, BTreeSet};

use sparsemem_core::{LeafSize, PhysAddr, PhysRange, VirtAddr, VirtRange};

use crate::Leaf;
use crate::host::Protection;
use crate::ram::Ram;
use crate::walker::{Stores, Walker};
use crate::window::Window;

/// A difference between page tables and mirror, or an error in the tables themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The tables have a mapping that was not reported to the machine
    /// ([`linked`](sparsemem_core::AddressSpace::linked)).
    #[error("{leaf:?} is in the page tables, but was not linked")]
    OnlyInTables {
        /// The leaf.
        leaf: Leaf,
    },
    /// An entry was removed without a flush, or never existed.
    #[error("{leaf:?} was linked and not flushed, but is not in the page tables")]
    OnlyInMirror {
        /// The leaf.
        leaf: Leaf,
    },
    /// The tables map other memory, or another size, than the mirror at the same address.
    #[error("the page tables have {tables:?}, mapped is {mirror:?}")]
    Different {
        /// The leaf of the page tables.
        tables: Leaf,
        /// The leaf of the mirror.
        mirror: Leaf,
    },
    /// An entry leads to a table at an address without memory.
    #[error("the entry for {at} leads to a table at {table}, where there is no memory")]
    TableOutsideMemory {
        /// The first virtual address that the entry in that table would translate.
        at: VirtAddr,
        /// The address of the table.
        table: PhysAddr,
    },
    /// An entry has a combination of bits that the processor reserves, or that makes it fault.
    #[error("the entry {entry:#x} for {at} is not well formed")]
    Malformed {
        /// The first virtual address that the entry translates.
        at: VirtAddr,
        /// The entry.
        entry: u64,
    },
    /// An entry maps memory that is not aligned to the size of the mapping.
    #[error("the entry {entry:#x} for {at} maps memory that is not aligned")]
    Misaligned {
        /// The first virtual address that the entry translates.
        at: VirtAddr,
        /// The entry.
        entry: u64,
    },
    /// A mapping was not reported as published, and the processor does not see it at once.
    #[error("{leaf:?} was linked and not published, and the processor may still remember that it is absent")]
    NotPublished {
        /// The leaf.
        leaf: Leaf,
    },
    /// An entry in use became another one, without a break in between.
    #[error("{old:?} became {new:?} while the processor remembered it; break before make")]
    LiveChange {
        /// The mapping that the processor may remember.
        old: Leaf,
        /// The mapping in the page tables.
        new: Leaf,
    },
    /// Memory was given back that a processor may still reach, as a mapping or as a table.
    #[error("the block at {block} was freed, but the processor may remember that {at} leads to it")]
    FreedTooEarly {
        /// The block.
        block: PhysAddr,
        /// The first virtual address that leads to it.
        at: VirtAddr,
    },
    /// A mapping does not allow stores, at its own level or a higher one.
    #[error("the mapping at {at} does not allow stores")]
    NotWritable {
        /// The mapping's first virtual address.
        at: VirtAddr,
    },
    /// A mapping that was linked as shared allows stores.
    #[error("the mapping at {at} was linked as shared, but allows stores")]
    Writable {
        /// The mapping's first virtual address.
        at: VirtAddr,
    },
    /// Several mappings lead to memory, and one of them was not linked as shared.
    #[error(
        "the mapping at {at} leads to memory that {other} leads to as well, and one of them may write there"
    )]
    NotShared {
        /// The mapping's first virtual address.
        at: VirtAddr,
        /// That of the other one.
        other: VirtAddr,
    },
}

/// The mirrored leaves.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    /// The leaves by first virtual address.
    leaves: BTreeMap<VirtAddr, (PhysAddr, LeafSize)>,
    /// The first physical and the first virtual address of every leaf: shared memory has several.
    frames: BTreeSet<(PhysAddr, VirtAddr)>,
    /// The leaves through which stores fault.
    shared: BTreeSet<VirtAddr>,
    /// The leaves that the processor does not see yet.
    unpublished: BTreeSet<VirtAddr>,
}

impl Mirror {
    /// The mirrored leaves, lowest first.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = Leaf> {
        self.leaves.iter().map(|(at, (to, size))| Leaf { at: *at, to: *to, size: *size })
    }

    /// True if nothing is mirrored.
    pub(crate) fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Maps a leaf. It must lie in the window and not overlap another one; otherwise, and if the host refuses,
    /// nothing changes and the result is `None`.
    pub(crate) fn enter(&mut self, leaf: Leaf, window: &mut Window, ram: &Ram) -> Option<()> {
        let range = leaf.range();
        if range.is_empty() || !window.range().contains_range(range) || self.touched(range).next().is_some() {
            return None;
        }
        window.show(leaf, ram.file()).ok()?;
        self.leaves.insert(leaf.at, (leaf.to, leaf.size));
        self.frames.insert((leaf.to, leaf.at));
        Some(())
    }

    /// Makes stores through a leaf fault that was just entered.
    pub(crate) fn share(&mut self, leaf: Leaf, window: &mut Window) {
        obeyed(window.shade(leaf, Protection::ReadOnly), "protect", &[leaf]);
        self.shared.insert(leaf.at);
    }

    /// The breach that a leaf is, if another one leads to its memory and not both are shared.
    fn alias(&self, leaf: Leaf) -> Option<Mismatch> {
        let at = |at| (leaf.to, VirtAddr::new(at));
        let mut others = self.frames.range(at(0)..=at(u64::MAX)).filter(|(_, other)| *other != leaf.at);
        let is_shared = self.shared.contains(&leaf.at);
        let (_, other) = others.find(|(_, other)| !is_shared || !self.shared.contains(other))?;
        Some(Mismatch::NotShared { at: leaf.at, other: *other })
    }

    /// The effect that a store through a leaf should have.
    fn stores(&self, leaf: Leaf) -> Stores {
        if self.shared.contains(&leaf.at) { Stores::Fault } else { Stores::Reach }
    }

    /// Makes a leaf that was just entered inaccessible until it is published.
    pub(crate) fn hold_back(&mut self, leaf: Leaf, window: &mut Window) {
        obeyed(window.shade(leaf, Protection::Shut), "hide", &[leaf]);
        self.unpublished.insert(leaf.at);
    }

    /// Makes the leaves that touch `range` accessible, if they were held back.
    pub(crate) fn publish(&mut self, range: VirtRange, window: &mut Window) {
        let waiting: Vec<Leaf> =
            self.touched(range).filter(|leaf| self.unpublished.contains(&leaf.at)).collect();
        for leaf in waiting {
            obeyed(window.shade(leaf, self.stores(leaf).access()), "show", &[leaf]);
            self.unpublished.remove(&leaf.at);
        }
    }

    /// A leaf that touches `range` and that the page tables now lead elsewhere, with what they have.
    pub(crate) fn changed(&self, range: VirtRange, walker: Walker<'_>) -> Option<(Leaf, Leaf)> {
        self.touched(range).find_map(|old| {
            let new = walker.leaf_at(old.at).ok().flatten()?;
            (new != old).then_some((old, new))
        })
    }

    /// The address of a leaf in `memory`, if there is one.
    pub(crate) fn maps(&self, memory: PhysRange) -> Option<VirtAddr> {
        let first = |at| (at, VirtAddr::new(0));
        let inside = self.frames.range(first(memory.start())..first(memory.end())).next();
        // Blocks do not overlap, so a leaf that begins before is a leaf of a block that is larger than this one.
        inside.map(|(_, at)| *at)
    }

    /// Unmaps the leaves that touch `range` and that the page tables no longer have. Where the tables lead elsewhere, the
    /// processor follows them from now on: those leaves take the place of the old one, in one step for whoever reads there, and
    /// are returned.
    ///
    /// The process ends if the host refuses, because otherwise memory would stay accessible that is about to be
    /// reused.
    pub(crate) fn flush(&mut self, range: VirtRange, window: &mut Window, walker: Walker<'_>) -> Vec<Leaf> {
        let kept = |leaf: &Leaf| walker.leaf_at(leaf.at) == Ok(Some(*leaf));
        let gone: Vec<Leaf> = self.touched(range).filter(|leaf| !kept(leaf)).collect();
        let (changed, cleared): (Vec<Leaf>, Vec<Leaf>) =
            gone.iter().copied().partition(|leaf| is_replaced(*leaf, walker));
        for run in cleared.chunk_by(|one, next| one.range().end() == next.at) {
            obeyed(window.hide(run), "unmap", run);
        }
        for leaf in gone {
            self.leaves.remove(&leaf.at);
            self.frames.remove(&(leaf.to, leaf.at));
            self.unpublished.remove(&leaf.at);
            self.shared.remove(&leaf.at);
        }
        changed.into_iter().flat_map(|old| self.replace(old, window, walker)).collect()
    }

    /// Maps the leaves that the page tables have in the place of one that is in no list any more.
    fn replace(&mut self, old: Leaf, window: &mut Window, walker: Walker<'_>) -> Vec<Leaf> {
        let mut new = Vec::new();
        // A table that is broken is found when the new leaves are looked at.
        let _ = walker.leaves(old.range(), &mut |leaf, stores| {
            new.push((leaf, stores.access()));
            Ok(())
        });
        obeyed(window.replace(old, &new, walker.ram.file()), "replace", &[old]);
        for (leaf, access) in &new {
            self.leaves.insert(leaf.at, (leaf.to, leaf.size));
            self.frames.insert((leaf.to, leaf.at));
            if *access == Protection::ReadOnly {
                self.shared.insert(leaf.at);
            }
        }
        new.into_iter().map(|(leaf, _)| leaf).collect()
    }

    /// The breach of a leaf that was just linked, if stores through the page tables do otherwise than they should.
    pub(crate) fn judge(&self, leaf: Leaf, stores: Stores) -> Option<Mismatch> {
        stores.should_be(self.stores(leaf), leaf.at).err().or_else(|| self.alias(leaf))
    }

    /// Compares with the page tables, leaf by leaf.
    pub(crate) fn compare(&self, walker: Walker<'_>, range: VirtRange) -> Result<(), Mismatch> {
        let mut mirrored = self.leaves().peekable();
        walker.leaves(range, &mut |tables, stores| {
            let Some(mirror) = mirrored.next() else {
                stores.should_be(Stores::Reach, tables.at)?;
                return Err(Mismatch::OnlyInTables { leaf: tables });
            };
            match mirror.at.cmp(&tables.at) {
                _ if mirror == tables && self.unpublished.contains(&mirror.at) => {
                    Err(Mismatch::NotPublished { leaf: mirror })
                }
                _ if mirror == tables => stores.should_be(self.stores(mirror), mirror.at),
                std::cmp::Ordering::Less => Err(Mismatch::OnlyInMirror { leaf: mirror }),
                std::cmp::Ordering::Greater => Err(Mismatch::OnlyInTables { leaf: tables }),
                std::cmp::Ordering::Equal => Err(Mismatch::Different { tables, mirror }),
            }
        })?;
        mirrored.next().map_or(Ok(()), |leaf| Err(Mismatch::OnlyInMirror { leaf }))
    }

    /// The leaves that have an address in `range`.
    fn touched(&self, range: VirtRange) -> impl Iterator<Item = Leaf> {
        let before = self.leaves.range(..range.start()).next_back();
        let inside = self.leaves.range(range.start()..range.end());
        before
            .into_iter()
            .chain(inside)
            .map(|(at, (to, size))| Leaf { at: *at, to: *to, size: *size })
            .filter(move |leaf| leaf.range().overlaps(range))
    }
}

/// True if the page tables have other leaves for all addresses of one, and no larger one.
fn is_replaced(old: Leaf, walker: Walker<'_>) -> bool {
    let mut covered = 0;
    let whole = walker.leaves(old.range(), &mut |new, _| {
        covered += if old.range().contains_range(new.range()) { new.size.bytes() } else { 0 };
        Ok(())
    });
    whole.is_ok() && covered == old.size.bytes()
}

/// Ends the process if the host refused a change of access to leaves: memory would stay accessible that is about to be
/// reused, or would not become so.
fn obeyed(done: rustix::io::Result<()>, what: &str, leaves: &[Leaf]) {
    if let Err(refused) = done {
        eprintln!("the host cannot {what} {leaves:?}: {refused}");
        std::process::abort();
    }
}
