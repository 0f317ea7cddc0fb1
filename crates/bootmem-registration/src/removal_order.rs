//! Which sections have to go first.
//!
//! A section waits for another if it holds metadata that the other needs: its memmap, usage or tables, or data of a node
//! that the other belongs to. Its own metadata is no reason to wait. A section can be removed exactly when the sections
//! that it waits for, and those that they wait for, and so on, have an order; they have one exactly when there is no
//! cycle among them.
//!
//! # Invariants
//!
//! 1. Every section is opened once and every reason looked at once, in the caller's slices, without recursion.
//! 2. The open sections form a path: each but the first is waited for by the one before it.

use sparsemem_core::{Geometry, NodeId, SectionNr};

use crate::{PlanError, Registry, TagStore, User};

/// Whether a section can be removed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal<'s> {
    /// Removing the sections in this order works; the last is the one that was asked for. Every one of them is needed.
    Order(&'s [SectionNr]),
    /// Each of these sections holds metadata of the next, and the last holds metadata of the first: none of them can
    /// go first. The lowest number comes first.
    Cycle(&'s [SectionNr]),
    /// The section holds data of a node without sections, which no removal of sections frees: see
    /// [`Registry::release_node`].
    Pinned {
        /// The section that holds it: the one that was asked for, or one that has to go before it.
        section: SectionNr,
        /// The node.
        node: NodeId,
    },
}

/// The planner's notes about one section.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanSlot {
    state: State,
    /// Who opened the section.
    parent: usize,
    cursor: Cursor,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    New,
    Open,
    Done,
}

/// How far the reasons of a section were looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// The next of the pieces that the section holds.
    piece: usize,
    /// If that is data of a node: the next of all sections to look at.
    section: usize,
}

/// A plan in the making.
struct Planner<'p, 'r, G, S> {
    registry: &'p Registry<'r, G, S>,
    slots: &'p mut [PlanSlot],
}

/// Where the search goes on.
enum Next {
    /// A section that has to go first and was not looked at yet.
    Deeper(usize),
    /// All that has to go first is done.
    Finished,
    /// A section on the path again.
    Closed(usize),
}

