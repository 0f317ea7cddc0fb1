//! The interfaces between the walk, a reference, and a real machine. Reference and machine do not know each other.

use std::fmt;
use std::hash::Hash;

/// Memory at boot: a bit per subsection of the walked region, lowest first.
pub(crate) type Layout = u32;

/// A plain reference: for every operation it computes the answer, the next state, and everything that can be observed
/// there.
pub(crate) trait Rules {
    /// A state.
    type World: Copy + Eq + Hash;
    /// An operation with its range.
    type Op: Copy + fmt::Display;
    /// The answer of an operation.
    type Answer: Copy + Eq + fmt::Debug;
    /// Everything that can be observed in a state.
    type View: Eq + Lines;

    /// Every operation with every range, to be tried in every state.
    fn ops(&self) -> &[Self::Op];

    /// The state after a boot.
    fn boot(&self, layout: Layout) -> Self::World;

    /// The answer of an operation; if it refuses, the state does not change.
    fn apply(&self, world: &mut Self::World, op: Self::Op) -> Self::Answer;

    /// True if an answer means that the operation changed the state.
    fn is_accepted(&self, answer: Self::Answer) -> bool;

    /// The operation that undoes this one, if there is one.
    fn inverse(&self, op: Self::Op) -> Option<Self::Op>;

    /// Everything that can be observed in a state.
    fn view(&self, world: &Self::World) -> Self::View;

    /// A boot layout in words.
    fn describe(&self, layout: Layout) -> String;
}

/// Text of a view, for reports: one line per fact, in the same order for every view of a type.
pub(crate) trait Lines {
    /// The lines.
    fn lines(&self) -> Vec<String>;
}

/// A machine with a booted model.
pub(crate) trait Driver<R: Rules> {
    /// Applies an operation.
    fn apply(&mut self, op: R::Op) -> R::Answer;

    /// Observes everything.
    fn observe(&mut self) -> R::View;
}

/// A function over a booted machine.
pub(crate) type Act<'a, R> = &'a mut dyn FnMut(&mut dyn Driver<R>);

/// A source of machines.
pub(crate) trait Machines<R: Rules> {
    /// Boots a machine, lends it, and tears it down.
    ///
    /// # Errors
    ///
    /// The memory that the teardown left, in words.
    fn lend(&mut self, layout: Layout, act: Act<'_, R>) -> Result<(), String>;
}
