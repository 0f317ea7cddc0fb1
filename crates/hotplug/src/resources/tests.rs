//! The tree follows Linux' rules for requesting, releasing and merging.

use super::*;
use crate::Full;
use std::string::ToString;
use std::vec::Vec;

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
}

fn ram(start: u64, end: u64) -> Resource {
    let merge = Merge::Allowed;
    Resource { range: range(start, end), kind: ResourceKind::SystemRam, name: "System RAM", merge }
}

fn of(kind: ResourceKind, start: u64, end: u64) -> Resource {
    Resource { kind, name: "it", ..ram(start, end) }
}

fn ranges(tree: &Resources<'_>) -> Vec<(u64, u64)> {
    tree.iter().map(|it| (it.range.start().get(), it.range.end().get())).collect()
}

#[test]
fn a_conflict_strictly_inside_is_seen() {
    // Linux checks only the first and the last frame (D-20).
    let mut slots = [None; 4];
    let mut tree = Resources::new(&mut slots);
    tree.request(ram(40, 50)).unwrap();
    let error = tree.request(of(ResourceKind::Device, 0, 100)).unwrap_err();
    assert_eq!(error, ResourceError::Conflict { range: range(0, 100), with: ram(40, 50) });
    assert_eq!(error.to_string(), "[0x0, 0x64) conflicts with SystemRam \"System RAM\" at [0x28, 0x32)");
    for (start, end) in [(40, 50), (45, 47), (39, 41), (49, 60)] {
        assert!(tree.request(of(ResourceKind::Device, start, end)).is_err());
    }
    tree.request(of(ResourceKind::Device, 50, 60)).unwrap();
    assert!(matches!(tree.request(ram(70, 70)), Err(ResourceError::Empty { .. })));
}

#[test]
fn devices_lie_in_persistent_memory() {
    let mut slots = [None; 6];
    let mut tree = Resources::new(&mut slots);
    tree.request(of(ResourceKind::Persistent, 10, 50)).unwrap();
    tree.request(of(ResourceKind::Device, 10, 50)).unwrap();
    tree.request(ram(0, 10)).unwrap();
    assert_eq!(ranges(&tree), [(0, 10), (10, 50), (10, 50)]);
    let depths: Vec<_> = tree.iter().map(|it| tree.depth(it)).collect();
    assert_eq!(depths, [0, 0, 1]);
    assert_eq!(tree.at(PhysAddr::new(10)).unwrap().kind, ResourceKind::Device);
    assert!(tree.at(PhysAddr::new(50)).is_none());
    let error = tree.release(range(10, 50), ResourceKind::Persistent).unwrap_err();
    assert!(matches!(error, ResourceError::HoldsOthers { .. }));
    tree.release(range(10, 50), ResourceKind::Device).unwrap();
    assert!(tree.release(range(10, 40), ResourceKind::Persistent).is_err(), "only as a whole");
    tree.release(range(10, 50), ResourceKind::Persistent).unwrap();
    assert_eq!(ranges(&tree), [(0, 10)]);
}

#[test]
fn half_inside_a_window_is_a_conflict() {
    let mut slots = [None; 3];
    let mut tree = Resources::new(&mut slots);
    tree.request(of(ResourceKind::Window, 10, 50)).unwrap();
    assert!(tree.request(ram(0, 20)).is_err() && tree.request(ram(0, 60)).is_err());
    tree.request(of(ResourceKind::Window, 20, 40)).unwrap();
    assert!(tree.request(ram(10, 30)).is_err());
    tree.request(ram(20, 30)).unwrap();
    assert_eq!(ranges(&tree), [(10, 50), (20, 40), (20, 30)]);
}

#[test]
fn a_release_cuts_exactly_what_it_names() {
    // A release of all, of a prefix, of a suffix and of the middle (H-20).
    let left = |start, end| {
        let mut slots = [None; 2];
        let mut tree = Resources::new(&mut slots);
        tree.request(ram(10, 50)).unwrap();
        tree.release(range(start, end), ResourceKind::SystemRam).unwrap();
        ranges(&tree)
    };
    assert_eq!(left(10, 50), []);
    assert_eq!(left(10, 20), [(20, 50)]);
    assert_eq!(left(40, 50), [(10, 40)]);
    assert_eq!(left(20, 30), [(10, 20), (30, 50)]);
}

#[test]
fn a_release_may_span_neighbours_but_no_gap() {
    let mut slots = [None; 4];
    let mut tree = Resources::new(&mut slots);
    for resource in [ram(10, 20), ram(20, 30), ram(30, 40), ram(50, 60)] {
        tree.request(resource).unwrap();
    }
    let error = tree.release(range(35, 55), ResourceKind::SystemRam).unwrap_err();
    let (kind, missing) = (ResourceKind::SystemRam, range(40, 50));
    assert_eq!(error, ResourceError::Absent { range: range(35, 55), kind, missing });
    tree.release(range(15, 35), ResourceKind::SystemRam).unwrap();
    assert_eq!(ranges(&tree), [(10, 15), (35, 40), (50, 60)]);
    assert!(tree.release(range(0, 5), ResourceKind::SystemRam).is_err());
    assert!(tree.release(range(10, 15), ResourceKind::Device).is_err());
    assert!(tree.release(range(12, 12), ResourceKind::SystemRam).is_err());
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
    let mut slots = [None; 4];
    let mut tree = Resources::new(&mut slots);
    tree.request(ram(10, 20)).unwrap();
    tree.request(ram(30, 40)).unwrap();
    tree.request(ram(20, 30)).unwrap();
    assert!(tree.merge(range(20, 30)));
    assert_eq!(ranges(&tree), [(10, 40)]);
    let alone = Resource { merge: Merge::Separate, ..ram(40, 50) };
    tree.request(alone).unwrap();
    assert!(!tree.merge(range(40, 50)) && !tree.merge(range(10, 40)) && !tree.merge(range(0, 5)));
}

#[test]
fn neighbours_in_different_windows_do_not_merge() {
    let mut slots = [None; 4];
    let mut tree = Resources::new(&mut slots);
    tree.request(of(ResourceKind::Window, 10, 20)).unwrap();
    tree.request(ram(15, 20)).unwrap();
    tree.request(ram(20, 30)).unwrap();
    assert!(!tree.merge(range(20, 30)) && !tree.merge(range(15, 20)));
    tree.release(range(20, 30), ResourceKind::SystemRam).unwrap();
    assert_eq!(ranges(&tree), [(10, 20), (15, 20)]);
}

#[test]
fn neighbours_in_one_window_merge_and_in_two_of_equal_depth_do_not() {
    let mut slots = [None; 6];
    let mut tree = Resources::new(&mut slots);
    tree.request(of(ResourceKind::Window, 10, 30)).unwrap();
    tree.request(of(ResourceKind::Window, 30, 50)).unwrap();
    for resource in [ram(10, 20), ram(20, 30), ram(30, 40)] {
        tree.request(resource).unwrap();
    }
    assert!(tree.merge(range(20, 30)) && !tree.merge(range(30, 40)));
    assert_eq!(ranges(&tree), [(10, 30), (10, 30), (30, 50), (30, 40)]);
}
