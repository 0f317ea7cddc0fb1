//! The states that were reached, each with the shortest sequence of operations that leads to it.
//!
//! # Invariants
//!
//! 1. States are visited in the order in which they were reached, so no sequence that leads to a state is shorter
//!    than the recorded one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::rules::{Layout, Rules};

/// The first path by which a state was reached.
enum Origin<Op> {
    Boot(Layout),
    Step { from: usize, op: Op },
}

/// All states of a walk.
pub(super) struct Tree<R: Rules> {
    nodes: Vec<(R::World, Origin<R::Op>)>,
    known: HashMap<R::World, usize>,
}

impl<R: Rules> Tree<R> {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), known: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A state by its number.
    pub(super) fn world(&self, node: usize) -> R::World {
        self.nodes[node].0
    }

    pub(super) fn insert_boot(&mut self, world: R::World, layout: Layout) {
        self.insert(world, Origin::Boot(layout));
    }

    pub(super) fn insert_step(&mut self, world: R::World, from: usize, op: R::Op) {
        self.insert(world, Origin::Step { from, op });
    }

    fn insert(&mut self, world: R::World, origin: Origin<R::Op>) {
        if let Entry::Vacant(place) = self.known.entry(world) {
            place.insert(self.nodes.len());
            self.nodes.push((world, origin));
        }
    }

    /// The layout and the operations that lead to a state.
    pub(super) fn path(&self, node: usize) -> (Layout, Vec<R::Op>) {
        let (mut at, mut ops) = (node, Vec::new());
        loop {
            match &self.nodes[at].1 {
                Origin::Boot(layout) => {
                    ops.reverse();
                    return (*layout, ops);
                }
                Origin::Step { from, op } => {
                    ops.push(*op);
                    at = *from;
                }
            }
        }
    }
}
