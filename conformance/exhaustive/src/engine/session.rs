//! One machine and its reference, compared step by step.
//!
//! # Invariants
//!
//! 1. After every step that succeeded, machine and reference were equal.

use super::rules::{Driver, Layout, Lines, Rules};

/// Machine and reference differ.
pub(super) struct Mismatch<Op> {
    /// All operations since boot; the last one shows the difference.
    pub(super) ops: Vec<Op>,
    pub(super) expected: String,
    pub(super) found: String,
}

/// The result of a step.
pub(super) enum Step {
    Accepted,
    Refused,
}

/// A machine that is compared with its reference after every step.
pub(super) struct Session<'s, R: Rules> {
    rules: &'s R,
    driver: &'s mut dyn Driver<R>,
    world: R::World,
    /// The view of the current state, according to the reference.
    view: R::View,
    log: Vec<R::Op>,
}

impl<'s, R: Rules> Session<'s, R> {
    /// Starts with a machine that was booted with a layout.
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

    /// The current state of the reference.
    pub(super) const fn world(&self) -> R::World {
        self.world
    }

    /// All operations since boot.
    pub(super) fn into_log(self) -> Vec<R::Op> {
        self.log
    }

    /// Applies an operation to both, and compares answer and state.
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

    /// Undoes an accepted step, if that restores `origin`. Returns whether it did.
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

/// The lines in which two views differ.
fn differing(expected: &[String], found: &[String]) -> (String, String) {
    let pairs = expected.iter().zip(found).filter(|(expected, found)| expected != found);
    let (expected, found): (Vec<&str>, Vec<&str>) =
        pairs.map(|(expected, found)| (expected.as_str(), found.as_str())).unzip();
    (expected.join("; "), found.join("; "))
}
