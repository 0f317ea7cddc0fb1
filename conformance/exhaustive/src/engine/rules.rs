//! What the walk asks of a reference and of a real machine. Neither knows the other.

use std::fmt;
use std::hash::Hash;

/// Memory at boot: a bit per subsection of the walked region, lowest first.
pub(crate) type Layout = u32;

/// A plain reference: says what every operation answers, what it leads to, and what can be seen there.
pub(crate) trait Rules {
    /// A state.
    type World: Copy + Eq + Hash;
    /// An operation with its range.
    type Op: Copy + fmt::Display;
    /// What an operation answers.
    type Answer: Copy + Eq + fmt::Debug;
    /// Everything that can be seen in a state.
    type View: Eq + Lines;

    /// Every operation with every range, to be tried in every state.
    fn ops(&self) -> &[Self::Op];

    /// The state after a boot.
    fn boot(&self, layout: Layout) -> Self::World;

    /// What an operation answers; a world that refuses it stays as it is.
    fn apply(&self, world: &mut Self::World, op: Self::Op) -> Self::Answer;

    /// Whether an answer means that something has changed.
    fn is_accepted(&self, answer: Self::Answer) -> bool;

    /// The operation that takes this one back, where there is one at all.
    fn inverse(&self, op: Self::Op) -> Option<Self::Op>;

    /// What can be seen in a state.
    fn view(&self, world: &Self::World) -> Self::View;

    /// A boot layout in words.
    fn describe(&self, layout: Layout) -> String;
}

/// Text of a view, for reports: a line per fact, in the same order for every view of a type.
pub(crate) trait Lines {
    /// The lines.
    fn lines(&self) -> Vec<String>;
}

/// A machine with a booted model.
pub(crate) trait Driver<R: Rules> {
    /// Does an operation.
    fn apply(&mut self, op: R::Op) -> R::Answer;

    /// Looks at everything.
    fn observe(&mut self) -> R::View;
}

/// What is done with a booted machine.
pub(crate) type Act<'a, R> = &'a mut dyn FnMut(&mut dyn Driver<R>);

/// Where machines come from.
pub(crate) trait Machines<R: Rules> {
    /// Boots a machine, lends it, and tears it down.
    ///
    /// # Errors
    ///
    /// What the teardown left behind, in words.
    fn lend(&mut self, layout: Layout, act: Act<'_, R>) -> Result<(), String>;
}
