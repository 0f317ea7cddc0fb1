//! One machine and its reference, side by side.
//!
//! # Invariants
//!
//! 1. After every step that succeeded, machine and reference were found to be the same.

use super::rules::{Driver, Layout, Lines, Rules};

/// Machine and reference differ.
pub(super) struct Mismatch<Op> {
    /// Everything that was done since boot; the last of it is what differs.
    pub(super) ops: Vec<Op>,
    pub(super) expected: String,
    pub(super) found: String,
}

/// What became of a step.
pub(super) enum Step {
    Accepted,
    Refused,
}

/// A machine that is compared with its reference after every step.
pub(super) struct Session<'s, R: Rules> {
    rules: &'s R,
    driver: &'s mut dyn Driver<R>,
    world: R::World,
    /// What the reference says that there is to see.
    view: R::View,
    log: Vec<R::Op>,
}

impl<'s, R: Rules> Session<'s, R> {
    /// Begins with a machine that was booted with a layout.
    pub(super) fn new(
        rules: &'s R,
        driver: &'s mut dyn Driver<R>,
        layout: Layout,
    ) -> Result<Self, Mismatch<R::Op>> {
        let world = rules.boot(layout);
        let mut session = Self { rules, driver, world, view: rules.view(&world), log: Vec::new() };
        session.compare()?;
        Ok(session)
    }

    /// The reference.
    pub(super) const fn rules(&self) -> &'s R {
        self.rules
    }

    /// The state, as the reference has it.
    pub(super) const fn world(&self) -> R::World {
        self.world
    }

    /// Everything that was done since boot.
    pub(super) fn into_log(self) -> Vec<R::Op> {
        self.log
    }

    /// Does an operation on both, and compares answer and state.
    pub(super) fn step(&mut self, op: R::Op) -> Result<Step, Mismatch<R::Op>> {
        let mut after = self.world;
        let expected = self.rules.apply(&mut after, op);
        let found = self.driver.apply(op);
        self.log.push(op);
        if found != expected {
            return Err(self.mismatch(format!("answer {expected:?}"), format!("answer {found:?}")));
        }
        let accepted = self.rules.is_accepted(expected);
        if accepted {
            self.world = after;
            self.view = self.rules.view(&after);
        }
        self.compare()?;
        Ok(if accepted { Step::Accepted } else { Step::Refused })
    }

    /// Takes an accepted step back, if that leads to `origin` again. Says whether it did.
    pub(super) fn undo(&mut self, op: R::Op, origin: R::World) -> Result<bool, Mismatch<R::Op>> {
        if self.world == origin {
            return Ok(true);
        }
        let Some(inverse) = self.rules.inverse(op) else { return Ok(false) };
        let mut back = self.world;
        self.rules.apply(&mut back, inverse);
        if back != origin {
            return Ok(false);
        }
        self.step(inverse)?;
        Ok(true)
    }

    fn compare(&mut self) -> Result<(), Mismatch<R::Op>> {
        let found = self.driver.observe();
        if found == self.view {
            return Ok(());
        }
        let (expected, found) = differing(&self.view.lines(), &found.lines());
        Err(self.mismatch(expected, found))
    }

    fn mismatch(&self, expected: String, found: String) -> Mismatch<R::Op> {
        Mismatch { ops: self.log.clone(), expected, found }
    }
}

/// The lines of two views that are not the same.
fn differing(expected: &[String], found: &[String]) -> (String, String) {
    let pairs = expected.iter().zip(found).filter(|(expected, found)| expected != found);
    let (expected, found): (Vec<&str>, Vec<&str>) =
        pairs.map(|(expected, found)| (expected.as_str(), found.as_str())).unzip();
    (expected.join("; "), found.join("; "))
}
