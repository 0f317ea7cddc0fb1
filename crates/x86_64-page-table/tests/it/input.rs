//! Input that makes no sense gets an error that names it, and touches nothing.

use sparsemem_core::{ByteLen, LeafSize, Origin, PagingDepth, ReversedRange, VirtAddr, VirtRange};
use sparsemem_page_table::{Fate, PopulateError, UnmapError, Walk};

use crate::host::Host;
use crate::ranges::{DEPTHS, range, up_to, up_to_top, upper};

#[test]
fn ranges_that_do_not_exist_cannot_be_made() {
    let (start, end) = (VirtAddr::new(1), VirtAddr::new(0));
    let error = VirtRange::new(start, end).unwrap_err();
    assert_eq!(error, ReversedRange { start: 1, end: 0 });
    assert_eq!(error.to_string(), "range ends at 0x0, before its start 0x1");
    let len_bytes = ByteLen::new(u64::MAX - 1);
    assert_eq!(VirtRange::from_start_count(start, len_bytes), Some(up_to_top(1)));
    assert_eq!(VirtRange::from_start_count(VirtAddr::new(2), len_bytes), None);
    assert_eq!(Origin::from_code(3), None);
}

#[test]
fn empty_ranges_are_refused() {
    for at in [0, 0x1000, upper(PagingDepth::Four), u64::MAX, upper(PagingDepth::Four) - 1] {
        let mut host = Host::new(PagingDepth::Four);
        let (tree, before) = (host.tree, host.snapshot());
        let range = VirtRange::empty_at(VirtAddr::new(at));
        let made = host.populate(range, up_to(LeafSize::Size1GiB));
        assert_eq!(made, Err(PopulateError::Empty { range }));
        assert_eq!(host.unmap(range, |_| Fate::Drop), Err(UnmapError::Empty { range }));
        assert_eq!(tree.mappings(&host, range).count(), 0);
        assert_eq!(host.snapshot(), before);
    }
}

#[test]
fn ranges_with_untranslatable_bytes_are_refused() {
    for depth in DEPTHS {
        let low_end = upper(depth).wrapping_neg();
        let bad = [
            range(low_end, 1),
            range(low_end - 1, 2),
            range(upper(depth) - 1, 1),
            range(upper(depth) - 1, 2),
            range(low_end + 0x1000, 0x1000),
            // Both ends are fine, what lies between them is not.
            range(low_end - 0x1000, upper(depth) - low_end + 0x2000),
            range(0, u64::MAX),
            up_to_top(1),
            up_to_top(upper(depth) - 1),
        ];
        for range in bad {
            let mut host = Host::new(depth);
            let before = host.snapshot();
            let made = host.populate(range, up_to(LeafSize::Size1GiB));
            assert_eq!(made, Err(PopulateError::NonCanonical { range }));
            let gone = host.unmap(range, |_| Fate::Drop);
            assert_eq!(gone, Err(UnmapError::NonCanonical { range }));
            assert_eq!((host.snapshot(), host.nr_flushes, host.nr_leaf_allocs), (before, 0, 0));
        }
    }
}

#[test]
fn addresses_that_cannot_be_translated_are_told_apart() {
    let (four, five) = (Host::new(PagingDepth::Four), Host::new(PagingDepth::Five));
    let at = VirtAddr::new(0xff80_0000_0000_0000);
    assert_eq!(four.tree.walk(&four, at), Walk::NonCanonical);
    assert!(matches!(five.tree.walk(&five, at), Walk::Absent { .. }));
    assert_eq!(five.tree.walk(&five, VirtAddr::new(1 << 56)), Walk::NonCanonical);
}
