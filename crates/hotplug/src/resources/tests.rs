//! Resources split, merge and nest by the rules of Linux for requesting, releasing and merging; whoever asks about an address hears who has it, after any requests and releases.

use super::*;
use crate::Full;
use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// Addresses that the tests use.
const LEN: usize = 24;
const END: u64 = LEN as u64;

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
}

fn of(kind: ResourceKind, start: u64, end: u64) -> Resource {
    Resource { range: range(start, end), kind, name: "it", merge: Merge::Allowed }
}

fn ram(start: u64, end: u64) -> Resource {
    of(ResourceKind::SystemRam, start, end)
}

fn ranges(tree: &Resources<'_>) -> Vec<(u64, u64)> {
    tree.iter().map(|it| (it.range.start().get(), it.range.end().get())).collect()
}

/// A tree of these resources.
fn with<T>(resources: &[Resource], test: impl FnOnce(&mut Resources<'_>) -> T) -> T {
    let mut slots = [None; 8];
    let mut tree = Resources::new(&mut slots);
    resources.iter().for_each(|it| tree.request(*it).unwrap());
    test(&mut tree)
}

#[test]
fn a_conflict_strictly_inside_is_seen() {
    // Linux checks only the first and the last frame (D-20).
    with(&[ram(40, 50)], |tree| {
        let error = tree.request(of(ResourceKind::Device, 0, 100)).unwrap_err();
        assert_eq!(error, ResourceError::Conflict { range: range(0, 100), with: ram(40, 50) });
        assert_eq!(error.to_string(), "[0x0, 0x64) conflicts with SystemRam \"it\" at [0x28, 0x32)");
        for (start, end) in [(40, 50), (45, 47), (39, 41), (49, 60)] {
            assert!(tree.request(of(ResourceKind::Device, start, end)).is_err());
        }
        tree.request(of(ResourceKind::Device, 50, 60)).unwrap();
        assert!(matches!(tree.request(ram(70, 70)), Err(ResourceError::Empty { .. })));
    });
}

#[test]
fn devices_lie_in_persistent_memory() {
    let all = [of(ResourceKind::Persistent, 10, 50), of(ResourceKind::Device, 10, 50), ram(0, 10)];
    with(&all, |tree| {
        assert_eq!(ranges(tree), [(0, 10), (10, 50), (10, 50)]);
        let depths: Vec<_> = tree.iter().map(|it| tree.depth(it)).collect();
        assert_eq!(depths, [0, 0, 1]);
        assert_eq!(tree.at(PhysAddr::new(10)).unwrap().kind, ResourceKind::Device);
        assert!(tree.at(PhysAddr::new(50)).is_none());
        let error = tree.release(range(10, 50), ResourceKind::Persistent).unwrap_err();
        assert!(matches!(error, ResourceError::HoldsOthers { .. }));
        tree.release(range(10, 50), ResourceKind::Device).unwrap();
        assert!(tree.release(range(10, 40), ResourceKind::Persistent).is_err(), "only as a whole");
        tree.release(range(10, 50), ResourceKind::Persistent).unwrap();
        assert_eq!(ranges(tree), [(0, 10)]);
    });
}

#[test]
fn half_inside_a_window_is_a_conflict() {
    with(&[of(ResourceKind::Window, 10, 50)], |tree| {
        assert!(tree.request(ram(0, 20)).is_err() && tree.request(ram(0, 60)).is_err());
        tree.request(of(ResourceKind::Window, 20, 40)).unwrap();
        assert!(tree.request(ram(10, 30)).is_err());
        tree.request(ram(20, 30)).unwrap();
        assert_eq!(ranges(tree), [(10, 50), (20, 40), (20, 30)]);
    });
}

#[test]
fn a_release_cuts_exactly_what_it_names() {
    // A release of all, of a prefix, of a suffix and of the middle (H-20).
    let left = |start, end| {
        with(&[ram(10, 50)], |tree| {
            tree.release(range(start, end), ResourceKind::SystemRam).unwrap();
            ranges(tree)
        })
    };
    assert_eq!(left(10, 50), []);
    assert_eq!(left(10, 20), [(20, 50)]);
    assert_eq!(left(40, 50), [(10, 40)]);
    assert_eq!(left(20, 30), [(10, 20), (30, 50)]);
}

#[test]
fn a_release_may_span_neighbours_but_no_gap() {
    with(&[ram(10, 20), ram(20, 30), ram(30, 40), ram(50, 60)], |tree| {
        let error = tree.release(range(35, 55), ResourceKind::SystemRam).unwrap_err();
        let (kind, missing) = (ResourceKind::SystemRam, range(40, 50));
        assert_eq!(error, ResourceError::Absent { range: range(35, 55), kind, missing });
        tree.release(range(15, 35), ResourceKind::SystemRam).unwrap();
        assert_eq!(ranges(tree), [(10, 15), (35, 40), (50, 60)]);
        assert!(tree.release(range(0, 5), ResourceKind::SystemRam).is_err());
        assert!(tree.release(range(10, 15), ResourceKind::Device).is_err());
        assert!(tree.release(range(12, 12), ResourceKind::SystemRam).is_err());
    });
}

#[test]
fn a_piece_from_the_middle_needs_room() {
    let mut slots = [None; 1];
    let mut tree = Resources::new(&mut slots);
    tree.request(ram(10, 50)).unwrap();
    assert!(matches!(
        tree.release(range(20, 30), ResourceKind::SystemRam),
        Err(ResourceError::Full(Full { capacity: 1, taken: 1, wanted: 1 }))
    ));
    assert_eq!(ranges(&tree), [(10, 50)]);
    assert!(matches!(tree.request(ram(50, 60)), Err(ResourceError::Full(_))));
}

#[test]
fn equal_neighbours_merge_on_request() {
    with(&[ram(10, 20), ram(30, 40), ram(20, 30)], |tree| {
        assert!(tree.merge(range(20, 30)));
        assert_eq!(ranges(tree), [(10, 40)]);
        tree.request(Resource { merge: Merge::Separate, ..ram(40, 50) }).unwrap();
        assert!(!tree.merge(range(40, 50)) && !tree.merge(range(10, 40)) && !tree.merge(range(0, 5)));
    });
}

#[test]
fn neighbours_in_different_windows_do_not_merge() {
    let window = |start, end| of(ResourceKind::Window, start, end);
    with(&[window(10, 20), ram(15, 20), ram(20, 30)], |tree| {
        assert!(!tree.merge(range(20, 30)) && !tree.merge(range(15, 20)));
        tree.release(range(20, 30), ResourceKind::SystemRam).unwrap();
        assert_eq!(ranges(tree), [(10, 20), (15, 20)]);
    });
    with(&[window(10, 30), window(30, 50), ram(10, 20), ram(20, 30), ram(30, 40)], |tree| {
        assert!(tree.merge(range(20, 30)) && !tree.merge(range(30, 40)));
        assert_eq!(ranges(tree), [(10, 30), (10, 30), (30, 50), (30, 40)]);
    });
}

#[test]
fn depth_counts_what_a_resource_lies_in_and_nothing_beside_it() {
    let window = |start, end| of(ResourceKind::Window, start, end);
    let all = [window(0, 10), window(10, 50), window(20, 40), ram(25, 30), ram(40, 45), ram(60, 70)];
    with(&all, |tree| {
        let depths: Vec<_> = tree.iter().map(|it| tree.depth(it)).collect();
        assert_eq!(depths, [0, 0, 1, 2, 1, 0]);
        let owner = |address| tree.at(PhysAddr::new(address)).map(|it| it.range);
        let owners = [5, 10, 24, 25, 30, 44, 45, 50, 69].map(owner);
        let expected = [(0, 10), (10, 50), (20, 40), (25, 30), (20, 40), (40, 45), (10, 50)];
        assert!(owners[..7].iter().copied().eq(expected.map(|(start, end)| Some(range(start, end)))));
        assert_eq!(owners[7..], [None, Some(range(60, 70))]);
    });
}

#[test]
fn an_inner_window_comes_behind_the_outer_one_of_the_same_start() {
    let window = |start, end| of(ResourceKind::Window, start, end);
    with(&[window(30, 40), window(0, 20)], |tree| {
        tree.request(window(0, 10)).unwrap();
        tree.request(ram(0, 5)).unwrap();
        tree.request(ram(5, 10)).unwrap();
        assert_eq!(ranges(tree), [(0, 20), (0, 10), (0, 5), (5, 10), (30, 40)]);
        // A window around what is there already cannot come later.
        let outer = tree.request(window(0, 60)).unwrap_err();
        assert_eq!(outer, ResourceError::Conflict { range: range(0, 60), with: window(0, 20) });
    });
}

#[test]
fn a_window_goes_when_it_is_empty() {
    let window = |start, end| of(ResourceKind::Window, start, end);
    let release = |tree: &mut Resources<'_>, start, end, kind| tree.release(range(start, end), kind);
    with(&[window(0, 10), window(20, 40), ram(25, 30), ram(50, 60)], |tree| {
        let held = ResourceError::HoldsOthers { range: range(20, 40), child: ram(25, 30) };
        assert_eq!(release(tree, 20, 40, ResourceKind::Window), Err(held));
        let wrong = ResourceError::Absent {
            range: range(20, 40),
            kind: ResourceKind::Persistent,
            missing: range(20, 40),
        };
        assert_eq!(release(tree, 20, 40, ResourceKind::Persistent), Err(wrong));
        assert!(release(tree, 0, 10, ResourceKind::SystemRam).is_err(), "a window is no RAM");
        release(tree, 25, 30, ResourceKind::SystemRam).unwrap();
        // What stands behind it is no child.
        release(tree, 20, 40, ResourceKind::Window).unwrap();
        assert_eq!(ranges(tree), [(0, 10), (50, 60)]);
        release(tree, 0, 10, ResourceKind::Window).unwrap();
        assert_eq!(ranges(tree), [(50, 60)]);
        assert!(release(tree, 0, 10, ResourceKind::Window).is_err());
    });
}

#[test]
fn of_two_windows_of_the_same_range_the_inner_one_goes_first() {
    let (outer, inner) = (of(ResourceKind::Window, 10, 20), of(ResourceKind::Persistent, 10, 20));
    with(&[outer, inner], |tree| {
        let held = ResourceError::HoldsOthers { range: range(10, 20), child: inner };
        assert_eq!(tree.release(range(10, 20), ResourceKind::Window), Err(held));
        tree.release(range(10, 20), ResourceKind::Persistent).unwrap();
        tree.release(range(10, 20), ResourceKind::Window).unwrap();
        assert_eq!(ranges(tree), []);
    });
    with(&[outer, outer], |tree| {
        tree.release(range(10, 20), ResourceKind::Window).unwrap();
        assert_eq!(ranges(tree), [(10, 20)]);
    });
}

#[test]
fn a_release_does_not_cross_the_border_of_a_window() {
    let window = of(ResourceKind::Window, 20, 40);
    with(&[ram(5, 8), ram(10, 20), window, ram(20, 30), ram(30, 35)], |tree| {
        let error = tree.release(range(15, 25), ResourceKind::SystemRam).unwrap_err();
        assert_eq!(error, ResourceError::Conflict { range: range(15, 25), with: window });
        assert_eq!(ranges(tree).len(), 5);
        tree.release(range(25, 32), ResourceKind::SystemRam).unwrap();
        tree.release(range(12, 20), ResourceKind::SystemRam).unwrap();
        assert_eq!(ranges(tree), [(5, 8), (10, 12), (20, 40), (20, 25), (32, 35)]);
    });
}

#[test]
fn a_release_names_the_lowest_part_that_is_not_there() {
    let missing = |start, end| {
        with(&[ram(10, 20), of(ResourceKind::Device, 20, 30), ram(30, 40), ram(40, 50)], |tree| {
            match tree.release(range(start, end), ResourceKind::SystemRam) {
                Err(ResourceError::Absent { missing, .. }) => (missing.start().get(), missing.end().get()),
                other => panic!("{other:?}"),
            }
        })
    };
    assert_eq!(missing(0, 10), (0, 10));
    assert_eq!(missing(5, 15), (5, 10));
    assert_eq!(missing(15, 35), (20, 30));
    assert_eq!(missing(20, 25), (20, 25));
    assert_eq!(missing(35, 60), (50, 60));
    assert_eq!(missing(50, 60), (50, 60));
}

#[test]
fn neighbours_become_one_on_both_sides_and_only_if_they_are_alike() {
    let merged = |resources: &[Resource], start, end| {
        with(resources, |tree| (tree.merge(range(start, end)), ranges(tree)))
    };
    let three = [ram(0, 10), ram(10, 20), ram(20, 30)];
    assert_eq!(merged(&three, 12, 14), (true, vec![(0, 30)]));
    assert_eq!(merged(&three, 0, 10), (true, vec![(0, 20), (20, 30)]));
    assert_eq!(merged(&three, 20, 30), (true, vec![(0, 10), (10, 30)]));
    assert_eq!(merged(&three, 5, 15), (false, vec![(0, 10), (10, 20), (20, 30)]), "of no single resource");
    let apart = [ram(0, 10), ram(11, 20)];
    assert_eq!(merged(&apart, 0, 10), (false, vec![(0, 10), (11, 20)]));
    let others = [
        of(ResourceKind::Device, 10, 20),
        Resource { name: "System RAM (kmem)", ..ram(10, 20) },
        Resource { merge: Merge::Separate, ..ram(10, 20) },
    ];
    for other in others {
        for asked in [(0, 10), (10, 20)] {
            let unchanged = (false, vec![(0, 10), (10, 20)]);
            assert_eq!(merged(&[ram(0, 10), other], asked.0, asked.1), unchanged, "{other:?}");
        }
    }
    // Both of them alike, but neither allows it.
    let separate =
        [(0, 10), (10, 20)].map(|(start, end)| Resource { merge: Merge::Separate, ..ram(start, end) });
    assert_eq!(merged(&separate, 0, 10), (false, vec![(0, 10), (10, 20)]));
    let windows = [of(ResourceKind::Window, 0, 10), of(ResourceKind::Window, 10, 20)];
    assert_eq!(merged(&windows, 0, 10), (false, vec![(0, 10), (10, 20)]), "places stay apart");
}

#[test]
fn a_window_before_or_around_ram_is_not_merged_with_it() {
    let window = |start, end| of(ResourceKind::Window, start, end);
    with(&[window(0, 10), window(10, 20), window(20, 60), ram(20, 30), ram(30, 40)], |tree| {
        assert!(!tree.merge(range(0, 10)) && !tree.merge(range(10, 20)) && !tree.merge(range(50, 60)));
        assert!(tree.merge(range(30, 40)));
        assert_eq!(ranges(tree), [(0, 10), (10, 20), (20, 60), (20, 40)]);
    });
}

/// A call by which somebody requests, releases or merges addresses.
#[derive(Clone, Copy, Debug)]
enum Op {
    Request(Resource),
    Release(PhysRange, ResourceKind),
    Merge(PhysRange),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let kind = prop_oneof![
        3 => Just(ResourceKind::SystemRam),
        1 => Just(ResourceKind::Device),
    ];
    let merge = prop_oneof![3 => Just(Merge::Allowed), 1 => Just(Merge::Separate)];
    let op = (0..END, 1..8u64, kind, merge, 0..5u8).prop_map(|(start, len, kind, merge, what)| {
        let range = range(start, (start + len).min(END));
        match what {
            0 | 1 => Op::Request(Resource { range, kind, name: "it", merge }),
            2 | 3 => Op::Release(range, kind),
            _ => Op::Merge(range),
        }
    });
    proptest::collection::vec(op, 0..40)
}

/// The owner of each address.
type Owners = [Option<(ResourceKind, Merge)>; LEN];

fn slice(owners: &mut Owners, range: PhysRange) -> &mut [Option<(ResourceKind, Merge)>] {
    let index = |address: PhysAddr| usize::try_from(address.get()).unwrap();
    &mut owners[index(range.start())..index(range.end())]
}

proptest! {
    /// Against a table with an entry per address.
    #[test]
    fn every_address_has_the_owner_that_asked_for_it(ops in ops()) {
        let mut slots = [None; LEN];
        let mut tree = Resources::new(&mut slots);
        let mut owners: Owners = [None; LEN];
        for op in ops {
            match op {
                Op::Request(resource) => {
                    let part = slice(&mut owners, resource.range);
                    let free = part.iter().all(Option::is_none);
                    prop_assert_eq!(tree.request(resource).is_ok(), free);
                    if free {
                        part.fill(Some((resource.kind, resource.merge)));
                    }
                }
                Op::Release(range, kind) => {
                    let part = slice(&mut owners, range);
                    let all = part.iter().all(|owner| owner.is_some_and(|it| it.0 == kind));
                    prop_assert_eq!(tree.release(range, kind).is_ok(), all);
                    if all {
                        part.fill(None);
                    }
                }
                Op::Merge(range) => {
                    let before = tree.iter().count();
                    prop_assert_eq!(tree.merge(range), tree.iter().count() < before);
                }
            }
            let found = (0..END).map(|it| tree.at(PhysAddr::new(it)).map(|it| (it.kind, it.merge)));
            prop_assert!(found.eq(owners.iter().copied()), "{op:?} left {tree:?}");
            prop_assert!(tree.iter().map(|it| it.range).is_sorted_by(|one, next| one.end() <= next.start()));
        }
    }
}
