//! The tree of resources: the owner of each range of physical addresses.
//!
//! # Invariants
//!
//! 1. Two resources either nest or are disjoint. Only kinds that describe a place, and not its use, hold others.
//! 2. Resources are in the order of a walk over the tree: sorted by start, and among equal starts the outer one
//!    first.

use sparsemem_core::{PhysAddr, PhysRange};

use crate::slots::{Change, Slots};
use crate::{Merge, Resource, ResourceError, ResourceKind};

/// The resources, in slots that the caller supplies.
#[derive(Debug)]
pub struct Resources<'a> {
    slots: Slots<'a, Resource>,
}

impl<'a> Resources<'a> {
    /// A tree without resources.
    pub fn new(slots: &'a mut [Option<Resource>]) -> Self {
        Self { slots: Slots::new(slots) }
    }

    /// The resources in the order of a walk over the tree.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Resource> + Clone {
        self.slots.iter()
    }

    /// The number of resources that a resource lies in.
    #[must_use]
    pub fn depth(&self, of: &Resource) -> usize {
        let outer = self.iter().take_while(|it| *it != of);
        outer.filter(|it| it.kind.holds_others() && it.range.contains_range(of.range)).count()
    }

    /// The innermost resource at an address.
    ///
    /// # Cost
    ///
    /// Linear in the number of resources, as all methods here.
    #[must_use]
    pub fn at(&self, address: PhysAddr) -> Option<&Resource> {
        self.iter().rev().find(|it| it.range.contains(address))
    }

    /// Registers a resource. It may lie inside resources that hold others, and must be disjoint from all other
    /// resources.
    ///
    /// Source: Linux `__request_region`. Differs from Linux: for devices the whole range is checked, where Linux
    /// checks only its two ends and overwrites the entries between them (H-65, D-20).
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

    /// Releases addresses. From resources of kinds that hold no others, any part can be released, also parts of
    /// several neighbours; the rest stays, in up to two pieces. A resource of a kind that holds others can be
    /// released only as a whole and when it is empty.
    ///
    /// Source: Linux `release_mem_region_adjustable` (H-20). Differs from Linux: releasing absent addresses is an
    /// error, one call can release several neighbours, and a resource with children is never cut.
    ///
    /// # Errors
    ///
    /// [`ResourceError::Empty`], [`ResourceError::Absent`], [`ResourceError::HoldsOthers`], and
    /// [`ResourceError::Full`] if releasing the middle of a resource needs one more slot than there is.
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
        let rest = [self.before(at, range), self.after(at + count - 1, range)];
        let change = self.slots.change(at, count, rest.iter().flatten().count())?;
        Ok(Release { change, rest })
    }

    /// Checks that there are this many free slots.
    pub(crate) fn check_room(&mut self, wanted: usize) -> Result<(), ResourceError> {
        let (taken, _) = self.slots.usage();
        let _room = self.slots.change(taken, 0, wanted)?;
        Ok(())
    }

    /// Merges the resource around `range` with neighbours that allow it. Returns whether it did.
    ///
    /// Source: Linux `merge_system_ram_resource`.
    pub fn merge(&mut self, range: PhysRange) -> bool {
        let holds = |it: &Resource| !it.kind.holds_others() && it.range.contains_range(range);
        let Some(at) = self.iter().position(holds) else { return false };
        let joined_behind = self.merge_with_next(at);
        let joined_before = at.checked_sub(1).is_some_and(|before| self.merge_with_next(before));
        joined_behind || joined_before
    }

    /// Merges a resource with the next one, if both allow it and have the same parent.
    fn merge_with_next(&mut self, at: usize) -> bool {
        let (Some(first), Some(next)) = (self.slots.get(at).copied(), self.slots.get(at + 1).copied()) else {
            return false;
        };
        let touch = first.range.end() == next.range.start() && first.is_like(&next);
        let free = first.merge == Merge::Allowed && !first.kind.holds_others();
        // Equal depth implies the same parent: a resource that held only `next` would begin where `first` ends, and
        // lie between the two.
        if !(touch && free && self.depth(&first) == self.depth(&next)) {
            return false;
        }
        let Ok(range) = PhysRange::new(first.range.start(), next.range.end()) else { return false };
        self.slots.replace(at, Resource { range, ..first });
        self.slots.remove(at + 1);
        true
    }

    /// The lowest part of a range that is not of this kind.
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

    /// Index and number of the resources of one kind that together cover a range.
    fn covering(&self, range: PhysRange, kind: ResourceKind) -> Result<(usize, usize), ResourceError> {
        let absent = |missing| ResourceError::Absent { range, kind, missing };
        if let Some(missing) = self.gap(range, kind) {
            return Err(absent(missing));
        }
        let hit = |it: &Resource| it.kind == kind && it.range.overlaps(range);
        let at = self.iter().position(hit).ok_or(absent(range))?;
        let count = self.iter().skip(at).take_while(|it| hit(it)).count();
        // They cover the range without a gap and hold no others. So a resource between them can only be the start of
        // a place that holds others, and a release does not cross its border.
        match self.slots.get(at + count).filter(|it| it.range.overlaps(range)) {
            Some(with) => Err(ResourceError::Conflict { range, with: *with }),
            None => Ok((at, count)),
        }
    }

    /// Index of a resource of a kind that holds others and that holds none now.
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

    /// The rest of a resource before a range.
    fn before(&self, at: usize, range: PhysRange) -> Option<Resource> {
        let resource = *self.slots.get(at)?;
        let left = PhysRange::new(resource.range.start(), range.start()).ok()?;
        (!left.is_empty()).then_some(Resource { range: left, ..resource })
    }

    /// The rest of a resource past a range.
    fn after(&self, at: usize, range: PhysRange) -> Option<Resource> {
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
    /// Registers the resource.
    pub(crate) fn commit(self) {
        self.change.commit([self.resource]);
    }
}

/// Addresses that are about to be released.
#[must_use = "nothing changes before the commit"]
#[derive(Debug)]
pub(crate) struct Release<'s> {
    change: Change<'s, Resource>,
    rest: [Option<Resource>; 2],
}

impl Release<'_> {
    /// The number of slots that the release takes besides: one if something is left on both sides.
    pub(crate) fn wanted(&self) -> usize {
        self.rest.iter().flatten().count().saturating_sub(1)
    }

    /// Releases the addresses.
    pub(crate) fn commit(self) {
        self.change.commit(self.rest.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests;
