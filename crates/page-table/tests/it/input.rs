//! Input that makes no sense gets an error that names it, and touches nothing.

use sparsemem_page_table::{
    Depth, Fate, LeafSize, PopulateError, ReversedRange, Tag, UnmapError, VirtAddr, VirtRange, Walk,
};

use crate::host::Host;
use crate::straddle::{range, up_to, upper};

#[test]
fn ranges_that_do_not_exist_cannot_be_made() {
    let (start, end) = (VirtAddr::new(1), VirtAddr::new(0));
    let error = VirtRange::new(start, end).unwrap_err();
    assert_eq!(error, ReversedRange { start, end });
    assert_eq!(error.to_string(), "range ends at 0x0, before its start 0x1");
    assert_eq!(VirtRange::from_start_len(start, u64::MAX).map(VirtRange::end), Some(None));
    assert_eq!(VirtRange::from_start_len(VirtAddr::new(2), u64::MAX), None);
    assert_eq!(VirtRange::up_to_top(VirtAddr::new(0)), None);
    assert_eq!(Tag::new(4), None);
}

#[test]
fn empty_ranges_are_refused() {
    for at in [0, 0x1000, upper(Depth::Four), u64::MAX, upper(Depth::Four) - 1] {
        let mut host = Host::new(Depth::Four);
        let (tree, before) = (host.tree, host.snapshot());
        let range = VirtRange::empty_at(VirtAddr::new(at));
        let made = tree.populate(&mut host, range, up_to(LeafSize::Size1GiB));
        assert_eq!(made, Err(PopulateError::Empty { range }));
        assert_eq!(tree.unmap(&mut host, range, |_| Fate::Drop), Err(UnmapError::Empty { range }));
        assert_eq!(tree.mappings(&host, range).count(), 0);
        assert_eq!(host.snapshot(), before);
    }
}

#[test]
fn ranges_with_untranslatable_bytes_are_refused() {
    for depth in [Depth::Four, Depth::Five] {
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
            VirtRange::up_to_top(VirtAddr::new(1)).unwrap(),
            VirtRange::up_to_top(VirtAddr::new(upper(depth) - 1)).unwrap(),
        ];
        for range in bad {
            let mut host = Host::new(depth);
            let (tree, before) = (host.tree, host.snapshot());
            let made = tree.populate(&mut host, range, up_to(LeafSize::Size1GiB));
            assert_eq!(made, Err(PopulateError::NonCanonical { range }));
            let gone = tree.unmap(&mut host, range, |_| Fate::Drop);
            assert_eq!(gone, Err(UnmapError::NonCanonical { range }));
            assert_eq!((host.snapshot(), host.nr_flushes, host.nr_leaf_allocs), (before, 0, 0));
        }
    }
}

#[test]
fn addresses_that_cannot_be_translated_are_told_apart() {
    let (four, five) = (Host::new(Depth::Four), Host::new(Depth::Five));
    let at = VirtAddr::new(0xff80_0000_0000_0000);
    assert_eq!(four.tree.walk(&four, at), Walk::NonCanonical);
    assert!(matches!(five.tree.walk(&five, at), Walk::Absent { .. }));
    assert_eq!(five.tree.walk(&five, VirtAddr::new(1 << 56)), Walk::NonCanonical);
}
