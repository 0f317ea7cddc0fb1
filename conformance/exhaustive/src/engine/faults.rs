//! Rules and machines with deliberate faults, to test that a walk finds them.

use super::{Act, Driver, Finding, Layout, Machines, Rules, Tally, Walk};

/// Rules with one changed operation.
pub(crate) struct Changed<R: Rules> {
    pub(crate) rules: R,
    pub(crate) apply: fn(&R, &mut R::World, R::Op) -> R::Answer,
}

impl<R: Rules> Rules for Changed<R> {
    type World = R::World;
    type Op = R::Op;
    type Answer = R::Answer;
    type View = R::View;

    fn ops(&self) -> &[R::Op] {
        self.rules.ops()
    }

    fn boot(&self, layout: Layout) -> R::World {
        self.rules.boot(layout)
    }

    fn apply(&self, world: &mut R::World, op: R::Op) -> R::Answer {
        (self.apply)(&self.rules, world, op)
    }

    fn is_accepted(&self, answer: R::Answer) -> bool {
        self.rules.is_accepted(answer)
    }

    fn inverse(&self, op: R::Op) -> Option<R::Op> {
        self.rules.inverse(op)
    }

    fn view(&self, world: &R::World) -> R::View {
        self.rules.view(world)
    }

    fn describe(&self, layout: Layout) -> String {
        self.rules.describe(layout)
    }
}

/// Machines for other rules that have the same operations and views.
pub(crate) struct For<S>(pub(crate) S);

struct DriverFor<'b, R: Rules>(&'b mut dyn Driver<R>);

impl<R: Rules> Driver<Changed<R>> for DriverFor<'_, R> {
    fn apply(&mut self, op: R::Op) -> R::Answer {
        self.0.apply(op)
    }

    fn observe(&mut self) -> R::View {
        self.0.observe()
    }
}

impl<R: Rules, S: Machines<R>> Machines<Changed<R>> for For<S> {
    fn lend(&mut self, layout: Layout, act: Act<'_, Changed<R>>) -> Result<(), String> {
        self.0.lend(layout, &mut |driver| act(&mut DriverFor(driver)))
    }
}

/// The action of a faulty machine in place of an operation; `before` are the operations since boot.
pub(crate) type Fault<R> =
    fn(driver: &mut dyn Driver<R>, before: &[<R as Rules>::Op], op: <R as Rules>::Op) -> <R as Rules>::Answer;

/// Machines that replace some operations by other actions.
pub(crate) struct Faulty<S, R: Rules> {
    pub(crate) machines: S,
    pub(crate) fault: Fault<R>,
}

struct FaultyDriver<'b, R: Rules> {
    driver: &'b mut dyn Driver<R>,
    fault: Fault<R>,
    before: Vec<R::Op>,
}

impl<R: Rules> Driver<R> for FaultyDriver<'_, R> {
    fn apply(&mut self, op: R::Op) -> R::Answer {
        let answer = (self.fault)(self.driver, &self.before, op);
        self.before.push(op);
        answer
    }

    fn observe(&mut self) -> R::View {
        self.driver.observe()
    }
}

impl<R: Rules, S: Machines<R>> Machines<R> for Faulty<S, R> {
    fn lend(&mut self, layout: Layout, act: Act<'_, R>) -> Result<(), String> {
        let fault = self.fault;
        self.machines.lend(layout, &mut |driver| act(&mut FaultyDriver { driver, fault, before: Vec::new() }))
    }
}

/// Walks all layouts together.
pub(crate) fn explore<R: Rules>(
    rules: &R,
    machines: &mut dyn Machines<R>,
    layouts: Layout,
) -> Result<Tally, Finding> {
    let mut walk = Walk { rules, machines, tally: Tally::default(), on_state: &mut |_| {} };
    walk.explore(0..layouts)?;
    Ok(walk.tally)
}
