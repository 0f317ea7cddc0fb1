//! Memmaps of pieces that are no multiple of a leaf: neighbours share the 2 MiB leaf between them.
//!
//! With descriptors of 56 bytes, 128 MiB of memory have a memmap of 1.75 MiB. So most leaves belong to two pieces,
//! and a leaf may go only with the last one. The tables do not know pieces: the owner says which leaves stay.

use std::collections::BTreeSet;

use sparsemem_core::{LeafSize, PagingDepth, VirtRange};
use sparsemem_page_table::{Fate, Mapping};

use crate::host::Host;
use crate::ranges::{BASE, DEPTHS, range};

const PIECE: u64 = 56 * (128 << 20) / 4096;
const NR_PIECES: u64 = 16;

struct Pieces {
    host: Host,
    present: BTreeSet<u64>,
}

fn piece(number: u64) -> VirtRange {
    range(BASE + number * PIECE, PIECE)
}

impl Pieces {
    fn new(depth: PagingDepth) -> Self {
        Self { host: Host::new(depth), present: BTreeSet::new() }
    }

    fn add(&mut self, number: u64) {
        let _ = self.host.fill(piece(number), LeafSize::Size2MiB);
        self.present.insert(number);
        self.check();
    }

    fn remove(&mut self, number: u64) {
        self.present.remove(&number);
        let present = self.present.clone();
        let shared = |leaf: &Mapping| present.iter().any(|&other| piece(other).overlaps(leaf.range));
        let keep = |leaf: &Mapping| if shared(leaf) { Fate::Keep } else { Fate::Drop };
        let _ = self.host.unmap(piece(number), keep).unwrap();
        self.check();
    }

    /// Exactly the leaves that some piece needs are there.
    fn check(&self) {
        let needed = |start: &u64| {
            let leaf = range(*start, LeafSize::Size2MiB.bytes());
            self.present.iter().any(|&number| piece(number).overlaps(leaf))
        };
        let slots = (0..NR_PIECES).map(|number| BASE + number * LeafSize::Size2MiB.bytes());
        let expected: Vec<_> = slots.filter(needed).collect();
        let mapped: Vec<_> = self.host.linked_leaves().into_keys().collect();
        assert_eq!(mapped, expected);
    }
}

#[test]
fn shared_leaves_go_with_their_last_piece() {
    for depth in DEPTHS {
        // The order in which the pieces come, and in which they go: by a step that meets all of them.
        for (coming, going) in [(1, 1), (3, 5), (7, 3), (15, 1)] {
            let mut pieces = Pieces::new(depth);
            (0..NR_PIECES).for_each(|n| pieces.add(n * coming % NR_PIECES));
            (0..NR_PIECES).for_each(|n| pieces.remove(n * going % NR_PIECES));
            assert_eq!(pieces.host.nr_tables(), 1);
        }
    }
}

#[test]
fn neighbours_share_one_leaf() {
    let mut pieces = Pieces::new(PagingDepth::Four);
    pieces.add(0);
    assert_eq!(pieces.host.nr_leaf_allocs, 1);
    pieces.add(1);
    assert_eq!(pieces.host.nr_leaf_allocs, 2);
    pieces.remove(0);
    assert_eq!(pieces.host.linked_leaves().len(), 2);
}
