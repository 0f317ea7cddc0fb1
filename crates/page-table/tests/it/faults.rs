//! Every single thing that can fail, fails in turn: nothing may be left behind.

use sparsemem_page_table::{Depth, Fate, LeafSize, Level, PopulateError, VirtAddr, VirtRange, Wanted};

use crate::host::{Faults, Host};
use crate::straddle::{range, up_to, upper};

/// A range over the boundary of a PUD table, some of which is mapped already, next to an old empty table.
struct Scene {
    host: Host,
    wanted: VirtRange,
    max: LeafSize,
}

impl Scene {
    fn new(depth: Depth, max: LeafSize) -> Self {
        let boundary = upper(depth) | 1 << 39;
        let mut host = Host::new(depth);
        let tree = host.tree;
        let old = range(boundary + 3 * max.bytes(), 2 * max.bytes());
        let _ = tree.populate(&mut host, old, up_to(max)).unwrap();
        let _ = tree.populate(&mut host, range(boundary - 1, 1), up_to(max)).unwrap();
        forget_leaf(&mut host, boundary - max.bytes(), max);
        let len_bytes = 30 * max.bytes();
        Self { host, wanted: range(boundary - len_bytes / 2 + 1, len_bytes), max }
    }

    fn populate(&mut self) -> Result<(), PopulateError> {
        let tree = self.host.tree;
        tree.populate(&mut self.host, self.wanted, up_to(self.max)).map(|made| assert!(!made.is_nothing()))
    }

    /// Runs into `faults` and compares; `false` if there was nothing left to fail.
    fn fails_without_a_trace(mut self, faults: Faults) -> bool {
        let before = self.host.snapshot();
        self.host.faults = faults;
        let result = self.populate();
        self.host.check();
        if result.is_ok() {
            return false;
        }
        assert!(self.host.snapshot() == before, "something was left behind by {result:?}");
        // Once the fault is gone it works.
        self.host.faults = Faults::default();
        self.populate().unwrap();
        self.host.check();
        true
    }
}

/// Unmaps the leaf at `at`, but leaves its table in place.
fn forget_leaf(host: &mut Host, at: u64, size: LeafSize) {
    let tree = host.tree;
    let table = host.table_of(VirtAddr::new(at), size);
    // Something in the first entry keeps the table from going with the leaf in its last one.
    host.poke(table, 0, 1 << 11);
    let _ = tree.unmap(host, range(at, 1), |_| Fate::Drop).unwrap();
    host.poke(table, 0, 0);
    host.check();
}

fn every_k(depth: Depth, max: LeafSize, faults: impl Fn(u32) -> Faults) -> u32 {
    let mut k = 0;
    while Scene::new(depth, max).fails_without_a_trace(faults(k)) {
        k += 1;
    }
    k
}

const DEPTHS: [Depth; 2] = [Depth::Four, Depth::Five];
const SIZES: [LeafSize; 3] = [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB];

#[test]
fn every_table_allocation() {
    for depth in DEPTHS {
        // On both sides of the boundary the tables are there.
        let tried = SIZES.map(|max| every_k(depth, max, |k| Faults { table: Some(k), ..Faults::default() }));
        assert_eq!(tried, [0, 0, 0]);
        let fresh = SIZES.map(|max| every_k_in_empty_tables(depth, max));
        let upper_tables = if depth == Depth::Four { 0 } else { 1 };
        assert_eq!(fresh, [6, 4, 2].map(|tables| tables + upper_tables));
    }
}

/// The same, with nothing mapped before; returns how many table allocations there were.
fn every_k_in_empty_tables(depth: Depth, max: LeafSize) -> u32 {
    for k in 0.. {
        let mut scene = Scene::new(depth, max);
        scene.host = Host::new(depth);
        if !scene.fails_without_a_trace(Faults { table: Some(k), ..Faults::default() }) {
            return k;
        }
    }
    0
}

#[test]
fn every_leaf_allocation() {
    for depth in DEPTHS {
        // A large leaf falls back to smaller ones, of which there are none here.
        let tried = SIZES.map(|max| {
            every_k(depth, max, |k| {
                let no_leaves_of = SIZES.into_iter().filter(|&size| size < max).collect();
                Faults { leaf: Some(k), no_leaves_of, ..Faults::default() }
            })
        });
        assert!(tried.iter().all(|&tried| tried > 20), "{tried:?}");
    }
}

#[test]
fn every_link() {
    for depth in DEPTHS {
        let tried = SIZES.map(|max| every_k(depth, max, |k| Faults { link: Some(k), ..Faults::default() }));
        assert!(tried.iter().all(|&tried| tried > 20), "{tried:?}");
    }
}

#[test]
fn misaligned_memory_is_given_back() {
    for max in SIZES {
        let faults = Faults { misalign_leaf: Some(max), ..Faults::default() };
        assert!(Scene::new(Depth::Four, max).fails_without_a_trace(faults));
    }
    let mut host = Host::new(Depth::Four);
    let (tree, before) = (host.tree, host.snapshot());
    host.faults.misalign_table = true;
    let error =
        tree.populate(&mut host, range(upper(Depth::Four), 1), up_to(LeafSize::Size4KiB)).unwrap_err();
    let PopulateError::Misaligned { at, frame, what } = error else { panic!("{error}") };
    assert_eq!((at, what), (VirtAddr::new(upper(Depth::Four)), Wanted::Table(Level::PUD)));
    assert_eq!(frame.as_u64() & 0xfff, 0x800);
    assert_eq!(host.snapshot(), before);
}

#[test]
fn errors_name_the_offender() {
    let start = upper(Depth::Four) + 5 * 0x1000;
    let at = VirtAddr::new(start);
    let cases = [
        (
            Faults { table: Some(1), ..Faults::default() },
            PopulateError::OutOfMemory { at, what: Wanted::Table(Level::PMD) },
            "out of memory for a PMD table at 0xffff800000005000",
        ),
        (
            Faults { leaf: Some(0), ..Faults::default() },
            PopulateError::OutOfMemory { at, what: Wanted::Leaf(LeafSize::Size4KiB) },
            "out of memory for a 4 KiB leaf at 0xffff800000005000",
        ),
        (
            Faults { link: Some(0), ..Faults::default() },
            PopulateError::LinkRefused { at, size: LeafSize::Size4KiB },
            "4 KiB leaf at 0xffff800000005000 was refused",
        ),
    ];
    for (faults, expected, text) in cases {
        let mut host = Host::new(Depth::Four);
        let tree = host.tree;
        host.faults = faults;
        let error = tree.populate(&mut host, range(start + 7, 1), up_to(LeafSize::Size4KiB)).unwrap_err();
        assert_eq!((error, error.to_string().as_str()), (expected, text));
        host.check();
    }
}
