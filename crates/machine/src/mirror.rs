//! The mappings of the host that repeat the leaves of the page tables.
//!
//! # Invariants
//!
//! 1. A leaf is in the mirror exactly while its addresses are mapped to its memory by the host.
//! 2. Leaves of the mirror do not overlap, and lie in the window.

use std::collections::BTreeMap;

use sparsemem_core::{LeafSize, PhysAddr, VirtAddr, VirtRange};

use crate::Leaf;
use crate::ram::Ram;
use crate::walker::Walker;
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
    /// An entry has a large-mapping bit at a level without large mappings.
    #[error("the entry {entry:#x} for {at} is not well formed")]
    Malformed {
        /// The first virtual address that the entry translates.
        at: VirtAddr,
        /// The entry.
        entry: u64,
    },
    /// A mapping does not allow stores, at its own level or a higher one.
    #[error("the mapping at {at} does not allow stores")]
    NotWritable {
        /// The mapping's first virtual address.
        at: VirtAddr,
    },
}

/// The mirrored leaves, by first virtual address.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    leaves: BTreeMap<VirtAddr, (PhysAddr, LeafSize)>,
}

impl Mirror {
    /// The mirrored leaves, lowest first.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = Leaf> {
        self.leaves.iter().map(|(at, (to, size))| Leaf { at: *at, to: *to, size: *size })
    }

    /// Whether nothing is mirrored.
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
        Some(())
    }

    /// Unmaps the leaves that touch `range` and that the page tables no longer have.
    ///
    /// The process ends if the host refuses, because otherwise memory would stay accessible that is about to be
    /// reused.
    pub(crate) fn flush(&mut self, range: VirtRange, window: &mut Window, walker: Walker<'_>) {
        let kept = |leaf: &Leaf| walker.leaf_at(leaf.at) == Ok(Some(*leaf));
        let gone: Vec<Leaf> = self.touched(range).filter(|leaf| !kept(leaf)).collect();
        for run in gone.chunk_by(|one, next| one.range().end() == next.at) {
            if let Err(refused) = window.hide(run) {
                eprintln!("the host cannot unmap {run:?}, which was flushed: {refused}");
                std::process::abort();
            }
        }
        for leaf in gone {
            self.leaves.remove(&leaf.at);
        }
    }

    /// Compares with the page tables, leaf by leaf.
    pub(crate) fn compare(&self, walker: Walker<'_>, range: VirtRange) -> Result<(), Mismatch> {
        let mut mirrored = self.leaves().peekable();
        walker.leaves(range, &mut |tables| {
            let mirror = mirrored.next().ok_or(Mismatch::OnlyInTables { leaf: tables })?;
            match mirror.at.cmp(&tables.at) {
                _ if mirror == tables => Ok(()),
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