impl<G: Geometry, S: TagStore> Registry<'_, G, S> {
    /// Tells which sections have to go before `section`, in order, or the cycle that makes it impossible.
    ///
    /// A cycle is named exactly when there is one among what has to go first; of several, the first that is found from
    /// `section` along ascending addresses.
    ///
    /// Source: point 3 of the 2008 patch, "not implemented yet". Linux said at boot that two sections depend on each
    /// other, guessing from the node's data and usages (U-16), and nothing when one was removed (D-01).
    ///
    /// # Errors
    ///
    /// [`PlanError`] if the section is not known, or the slices are shorter than the number of registered sections.
    ///
    /// # Cost
    ///
    /// Pieces held by what has to go first, each once; for data of a node, a pass over the sections as well.
    pub fn removal_plan<'s>(
        &self,
        section: SectionNr,
        slots: &mut [PlanSlot],
        steps: &'s mut [SectionNr],
    ) -> Result<Removal<'s>, PlanError> {
        let target = self.section_index(section).map_err(|_| PlanError::UnknownSection { section })?;
        let needed = self.sections.items().len();
        let too_few = PlanError::TooFewSlots { needed, slots: slots.len(), steps: steps.len() };
        let slots = slots.get_mut(..needed).ok_or(too_few)?;
        let steps = steps.get_mut(..needed).ok_or(too_few)?;
        slots.fill(PlanSlot::default());
        let outcome = Planner { registry: self, slots }.search(target, steps);
        let (Ok(count) | Err(count)) = outcome;
        let steps: &[SectionNr] = steps.get(..count).unwrap_or_default();
        if outcome.is_err() {
            return Ok(Removal::Cycle(steps));
        }
        Ok(self.first_pin(steps).unwrap_or(Removal::Order(steps)))
    }

    /// The first section of a plan that holds data of a node without sections.
    fn first_pin(&self, steps: &[SectionNr]) -> Option<Removal<'static>> {
        steps.iter().find_map(|section| {
            let nodes =
                self.pieces_in(Self::section_bytes(*section)).filter_map(|piece| match piece.user() {
                    User::Node(node) => Some(node),
                    User::Section(_) => None,
                });
            let mut memoryless = nodes.filter(|node| self.section_of(*node, 0, None).is_none());
            memoryless.next().map(|node| Removal::Pinned { section: *section, node })
        })
    }

    /// The next section that has to go before `host`.
    fn next_reason(&self, host: SectionNr, cursor: &mut Cursor) -> Option<usize> {
        let held = self.slots_in(Self::section_bytes(host));
        while let Some(slot) = held.get(cursor.piece) {
            let found = match slot.piece().user() {
                User::Section(nr) => {
                    cursor.piece += 1;
                    self.section_index(nr).ok().filter(|_| nr != host)
                }
                User::Node(node) => {
                    let found = self.section_of(node, cursor.section, Some(host));
                    cursor.section = found.map_or(0, |index| index + 1);
                    cursor.piece += usize::from(found.is_none());
                    found
                }
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

impl<G: Geometry, S: TagStore> Planner<'_, '_, G, S> {
    /// Looks for an order: `Ok` with how many steps it has, or `Err` with how many the cycle has.
    fn search(mut self, target: usize, steps: &mut [SectionNr]) -> Result<usize, usize> {
        let mut done = 0;
        let mut at = target;
        self.open(at, target);
        loop {
            match self.next_from(at) {
                Next::Deeper(next) => {
                    self.open(next, at);
                    at = next;
                }
                Next::Closed(first) => return Err(self.write_cycle(at, first, steps)),
                Next::Finished => {
                    put(steps, done, self.number(at));
                    done += 1;
                    if at == target {
                        return Ok(done);
                    }
                    at = self.close(at);
                }
            }
        }
    }

    /// The next step of the search from a section.
    fn next_from(&mut self, at: usize) -> Next {
        let host = self.number(at);
        while let Some(next) = self.next_reason(at, host) {
            match self.slots.get(next).map(|slot| slot.state) {
                Some(State::New) => return Next::Deeper(next),
                Some(State::Open) => return Next::Closed(next),
                _ => {}
            }
        }
        Next::Finished
    }

    /// The next section that has to go before the one at `at`.
    fn next_reason(&mut self, at: usize, host: SectionNr) -> Option<usize> {
        let slot = self.slots.get_mut(at)?;
        self.registry.next_reason(host, &mut slot.cursor)
    }

    /// Opens a section.
    fn open(&mut self, at: usize, parent: usize) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = PlanSlot { state: State::Open, parent, cursor: Cursor::default() };
        }
    }

    /// Closes a section, and answers with who opened it.
    fn close(&mut self, at: usize) -> usize {
        self.slots.get_mut(at).map_or(at, |slot| {
            slot.state = State::Done;
            slot.parent
        })
    }

    /// Writes the part of the path from `first` to `last` down, and answers with its length.
    fn write_cycle(&self, last: usize, first: usize, steps: &mut [SectionNr]) -> usize {
        let mut count = 0;
        let mut at = last;
        loop {
            put(steps, count, self.number(at));
            count += 1;
            if at == first {
                break;
            }
            at = self.slots.get(at).map_or(first, |slot| slot.parent);
        }
        let cycle = steps.get_mut(..count).unwrap_or_default();
        cycle.reverse();
        let lowest = cycle.iter().enumerate().min_by_key(|(_, nr)| **nr).map_or(0, |(index, _)| index);
        cycle.rotate_left(lowest);
        count
    }

    /// The number of a section.
    fn number(&self, at: usize) -> SectionNr {
        self.registry.sections.items().get(at).map_or(SectionNr::new(u64::MAX), |slot| slot.nr)
    }
}

/// Writes a step down.
fn put(steps: &mut [SectionNr], at: usize, nr: SectionNr) {
    if let Some(step) = steps.get_mut(at) {
        *step = nr;
    }
}
