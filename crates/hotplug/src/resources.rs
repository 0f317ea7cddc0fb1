//! Who owns which physical addresses.
//!
//! # Invariants
//!
//! 1. Resources either nest or do not touch. Only kinds that describe a place, not its use, hold others.
//! 2. The order is that of a walk over the tree: by start, and of those that start alike the outer one first.

use sparsemem_core::{PhysAddr, PhysRange};

use crate::slots::{Change, Slots};
use crate::{Merge, Resource, ResourceError, ResourceKind};

/// The resources, in slots that the caller supplies.
#[derive(Debug)]
pub struct Resources<'a> {
    slots: Slots<'a, Resource>,
}

impl<'a> Resources<'a> {
    /// Nothing is owned yet.
    pub fn new(slots: &'a mut [Option<Resource>]) -> Self {
        Self { slots: Slots::new(slots) }
    }

    /// The resources in the order of a walk over the tree.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Resource> + Clone {
        self.slots.iter()
    }

    /// How many resources a resource lies in.
    #[must_use]
    pub fn depth(&self, of: &Resource) -> usize {
        let outer = self.iter().take_while(|it| *it != of);
        outer.filter(|it| it.kind.holds_others() && it.range.contains_range(of.range)).count()
    }

    /// The innermost resource at an address.
    ///
    /// # Cost
    ///
    /// Linear in the number of resources, as all questions here.
    #[must_use]
    pub fn at(&self, address: PhysAddr) -> Option<&Resource> {
        self.iter().rev().find(|it| it.range.contains(address))
    }

    /// Registers a resource. It may lie inside resources that hold others, and may touch nothing else.
    ///
    /// Source: Linux `__request_region`. Differs from Linux: for devices the whole range is looked at, where Linux
    /// looks up its two ends and overwrites what lies between (H-65, D-20).
    ///
    /// # Errors
    ///
    /// [`ResourceError::Empty`], [`ResourceError::Conflict`], [`ResourceError::Full`].
    pub fn request(&mut self, resource: Resource) -> Result<(), ResourceError> {
        self.vacancy(resource)?.commit();
        Ok(())
    }

    /// Prepares [`Resources::request`].
    pub(crate) fn vacancy(&mut self, resource: Resource) -> Result<Vacancy<'_>, ResourceError> {
        let range = resource.range;
        if range.is_empty() {
            return Err(ResourceError::Empty { range });
        }
        let holds = |it: &Resource| it.kind.holds_others() && it.range.contains_range(range);
        if let Some(with) = self.iter().find(|it| it.range.overlaps(range) && !holds(it)) {
            return Err(ResourceError::Conflict { range, with: *with });
        }
        let at = self.slots.place(|it| {
            it.range.start() < range.start()
                || (it.range.start() == range.start() && it.range.end() >= range.end())
        });
        Ok(Vacancy { change: self.slots.change(at, 0, 1)?, resource })
    }

    /// Gives addresses back. Of kinds that hold nothing, any part may go, also parts of several neighbours: what is
    /// left stays, in up to two pieces. Of kinds that hold others, only a whole resource that is empty.
    ///
    /// Source: Linux `release_mem_region_adjustable` (H-20). Differs from Linux: what is not there is an error, several
    /// neighbours are one request, and a resource with children is not cut under them.
    ///
    /// # Errors
    ///
    /// [`ResourceError::Empty`], [`ResourceError::Absent`], [`ResourceError::HoldsOthers`], and
    /// [`ResourceError::Full`] if a piece from the middle would leave one resource too many.
    pub fn release(&mut self, range: PhysRange, kind: ResourceKind) -> Result<(), ResourceError> {
        self.releasing(range, kind)?.commit();
        Ok(())
    }

    /// Prepares [`Resources::release`].
    pub(crate) fn releasing(
        &mut self,
        range: PhysRange,
        kind: ResourceKind,
    ) -> Result<Release<'_>, ResourceError> {
        if range.is_empty() {
            return Err(ResourceError::Empty { range });
        }
        let (at, count) = if kind.holds_others() {
            (self.empty_outer(range, kind)?, 1)
        } else {
            self.covering(range, kind)?
        };
        let rest = [self.before(at, range), self.behind(at + count - 1, range)];
        let change = self.slots.change(at, count, rest.iter().flatten().count())?;
        Ok(Release { change, rest })
    }

    /// Joins the resource that `range` lies in with the neighbours it may merge with. Says whether it did.
    ///
    /// Source: Linux `merge_system_ram_resource`.
    pub fn merge(&mut self, range: PhysRange) -> bool {
        let holds = |it: &Resource| !it.kind.holds_others() && it.range.contains_range(range);
        let Some(at) = self.iter().position(holds) else { return false };
        let joined_behind = self.merge_with_next(at);
        let joined_before = at.checked_sub(1).is_some_and(|before| self.merge_with_next(before));
        joined_behind || joined_before
    }

    /// Joins a resource with the one behind it, if both allow it and have the same parent.
    fn merge_with_next(&mut self, at: usize) -> bool {
        let (Some(first), Some(next)) = (self.slots.get(at).copied(), self.slots.get(at + 1).copied()) else {
            return false;
        };
        let touch = first.range.end() == next.range.start() && first.is_like(&next);
        let free = first.merge == Merge::Allowed && !first.kind.holds_others();
        // Alike deep is in the same: what held `next` alone would begin where `first` ends, and come between the two.
        if !(touch && free && self.depth(&first) == self.depth(&next)) {
            return false;
        }
        let Ok(range) = PhysRange::new(first.range.start(), next.range.end()) else { return false };
        self.slots.replace(at, Resource { range, ..first });
        self.slots.remove(at + 1);
        true
    }

    /// The lowest part of a range that is not of a kind.
    pub(crate) fn gap(&self, range: PhysRange, kind: ResourceKind) -> Option<PhysRange> {
        let mut rest = range;
        for it in self.iter().filter(|it| it.kind == kind) {
            if rest.is_empty() || it.range.start() > rest.start() {
                continue;
            }
            if it.range.end() > rest.start() {
                rest = PhysRange::new(it.range.end().min(rest.end()), rest.end()).unwrap_or_default();
            }
        }
        let next = self.iter().filter(|it| it.kind == kind && rest.contains(it.range.start()));
        let end = next.map(|it| it.range.start()).min().unwrap_or(rest.end());
        PhysRange::new(rest.start(), end).ok().filter(|gap| !gap.is_empty())
    }

    /// Place and number of the resources of a kind that cover a range between them.
    fn covering(&self, range: PhysRange, kind: ResourceKind) -> Result<(usize, usize), ResourceError> {
        let absent = |missing| ResourceError::Absent { range, kind, missing };
        if let Some(missing) = self.gap(range, kind) {
            return Err(absent(missing));
        }
        let hit = |it: &Resource| it.kind == kind && it.range.overlaps(range);
        let at = self.iter().position(hit).ok_or(absent(range))?;
        let count = self.iter().skip(at).take_while(|it| hit(it)).count();
        // They cover the range without a gap and hold nothing. So what may lie between them is only the start of a
        // place that holds others, whose border a release does not cross.
        match self.slots.get(at + count).filter(|it| it.range.overlaps(range)) {
            Some(with) => Err(ResourceError::Conflict { range, with: *with }),
            None => Ok((at, count)),
        }
    }

    /// Place of a resource that holds others but holds none now.
    fn empty_outer(&self, range: PhysRange, kind: ResourceKind) -> Result<usize, ResourceError> {
        let same = |it: &Resource| it.kind == kind && it.range == range;
        let absent = ResourceError::Absent { range, kind, missing: range };
        let at = self.iter().count() - 1 - self.iter().rev().position(same).ok_or(absent)?;
        match self.slots.get(at + 1) {
            Some(child) if range.contains_range(child.range) => {
                Err(ResourceError::HoldsOthers { range, child: *child })
            }
            _ => Ok(at),
        }
    }

    /// What is left of a resource before a range.
    fn before(&self, at: usize, range: PhysRange) -> Option<Resource> {
        let resource = *self.slots.get(at)?;
        let left = PhysRange::new(resource.range.start(), range.start()).ok()?;
        (!left.is_empty()).then_some(Resource { range: left, ..resource })
    }

    /// What is left of a resource behind a range.
    fn behind(&self, at: usize, range: PhysRange) -> Option<Resource> {
        let resource = *self.slots.get(at)?;
        let left = PhysRange::new(range.end(), resource.range.end()).ok()?;
        (!left.is_empty()).then_some(Resource { range: left, ..resource })
    }
}

/// A resource that is about to be registered.
#[must_use = "nothing changes before the commit"]
pub(crate) struct Vacancy<'s> {
    change: Change<'s, Resource>,
    resource: Resource,
}

impl Vacancy<'_> {
    /// Registers it.
    pub(crate) fn commit(self) {
        self.change.commit([self.resource]);
    }
}

/// Addresses that are about to be given back.
#[must_use = "nothing changes before the commit"]
#[derive(Debug)]
pub(crate) struct Release<'s> {
    change: Change<'s, Resource>,
    rest: [Option<Resource>; 2],
}

impl Release<'_> {
    /// Gives them back.
    pub(crate) fn commit(self) {
        self.change.commit(self.rest.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests;
