//! Every single thing that can fail, fails in turn: nothing may be left behind.

use sparsemem_core::{LeafSize, LinkRefused, OutOfMemory, PagingDepth, VirtAddr, VirtRange};
use sparsemem_page_table::{Level, PopulateError, Wanted};

use crate::host::{Faults, Host, NODE};
use crate::ranges::{DEPTHS, SIZES, range, up_to, upper};

/// A range over the boundary of a PUD table, some of which is mapped already, next to an old empty table.
struct Scene {
    host: Host,
    wanted: VirtRange,
    max: LeafSize,
}

impl Scene {
    fn new(depth: PagingDepth, max: LeafSize) -> Self {
        let boundary = upper(depth) | 1 << 39;
        let mut host = Host::new(depth);
        let old = range(boundary + 3 * max.bytes(), 2 * max.bytes());
        let _ = host.fill(old, max);
        let _ = host.fill(range(boundary - 1, 1), max);
        forget_leaf(&mut host, boundary - max.bytes(), max);
        let len_bytes = 30 * max.bytes();
        Self { host, wanted: range(boundary - len_bytes / 2 + 1, len_bytes), max }
    }

    fn populate(&mut self) -> Result<(), PopulateError> {
        self.host.populate(self.wanted, up_to(self.max)).map(|made| assert!(!made.is_nothing()))
    }

    /// Runs into `faults` and compares; `false` if there was nothing left to fail.
    fn fails_without_a_trace(mut self, faults: Faults) -> bool {
        let before = self.host.snapshot();
        self.host.faults = faults;
        let result = self.populate();
        if result.is_ok() {
            return false;
        }
        assert!(self.host.snapshot() == before, "something was left behind by {result:?}");
        // Once the fault is gone it works.
        self.host.faults = Faults::default();
        self.populate().unwrap();
        true
    }
}

/// Unmaps the leaf at `at`, but leaves its table in place.
fn forget_leaf(host: &mut Host, at: u64, size: LeafSize) {
    let table = host.table_of(VirtAddr::new(at), size);
    // Something in the first entry keeps the table from going with the leaf in its last one.
    host.poke(table, 0, 1 << 11);
    let _ = host.empty(range(at, 1));
    host.poke(table, 0, 0);
    host.check();
}

fn every_k(depth: PagingDepth, max: LeafSize, faults: impl Fn(u32) -> Faults) -> u32 {
    let mut k = 0;
    while Scene::new(depth, max).fails_without_a_trace(faults(k)) {
        k += 1;
    }
    k
}

#[test]
fn every_table_allocation() {
    for depth in DEPTHS {
        // On both sides of the boundary the tables are there.
        let tried = SIZES.map(|max| every_k(depth, max, |k| Faults { table: Some(k), ..Faults::default() }));
        assert_eq!(tried, [0, 0, 0]);
        let fresh = SIZES.map(|max| every_k_in_empty_tables(depth, max));
        let upper_tables = if depth == PagingDepth::Four { 0 } else { 1 };
        assert_eq!(fresh, [6, 4, 2].map(|tables| tables + upper_tables));
    }
}

/// The same, with nothing mapped before; returns how many table allocations there were.
fn every_k_in_empty_tables(depth: PagingDepth, max: LeafSize) -> u32 {
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
        assert!(Scene::new(PagingDepth::Four, max).fails_without_a_trace(faults));
    }
    let mut host = Host::new(PagingDepth::Four);
    let before = host.snapshot();
    host.faults.misalign_table = true;
    let error = host.populate(range(upper(PagingDepth::Four), 1), up_to(LeafSize::Size4KiB)).unwrap_err();
    let PopulateError::Misaligned { at, phys, what } = error else { panic!("{error}") };
    assert_eq!((at, what), (VirtAddr::new(upper(PagingDepth::Four)), Wanted::Table(Level::PUD)));
    assert_eq!(phys.get() & 0xfff, 0x800);
    assert_eq!(host.snapshot(), before);
}

/// An entry has 52 address bits; what lies above them was cut off once, and other memory was mapped.
#[test]
fn memory_that_no_entry_can_point_to_is_given_back() {
    for max in SIZES {
        let faults = Faults { far_leaf: Some(max), ..Faults::default() };
        assert!(Scene::new(PagingDepth::Four, max).fails_without_a_trace(faults));
    }
    let at = upper(PagingDepth::Four);
    for (far_table, what) in [(true, Wanted::Table(Level::PUD)), (false, Wanted::Leaf(LeafSize::Size2MiB))] {
        let mut host = Host::new(PagingDepth::Four);
        let before = host.snapshot();
        host.faults = Faults { far_table, far_leaf: Some(LeafSize::Size2MiB), ..Faults::default() };
        let error = host.populate(range(at, 1), up_to(LeafSize::Size2MiB)).unwrap_err();
        let PopulateError::OutOfReach { at: named, phys, what: wanted } = error else { panic!("{error}") };
        assert_eq!((named, wanted, phys.get() >> 52), (VirtAddr::new(at), what, 1));
        assert!(
            error
                .to_string()
                .ends_with(&format!("beyond the reach of a page-table entry, for a {what} at {named}"))
        );
        assert_eq!(host.snapshot(), before);
    }
}

#[test]
fn errors_name_the_offender() {
    let start = upper(PagingDepth::Four) + 5 * 0x1000;
    let (at, error) = (VirtAddr::new(start), OutOfMemory { size: 4096, align: 4096, node: NODE });
    let cases = [
        (
            Faults { table: Some(1), ..Faults::default() },
            PopulateError::OutOfMemory { at, what: Wanted::Table(Level::PMD), error },
            "out of memory for a PMD table at 0xffff800000005000: \
             no memory for 4096 bytes of metadata, aligned to 4096 bytes, near node 3",
        ),
        (
            Faults { leaf: Some(0), ..Faults::default() },
            PopulateError::OutOfMemory { at, what: Wanted::Leaf(LeafSize::Size4KiB), error },
            "out of memory for a 4 KiB leaf at 0xffff800000005000: \
             no memory for 4096 bytes of metadata, aligned to 4096 bytes, near node 3",
        ),
        (
            Faults { link: Some(0), ..Faults::default() },
            PopulateError::LinkRefused { size: LeafSize::Size4KiB, refused: LinkRefused { at } },
            "a 4 KiB leaf cannot be mapped: the address space refused the mapping at 0xffff800000005000",
        ),
    ];
    for (faults, expected, text) in cases {
        let mut host = Host::new(PagingDepth::Four);
        host.faults = faults;
        let error = host.populate(range(start + 7, 1), up_to(LeafSize::Size4KiB)).unwrap_err();
        assert_eq!((error, error.to_string().as_str()), (expected, text));
    }
}
