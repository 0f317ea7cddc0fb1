//! The rules, against a map that has an answer for each byte.

use sparsemem_boot_maps::{BootMap, MapError, Use};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, MemoryRange, NodeId, Pfn, PhysAddr, PhysRange, Region, RegionKind, WhatIs};

use crate::{free, ram, storage};

/// A step of the model: a quarter of a page, so that ranges begin and end within pages.
const STEP: u64 = 1024;
/// Steps of the address space of these tests.
const STEPS: u64 = 64;

/// A statement that a test adds.
#[derive(Clone, Copy, Debug)]
enum Said {
    Use(Use),
    Take,
    Node(u32),
}

/// A generator of numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn said(random: &mut Random) -> (u64, u64, Said) {
    let (start, len) = (random.below(STEPS - 1), random.below(24));
    let what = match random.below(8) {
        0..3 => Said::Use(Use::Free),
        3 => Said::Use(Use::Taken),
        4 => Said::Use(Use::Device),
        5 => Said::Use(Use::Reserved),
        6 => Said::Take,
        _ => Said::Node(u32::try_from(random.below(3)).unwrap()),
    };
    (start, len.min(STEPS - start), what)
}

/// The use and the node of a step, by the rules as they are written down.
fn step(all: &[(u64, u64, Said)], at: u64) -> (Option<Use>, u32) {
    let here =
        || all.iter().filter(|(start, len, _)| *start <= at && at < start + len).map(|(.., what)| *what);
    let has = |used| here().any(|what| matches!(what, Said::Use(of) if of == used));
    let is_taken = here().any(|what| matches!(what, Said::Take));
    let used = if has(Use::Reserved) {
        Some(Use::Reserved)
    } else if has(Use::Device) {
        Some(Use::Device)
    } else if has(Use::Taken) || has(Use::Free) && is_taken {
        Some(Use::Taken)
    } else {
        has(Use::Free).then_some(Use::Free)
    };
    let node = here().find_map(|what| if let Said::Node(node) = what { Some(node) } else { None });
    (used, node.unwrap_or(0))
}

/// Pages all of whose steps are wanted, joined where they touch and have one node.
fn pages(all: &[(u64, u64, Said)], wanted: fn(Option<Use>) -> bool) -> Vec<(u64, u64, u32)> {
    let mut pages = Vec::<(u64, u64, u32)>::new();
    for page in 0..STEPS / 4 {
        if !(page * 4..page * 4 + 4).all(|at| wanted(step(all, at).0)) {
            continue;
        }
        let (start, end, node) = (page * 4096, page * 4096 + 4096, step(all, page * 4).1);
        match pages.last_mut() {
            Some(last) if last.1 == start && last.2 == node => last.1 = end,
            _ => pages.push((start, end, node)),
        }
    }
    pages
}

fn add(map: &mut BootMap<'_>, (start, len, what): (u64, u64, Said)) {
    let (start, len) = (PhysAddr::new(start * STEP), len * STEP);
    let added = match what {
        Said::Use(used) => map.add(start, len, used),
        Said::Take => map.take(PhysRange::from_start_count(start, ByteLen::new(len)).unwrap()),
        Said::Node(node) => map.assign(start, len, NodeId::new(node)),
    };
    added.unwrap();
}

#[test]
fn every_byte_has_the_answer_of_the_rules() {
    let mut random = Random(7);
    for round in 0..3000 {
        let count = random.below(10);
        let all: Vec<_> = (0..count).map(|_| said(&mut random)).collect();
        let mut storage = storage(10);
        let mut map = BootMap::new(&mut storage);
        all.iter().for_each(|it| add(&mut map, *it));
        assert_eq!(ram(&map), pages(&all, |used| used.is_some_and(Use::is_ram)), "{round}: {all:?}");
        assert_eq!(free(&map), pages(&all, |used| used == Some(Use::Free)), "{round}: {all:?}");

        let empty = Region { range: PhysRange::default(), kind: RegionKind::Ram };
        let mut regions = vec![empty; 64];
        let regions = map.regions(&mut regions).unwrap();
        for at in 0..STEPS {
            let here = PhysRange::from_start_count(PhysAddr::new(at * STEP), ByteLen::new(STEP)).unwrap();
            let expected = step(&all, at).0.map_or(WhatIs::Hole, |used| used.region().into());
            assert_eq!(regions.what_is(here), expected, "{round}: {all:?} at {at}");
        }
    }
}

/// The same ranges in another order are the same map, except for nodes, of which the first counts.
#[test]
fn order_does_not_matter() {
    let mut random = Random(3);
    for _ in 0..300 {
        let mut all: Vec<_> = (0..8).map(|_| said(&mut random)).collect();
        all.retain(|(.., what)| !matches!(what, Said::Node(_)));
        let answers = [false, true].map(|is_reversed| {
            let mut storage = storage(8);
            let mut map = BootMap::new(&mut storage);
            if is_reversed {
                all.reverse();
            }
            all.iter().for_each(|it| add(&mut map, *it));
            (ram(&map), free(&map))
        });
        assert_eq!(answers[0], answers[1], "{all:?}");
    }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let mut storage = storage(1);
    let mut map = BootMap::new(&mut storage);
    let start = PhysAddr::new(u64::MAX - 4095);
    assert_eq!(map.add(start, 8192, Use::Free), Err(MapError::Wraps { start, len: 8192 }));
    map.add(PhysAddr::new(0), 0, Use::Reserved).unwrap();
    map.add(PhysAddr::new(4096), 8192, Use::Free).unwrap();
    assert_eq!(map.add(PhysAddr::new(0), 1, Use::Free), Err(MapError::Full { capacity: 1 }));
    assert_eq!(map.regions(&mut []), Err(MapError::Full { capacity: 0 }));
    assert_eq!(ram(&map), [(4096, 12288, 0)]);
}

#[test]
fn memory_up_to_the_last_address_ends() {
    let mut storage = storage(2);
    let mut map = BootMap::new(&mut storage);
    map.add(PhysAddr::new(u64::MAX - 0xffff), 0xffff, Use::Free).unwrap();
    let all: Vec<MemoryRange> = map.ram::<X86_64>().collect();
    assert_eq!(all.len(), 1);
    assert_eq!(
        all[0].frames.end(),
        Pfn::new(u64::MAX >> 12),
        "the last byte is not in it, so the last frame is not"
    );
}
