//! The walk: breadth first, every operation in every state.
//!
//! A state is reached by a fresh boot and the shortest sequence of operations that leads to it. Then every operation
//! is tried. A refused operation must not change the state. An operation that succeeds is undone by its inverse if
//! that restores the state according to the reference. Otherwise the machine is torn down, which must give everything
//! back, and booted again.
//!
//! # Invariants
//!
//! 1. Every state that a report counts as visited was reached, and every operation was tried in it.
//! 2. After each operation, undone or not, the answer and the whole state were compared.

#[cfg(test)]
pub(crate) mod faults;
mod rules;
mod session;
mod tree;

pub(crate) use rules::{Act, Driver, Layout, Lines, Machines, Rules};

use session::{Mismatch, Session, Step};
use tree::Tree;

/// Counters of a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) boot_layouts: u64,
    pub(crate) states: u64,
    pub(crate) transitions: u64,
    pub(crate) refused: u64,
}

/// A difference, with the shortest known sequence of operations that shows it.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) layout: String,
    pub(crate) operations: Vec<String>,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// A walk in progress.
pub(crate) struct Walk<'w, R: Rules> {
    pub(crate) rules: &'w R,
    pub(crate) machines: &'w mut dyn Machines<R>,
    pub(crate) tally: Tally,
    pub(crate) on_state: &'w mut dyn FnMut(&Tally),
}

/// A mismatch, or a memory leak that a teardown found after some operations.
type Stop<R> = Mismatch<<R as Rules>::Op>;

impl<R: Rules> Walk<'_, R> {
    /// Visits every state that can be reached from any of the layouts. States that look the same are visited once.
    pub(crate) fn explore(&mut self, layouts: impl Iterator<Item = Layout>) -> Result<(), Finding> {
        let mut tree = Tree::new();
        for layout in layouts {
            tree.insert_boot(self.rules.boot(layout), layout);
            self.tally.boot_layouts += 1;
        }
        let mut node = 0;
        while node < tree.len() {
            self.visit(&mut tree, node)?;
            self.tally.states += 1;
            (self.on_state)(&self.tally);
            node += 1;
        }
        Ok(())
    }

    /// Tries every operation in a state.
    fn visit(&mut self, tree: &mut Tree<R>, node: usize) -> Result<(), Finding> {
        let (layout, path) = tree.path(node);
        let mut next = 0;
        while next < self.rules.ops().len() {
            let (rules, tally) = (self.rules, &mut self.tally);
            let mut log = Vec::new();
            let mut outcome = Ok(next);
            let torn_down = self.machines.lend(layout, &mut |driver| {
                outcome = reach(rules, driver, layout, &path).and_then(|mut session| {
                    let reached = try_ops(&mut session, tree, node, next, tally)?;
                    log = session.into_log();
                    Ok(reached)
                });
            });
            let stop = match (outcome, torn_down) {
                (Ok(reached), Ok(())) => {
                    next = reached;
                    continue;
                }
                (Err(stop), _) => stop,
                (Ok(_), Err(left)) => left_over::<R>(log, left),
            };
            return Err(self.shorten(layout, &path, stop));
        }
        Ok(())
    }

    /// Tries the sequence that leads to the state, with and without the last operation. If that does not show the
    /// difference, all operations since boot are needed, or a part of them. Then omits operations that are not
    /// needed.
    fn shorten(&mut self, layout: Layout, path: &[R::Op], stop: Stop<R>) -> Finding {
        let mut with_last = path.to_vec();
        with_last.extend(stop.ops.last());
        let shorter = self.retry(layout, path).or_else(|| self.retry(layout, &with_last));
        let mut stop = shorter.unwrap_or(stop);
        let mut at = stop.ops.len();
        while at > 0 {
            at -= 1;
            let mut without = stop.ops.clone();
            without.remove(at);
            if let Some(still) = self.retry(layout, &without) {
                stop = still;
                at = at.min(stop.ops.len());
            }
        }
        self.finding(layout, &stop)
    }

    /// Applies operations to a fresh machine. Returns the first mismatch or leak, if there is one.
    fn retry(&mut self, layout: Layout, ops: &[R::Op]) -> Option<Stop<R>> {
        let rules = self.rules;
        let mut outcome = Ok(());
        let torn_down = self.machines.lend(layout, &mut |driver| {
            outcome = reach(rules, driver, layout, ops).map(|_| ());
        });
        outcome.err().or_else(|| torn_down.err().map(|left| left_over::<R>(ops.to_vec(), left)))
    }

    fn finding(&self, layout: Layout, stop: &Stop<R>) -> Finding {
        Finding {
            layout: self.rules.describe(layout),
            operations: stop.ops.iter().map(ToString::to_string).collect(),
            expected: stop.expected.clone(),
            found: stop.found.clone(),
        }
    }
}

/// The failure that a teardown has left memory.
fn left_over<R: Rules>(ops: Vec<R::Op>, found: String) -> Stop<R> {
    Mismatch { ops, expected: "nothing is left after a teardown".to_owned(), found }
}

/// Applies a sequence of operations, comparing after each.
fn reach<'s, R: Rules>(
    rules: &'s R,
    driver: &'s mut dyn Driver<R>,
    layout: Layout,
    path: &[R::Op],
) -> Result<Session<'s, R>, Stop<R>> {
    let mut session = Session::new(rules, driver, layout)?;
    for op in path {
        session.step(*op)?;
    }
    Ok(session)
}

/// Tries operations from number `next` on, until one cannot be undone. Returns the number to continue with.
fn try_ops<R: Rules>(
    session: &mut Session<'_, R>,
    tree: &mut Tree<R>,
    node: usize,
    next: usize,
    tally: &mut Tally,
) -> Result<usize, Stop<R>> {
    let origin = tree.world(node);
    let ops = session.rules().ops();
    for (index, op) in ops.iter().enumerate().skip(next) {
        tally.transitions += 1;
        match session.step(*op)? {
            Step::Refused => tally.refused += 1,
            Step::Accepted => {
                tree.insert_step(session.world(), node, *op);
                if !session.undo(*op, origin)? {
                    return Ok(index + 1);
                }
            }
        }
    }
    Ok(ops.len())
}
