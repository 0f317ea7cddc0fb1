//! Removal plans: by hand, and against all orders that there are.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sparsemem_bootmem_registration::{
    Piece, PieceSlot, PlanError, Registry, Removal, SearchSlot, SectionMetadata, SectionSlot, SliceTags,
    Storage,
};
use sparsemem_core::presets::TinyWide;
use sparsemem_core::{NodeId, Pfn, PhysAddr, PhysRange, SectionNr};

/// Bytes of a section of 64 pages.
const SECTION: u64 = 64 << 12;

/// A small machine: sections with their nodes, and who has metadata in whose section.
#[derive(Clone, Debug, Default)]
struct Layout {
    nodes: BTreeMap<u64, u32>,
    /// The first has metadata in the second.
    metadata: BTreeSet<(u64, u64)>,
    /// The node has data in the section.
    data: BTreeSet<(u32, u64)>,
}

/// A plan as plain numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Order(Vec<u64>),
    Cycle(Vec<u64>),
    Pinned(u64, u32),
}

fn nr(section: u64) -> SectionNr {
    SectionNr::new(section)
}

/// The `index`-th 64 bytes of a section.
fn bytes(section: u64, index: u64) -> PhysRange {
    let start = section * SECTION + index * 64;
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(start + 64)).unwrap()
}

impl Layout {
    fn new(nodes: &[(u64, u32)], metadata: &[(u64, u64)], data: &[(u32, u64)]) -> Self {
        Self {
            nodes: nodes.iter().copied().collect(),
            metadata: metadata.iter().copied().collect(),
            data: data.iter().copied().collect(),
        }
    }

    /// Asks the registry.
    fn with<T>(&self, ask: impl FnOnce(&mut Registry<'_, TinyWide, SliceTags<'_>>) -> T) -> T {
        let mut words = vec![0; 64 * 64];
        let (mut sections, mut pieces) = ([SectionSlot::EMPTY; 16], [PieceSlot::EMPTY; 512]);
        let storage = Storage { sections: &mut sections, pieces: &mut pieces };
        let mut registry = Registry::new(SliceTags::new(Pfn::new(0), &mut words), storage);
        for (section, node) in &self.nodes {
            registry.register_section(nr(*section), NodeId::new(*node), SectionMetadata::default()).unwrap();
        }
        for (user, host) in &self.metadata {
            registry.get(Piece::usage(nr(*user), bytes(*host, *user))).unwrap();
        }
        for (node, host) in &self.data {
            registry.register_node(NodeId::new(*node), &[bytes(*host, 100 + u64::from(*node))]).unwrap();
        }
        ask(&mut registry)
    }

    fn plan(&self, target: u64) -> Answer {
        self.with(|registry| {
            let (mut slots, mut steps) = ([SearchSlot::default(); 16], [nr(0); 16]);
            let numbers = |steps: &[SectionNr]| steps.iter().map(|nr| nr.get()).collect();
            match registry.removal_plan(nr(target), &mut slots, &mut steps).unwrap() {
                Removal::Order(steps) => Answer::Order(numbers(steps)),
                Removal::Cycle(steps) => Answer::Cycle(numbers(steps)),
                Removal::Pinned { section, node } => Answer::Pinned(section.get(), node.get()),
            }
        })
    }

    /// True if `section` can go while exactly `present` are there.
    fn can_go(&self, section: u64, present: &BTreeSet<u64>) -> bool {
        let waits = |user: u64| user != section && present.contains(&user);
        let metadata = self.metadata.iter().any(|(user, host)| *host == section && waits(*user));
        let data = self.data.iter().filter(|(_, host)| *host == section).any(|(node, _)| {
            let of_node = |(_, of): &(&u64, &u32)| **of == *node;
            let memoryless = !self.nodes.iter().any(|entry| of_node(&entry));
            memoryless || self.nodes.iter().filter(of_node).any(|(section, _)| waits(*section))
        });
        !metadata && !data
    }

