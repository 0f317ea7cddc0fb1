//! Failures on request.
//!
//! # Invariants
//!
//! 1. A request is counted once, whether it is granted or not.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use sparsemem_core::{LeafSize, NodeId, Origin, PhysAddr, VirtAddr};

/// A request to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demand {
    /// A block.
    Block {
        /// Size and alignment.
        layout: Layout,
        /// The requested node.
        node: NodeId,
        /// The allocator that serves the request.
        origin: Origin,
    },
    /// A mapping.
    Link {
        /// First virtual address.
        at: VirtAddr,
        /// First physical address.
        to: PhysAddr,
        /// Size of the mapping.
        size: LeafSize,
    },
}

/// One request, as a predicate sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number of requests of either kind since the machine was made, without this one.
    pub ordinal: u64,
    /// The contents of the request.
    pub demand: Demand,
}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request continues, and may still fail for lack of memory.
    Grant,
    /// The request fails, and nothing changes.
    Refuse,
}

/// The kind of requests that are counted towards a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All requests.
    All,
    /// Blocks only.
    Blocks,
    /// Mappings only.
    Links,
}

impl Which {
    /// True if a demand is counted.
    const fn counts(self, demand: &Demand) -> bool {
        match self {
            Self::All => true,
            Self::Blocks => matches!(demand, Demand::Block { .. }),
            Self::Links => matches!(demand, Demand::Link { .. }),
        }
    }
}

/// The predicate of [`Faults::fail_if`], in a lock only so that a machine can be shared between threads.
type Predicate = Mutex<Box<dyn FnMut(&Request) -> Verdict + Send>>;

/// The failures that the machine will simulate.
enum Plan {
    Nothing,
    /// One request, after `left` others.
    Once {
        which: Which,
        left: u64,
    },
    /// Every request, after `left` others.
    From {
        which: Which,
        left: u64,
    },
    If(Predicate),
}

/// The failures that a machine simulates.
///
/// There is one plan at a time: a new one replaces the previous one. Limits of nodes are independent of it.
pub struct Faults {
    plan: Plan,
    limits: BTreeMap<NodeId, u64>,
    seen: u64,
    refused: u64,
}

impl Faults {
    /// No failures.
    pub(crate) const fn new() -> Self {
        Self { plan: Plan::Nothing, limits: BTreeMap::new(), seen: 0, refused: 0 }
    }

    /// Refuses one request: `skip` more of the counted ones are granted before it, so zero means the next one.
    /// Requests after it are granted again.
    pub fn fail_nth(&mut self, which: Which, skip: u64) {
        self.plan = Plan::Once { which, left: skip };
    }

    /// Grants `granted` more of the counted requests and refuses all that follow.
    pub fn fail_after(&mut self, which: Which, granted: u64) {
        self.plan = Plan::From { which, left: granted };
    }

    /// Calls `verdict` for every request.
    pub fn fail_if(&mut self, verdict: impl FnMut(&Request) -> Verdict + Send + 'static) {
        self.plan = Plan::If(Mutex::new(Box::new(verdict)));
    }

    /// Treats a node as full when more than `bytes` bytes would be allocated from it, including bytes that are
    /// allocated already. Other nodes then serve the requests if they can.
    pub fn limit_node(&mut self, node: NodeId, bytes: u64) {
        self.limits.insert(node, bytes);
    }

    /// Ends all failures and limits, and counts refusals from zero again.
    pub fn heal(&mut self) {
        self.plan = Plan::Nothing;
        self.limits.clear();
        self.refused = 0;
    }

    /// The number of requests of either kind since the machine was made.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// The number of requests that were refused on request since the last [`Faults::heal`]. A block that was not
    /// available because of [`Faults::limit_node`] is not counted, because there memory was short.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Decides about a request.
    pub(crate) fn judge(&mut self, demand: Demand) -> Verdict {
        let request = Request { ordinal: self.seen, demand };
        self.seen += 1;
        let verdict = self.plan_says(&request);
        if verdict == Verdict::Refuse {
            self.refused += 1;
        }
        verdict
    }

    /// The largest number of bytes that may be allocated from a node.
    pub(crate) fn limit(&self, node: NodeId) -> u64 {
        self.limits.get(&node).copied().unwrap_or(u64::MAX)
    }

    fn plan_says(&mut self, request: &Request) -> Verdict {
        match &mut self.plan {
            Plan::Nothing => Verdict::Grant,
            Plan::If(verdict) => {
                let verdict = verdict.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
                verdict(request)
            }
            Plan::Once { which, .. } | Plan::From { which, .. } if !which.counts(&request.demand) => {
                Verdict::Grant
            }
            Plan::Once { left: 0, .. } => {
                self.plan = Plan::Nothing;
                Verdict::Refuse
            }
            Plan::From { left: 0, .. } => Verdict::Refuse,
            Plan::Once { left, .. } | Plan::From { left, .. } => {
                *left -= 1;
                Verdict::Grant
            }
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = match &self.plan {
            Plan::Nothing => "nothing".to_string(),
            Plan::Once { which, left } => format!("one of {which:?} after {left}"),
            Plan::From { which, left } => format!("{which:?} after {left}"),
            Plan::If(_) => "by predicate".to_string(),
        };
        f.debug_struct("Faults").field("plan", &plan).field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Demand =
        Demand::Block { layout: Layout::new::<u64>(), node: NodeId::new(0), origin: Origin::Boot };
    const LINK: Demand =
        Demand::Link { at: VirtAddr::new(0), to: PhysAddr::new(0), size: LeafSize::Size4KiB };

    fn verdicts(faults: &mut Faults, demands: &[Demand]) -> Vec<bool> {
        demands.iter().map(|demand| faults.judge(*demand) == Verdict::Grant).collect()
    }

    #[test]
    fn one_request_fails_and_the_next_does_not() {
        let mut faults = Faults::new();
        faults.fail_nth(Which::Blocks, 1);
        assert_eq!(verdicts(&mut faults, &[BLOCK, LINK, BLOCK, BLOCK]), [true, true, false, true]);
        assert_eq!((faults.refused(), faults.seen()), (1, 4));
    }

    #[test]
    fn all_fail_from_some_point_until_healed() {
        let mut faults = Faults::new();
        faults.fail_after(Which::All, 1);
        assert_eq!(verdicts(&mut faults, &[LINK, BLOCK, LINK]), [true, false, false]);
        faults.heal();
        assert_eq!(verdicts(&mut faults, &[BLOCK]), [true]);
        assert_eq!((faults.refused(), faults.seen()), (0, 4));
    }

    #[test]
    fn a_predicate_sees_what_is_asked_for() {
        let mut faults = Faults::new();
        faults.fail_if(|request| match request.demand {
            Demand::Link { .. } if request.ordinal > 1 => Verdict::Refuse,
            _ => Verdict::Grant,
        });
        assert_eq!(verdicts(&mut faults, &[LINK, BLOCK, LINK, BLOCK]), [true, true, false, true]);
    }
}
