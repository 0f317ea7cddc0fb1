//! The order in which sections can be removed.
//!
//! A section waits for another if it holds metadata that the other needs: its memmap, usage or tables, or data of a
//! node that the other belongs to. A section does not wait because of its own metadata. It can be removed if and only
//! if there is no cycle among the sections that it waits for, directly or through others: then they can be sorted so
//! that each follows those that it waits for.
//!
//! # Invariants
//!
//! 1. Every section is opened once and every reason to wait is visited once. The search works in the caller's slices,
//!    without recursion.
//! 2. The open sections form a path: each section on it waits for the next.

use sparsemem_core::{Geometry, NodeId, SectionNr};

use crate::{PlanError, Registry, TagStore, User};

/// The answer: the order in which to remove sections, or the obstacle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal<'s> {
    /// The sections to remove, in this order; the last is the requested one. All of them must be removed.
    Order(&'s [SectionNr]),
    /// Each of these sections holds metadata of the next, and the last holds metadata of the first: none of them can
    /// be removed first. The list begins with the lowest number.
    Cycle(&'s [SectionNr]),
    /// The section holds data of a node without sections. Release it with [`Registry::release_node`], because
    /// removing sections does not.
    Pinned {
        /// The section that holds the data: the requested one, or one that must be removed before it.
        section: SectionNr,
        /// The node.
        node: NodeId,
    },
}

/// The search's record of one section.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchSlot {
    state: State,
    /// The index of the section that waits for this one on the path.
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

/// The search's position among the reasons of a section to wait.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// The index of the next piece that the section holds.
    piece: usize,
    /// If that piece is data of a node: the index of the next section to check.
    section: usize,
}

/// The state of the search.
struct Planner<'p, 'r, G, S> {
    registry: &'p Registry<'r, G, S>,
    slots: &'p mut [SearchSlot],
}

/// The next step of the search.
enum Next {
    /// Open a section that must be removed first and was not visited yet.
    Deeper(usize),
    /// Close the section: all sections that it waits for are done.
    Finished,
    /// End with a cycle: the section waits for one that is on the path.
    Closed(usize),
}

impl<G: Geometry, S: TagStore> Registry<'_, G, S> {
    /// Reports the sections that must be removed before `section`, in order, or the cycle that makes the removal
    /// impossible.
    ///
    /// The answer is a cycle if and only if there is one among the sections to remove first. If there are several, it
    /// is the first one that a search from `section` along ascending addresses finds.
    ///
    /// Source: point 3 of the 2008 patch, "not implemented yet". Linux warned at boot that two sections depend on
    /// each other, which it guessed from the node's data and usages (U-16), and did not warn when one of them was
    /// removed (D-01).
    ///
    /// # Errors
    ///
    /// [`PlanError`] if the section is not registered, or the slices are shorter than the number of registered
    /// sections.
    ///
    /// # Cost
    ///
    /// One visit for each piece in the sections to remove; for data of a node, a pass over the sections as well.
    pub fn removal_plan<'s>(
        &self,
        section: SectionNr,
        slots: &mut [SearchSlot],
        steps: &'s mut [SectionNr],
    ) -> Result<Removal<'s>, PlanError> {
        let target = self.section_index(section).map_err(|_| PlanError::UnknownSection { section })?;
        let needed = self.sections.items().len();
        let too_few = PlanError::TooFewSlots { needed, slots: slots.len(), steps: steps.len() };
        let slots = slots.get_mut(..needed).ok_or(too_few)?;
        let steps = steps.get_mut(..needed).ok_or(too_few)?;
        slots.fill(SearchSlot::default());
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

    /// The next section that must be removed before `host`.
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
    /// Searches for an order: `Ok` with its number of steps, or `Err` with the number of sections in a cycle.
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

    /// The next section that must be removed before the one at `at`.
    fn next_reason(&mut self, at: usize, host: SectionNr) -> Option<usize> {
        let slot = self.slots.get_mut(at)?;
        self.registry.next_reason(host, &mut slot.cursor)
    }

    /// Opens a section.
    fn open(&mut self, at: usize, parent: usize) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = SearchSlot { state: State::Open, parent, cursor: Cursor::default() };
        }
    }

    /// Closes a section, and returns the index of the section that opened it.
    fn close(&mut self, at: usize) -> usize {
        self.slots.get_mut(at).map_or(at, |slot| {
            slot.state = State::Done;
            slot.parent
        })
    }

    /// Writes the part of the path from `first` to `last` to `steps`, and returns its length.
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

/// Writes a step.
fn put(steps: &mut [SectionNr], at: usize, nr: SectionNr) {
    if let Some(step) = steps.get_mut(at) {
        *step = nr;
    }
}