    /// All sets of sections that can go, one by one, with `target` last; by trying every order.
    fn ways(&self, target: u64) -> BTreeSet<BTreeSet<u64>> {
        let all: BTreeSet<u64> = self.nodes.keys().copied().collect();
        let mut seen = BTreeSet::from([BTreeSet::new()]);
        let mut open = vec![BTreeSet::new()];
        let mut found = BTreeSet::new();
        while let Some(gone) = open.pop() {
            let present: BTreeSet<u64> = all.difference(&gone).copied().collect();
            for section in present.iter().filter(|section| self.can_go(**section, &present)) {
                let mut next = gone.clone();
                next.insert(*section);
                if *section == target {
                    found.insert(next);
                } else if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        found
    }

    /// The same by literally trying every permutation, for few sections.
    fn permutations_reach(&self, target: u64) -> bool {
        fn reach(layout: &Layout, present: &BTreeSet<u64>, target: u64) -> bool {
            present.iter().filter(|section| layout.can_go(**section, present)).any(|section| {
                let mut rest = present.clone();
                rest.remove(section);
                *section == target || reach(layout, &rest, target)
            })
        }
        reach(self, &self.nodes.keys().copied().collect(), target)
    }

    /// True if `host` holds something that `user` needs.
    fn holds_for(&self, host: u64, user: u64) -> bool {
        let of_its_node = self.nodes.get(&user).is_some_and(|node| self.data.contains(&(*node, host)));
        host != user && (of_its_node || self.metadata.contains(&(user, host)))
    }

    /// Everything that has to go before `target`, and it.
    fn closure(&self, target: u64) -> BTreeSet<u64> {
        let mut closure = BTreeSet::from([target]);
        loop {
            let more: Vec<_> = self
                .nodes
                .keys()
                .copied()
                .filter(|user| closure.iter().any(|host| self.holds_for(*host, *user)))
                .filter(|user| !closure.contains(user))
                .collect();
            if more.is_empty() {
                return closure;
            }
            closure.extend(more);
        }
    }

    /// True if sections of a set hold each other's metadata in a circle: taking out whoever holds nothing of the rest
    /// does not empty the set.
    fn is_cyclic(&self, mut set: BTreeSet<u64>) -> bool {
        loop {
            let free = set.iter().copied().find(|host| !set.iter().any(|user| self.holds_for(*host, *user)));
            match free {
                Some(host) => set.remove(&host),
                None => return !set.is_empty(),
            };
        }
    }
}

const ONE_NODE: &[(u64, u32)] = &[(0, 0), (1, 0), (2, 0), (3, 0)];

#[test]
fn own_metadata_is_no_obstacle() {
    let layout = Layout::new(ONE_NODE, &[(0, 0), (1, 1), (2, 2), (3, 3)], &[]);
    for section in 0..4 {
        assert_eq!(layout.plan(section), Answer::Order(vec![section]));
    }
}

#[test]
fn what_holds_metadata_goes_after_its_users() {
    let layout = Layout::new(ONE_NODE, &[(1, 0), (2, 1), (3, 1)], &[]);
    assert_eq!(layout.plan(0), Answer::Order(vec![2, 3, 1, 0]));
    assert_eq!(layout.plan(1), Answer::Order(vec![2, 3, 1]));
    assert_eq!(layout.plan(3), Answer::Order(vec![3]));
}

#[test]
fn cycles_are_named_exactly() {
    // 2 and 3 hold each other's metadata; 0 waits for them, 1 does not.
    let layout = Layout::new(ONE_NODE, &[(2, 3), (3, 2), (2, 0), (0, 1), (1, 0)], &[]);
    assert_eq!(layout.plan(2), Answer::Cycle(vec![2, 3]));
    let three = Layout::new(ONE_NODE, &[(1, 0), (2, 1), (0, 2), (0, 3)], &[]);
    assert_eq!(three.plan(0), Answer::Cycle(vec![0, 1, 2]));
    assert_eq!(three.plan(3), Answer::Cycle(vec![0, 1, 2]), "3 is not on the cycle that it waits for");
    let beside = Layout::new(ONE_NODE, &[(2, 3), (3, 2), (1, 0)], &[]);
    assert_eq!(beside.plan(0), Answer::Order(vec![1, 0]), "a cycle elsewhere is no obstacle");
}

#[test]
fn node_data_waits_for_every_section_of_the_node() {
    let nodes = &[(0, 0), (1, 1), (2, 1), (3, 0)];
    // Data of node 1 in section 0, of node 0 in its own section 3.
    let layout = Layout::new(nodes, &[], &[(1, 0), (0, 3)]);
    assert_eq!(layout.plan(0), Answer::Order(vec![1, 2, 0]));
    assert_eq!(layout.plan(3), Answer::Order(vec![1, 2, 0, 3]));
    assert_eq!(layout.plan(2), Answer::Order(vec![2]));
    // Two nodes with their data in each other: Linux' own example (U-14), found without any usage.
    let crossed = Layout::new(nodes, &[], &[(1, 0), (0, 1)]);
    assert_eq!(crossed.plan(0), Answer::Cycle(vec![0, 1]));
}

#[test]
fn data_of_a_node_without_sections_pins_its_section() {
    let layout = Layout::new(&[(0, 0), (1, 0)], &[(1, 0)], &[(7, 1)]);
    assert_eq!(layout.plan(0), Answer::Pinned(1, 7));
    layout.with(|registry| {
        let mut freed = 0;
        let released =
            registry.release_node(NodeId::new(7), &mut |run| freed += run.pages.count().get()).unwrap();
        assert_eq!((released.free.get() + released.shared.get(), freed), (1, 1));
        let (mut slots, mut steps) = ([SearchSlot::default(); 2], [nr(0); 2]);
        let plan = registry.removal_plan(nr(0), &mut slots, &mut steps).unwrap();
        assert_eq!(plan, Removal::Order(&[nr(1), nr(0)]));
    });
}

#[test]
fn long_chains_need_no_stack() {
    let mut words = vec![0; 64 * 64];
    let (mut sections, mut pieces) = ([SectionSlot::EMPTY; 64], [PieceSlot::EMPTY; 64]);
    let storage = Storage { sections: &mut sections, pieces: &mut pieces };
    let tags = SliceTags::new(Pfn::new(0), &mut words);
    let mut registry = Registry::<TinyWide, _>::new(tags, storage);
    for section in (0..64).map(nr) {
        registry.register_section(section, NodeId::new(0), SectionMetadata::default()).unwrap();
    }
    for user in 1..64 {
        registry.get(Piece::memmap(nr(user), bytes(user - 1, 0))).unwrap();
    }
    let (mut slots, mut steps) = ([SearchSlot::default(); 64], [nr(0); 64]);
    let Removal::Order(order) = registry.removal_plan(nr(0), &mut slots, &mut steps).unwrap() else {
        panic!()
    };
    assert!(order.iter().copied().eq((0..64).rev().map(nr)));
    registry.get(Piece::memmap(nr(0), bytes(63, 0))).unwrap();
    let Removal::Cycle(cycle) = registry.removal_plan(nr(9), &mut slots, &mut steps).unwrap() else {
        panic!()
    };
    assert!(cycle.iter().copied().eq((0..64).map(nr)));
}

#[test]
fn a_plan_needs_a_known_section_and_room() {
    Layout::new(&[(0, 0), (5, 0)], &[], &[]).with(|registry| {
        let (mut slots, mut steps) = ([SearchSlot::default(); 2], [nr(0); 2]);
        for section in [nr(1), nr(u64::MAX)] {
            let error = registry.removal_plan(section, &mut slots, &mut steps).unwrap_err();
            assert_eq!(error, PlanError::UnknownSection { section });
        }
        let error = registry.removal_plan(nr(0), &mut slots[..1], &mut steps).unwrap_err();
        assert_eq!(error, PlanError::TooFewSlots { needed: 2, slots: 1, steps: 2 });
        let error = registry.removal_plan(nr(0), &mut slots, &mut []).unwrap_err();
        assert_eq!(error, PlanError::TooFewSlots { needed: 2, slots: 2, steps: 0 });
    });
}

fn layout(sections: u64) -> impl Strategy<Value = Layout> {
    let nodes = prop::collection::btree_map(0..sections, 0u32..3, 1..=usize::try_from(sections).unwrap());
    let metadata = prop::collection::btree_set((0..sections, 0..sections + 1), 0..8);
    let data = prop::collection::btree_set((0u32..4, 0..sections + 1), 0..3);
    (nodes, metadata, data).prop_map(|(nodes, mut metadata, data)| {
        metadata.retain(|(user, _)| nodes.contains_key(user));
        Layout { nodes, metadata, data }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn plans_are_those_of_all_orders(layout in layout(6)) {
        for target in layout.nodes.keys().copied() {
            let ways = layout.ways(target);
            let closure = layout.closure(target);
            let cyclic = layout.is_cyclic(closure.clone());
            match layout.plan(target) {
                Answer::Order(order) => {
                    let mut present: BTreeSet<u64> = layout.nodes.keys().copied().collect();
                    for section in &order {
                        prop_assert!(layout.can_go(*section, &present), "{section} of {order:?}");
                        prop_assert!(present.remove(section));
                    }
                    let steps: BTreeSet<u64> = order.iter().copied().collect();
                    prop_assert_eq!(order.last(), Some(&target));
                    prop_assert!(ways.contains(&steps));
                    prop_assert!(ways.iter().all(|way| way.is_superset(&steps)), "every step is needed");
                    prop_assert_eq!(steps, closure);
                    prop_assert!(!cyclic);
                }
                Answer::Cycle(cycle) => {
                    prop_assert!(ways.is_empty() && cyclic);
                    let set: BTreeSet<u64> = cycle.iter().copied().collect();
                    prop_assert_eq!(set.len(), cycle.len());
                    prop_assert_eq!(set.first(), cycle.first());
                    prop_assert!(cycle.len() > 1 && set.is_subset(&closure));
                    for (host, user) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
                        prop_assert!(layout.holds_for(*host, *user), "{host} holds nothing of {user}");
                    }
                }
                Answer::Pinned(section, node) => {
                    prop_assert!(ways.is_empty() && !cyclic);
                    prop_assert!(closure.contains(&section) && layout.data.contains(&(node, section)));
                    prop_assert!(layout.nodes.values().all(|of| *of != node));
                }
            }
        }
    }

    #[test]
    fn permutations_agree(layout in layout(4)) {
        for target in layout.nodes.keys().copied() {
            let possible = matches!(layout.plan(target), Answer::Order(_));
            prop_assert_eq!(possible, layout.permutations_reach(target));
        }
    }
}
