//! What each lookup may cost. A change that needs more has to change a line here, and say why.
//!
//! Counted are all ways through a function together, with the return: failing ways too.

/// The limits of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// The probe.
    pub(crate) probe: &'static str,
    /// Instructions at most.
    pub(crate) instructions: usize,
    /// Loads at most, without the stack's.
    pub(crate) loads: usize,
    /// Instructions that it may need more than its twin in C, and why.
    pub(crate) above_c: Option<Excuse>,
}

/// Why a probe may need more instructions than its twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excuse {
    /// How many.
    pub(crate) instructions: usize,
    /// Why.
    pub(crate) why: &'static str,
}

/// The compilers choose other instructions for the same thing, and neither is better on every lookup.
const ANOTHER_CHOICE: Option<Excuse> =
    Some(Excuse { instructions: 1, why: "rustc keeps the frame in a second register, gcc does not" });

/// The place of a virtual array that is found at boot is an atomic.
const NOT_FOLDED: Option<Excuse> = Some(Excuse {
    instructions: 1,
    why: "rustc does not fold an atomic load into the addition that needs it",
});

const fn budget(probe: &'static str, instructions: usize, loads: usize) -> Budget {
    Budget { probe, instructions, loads, above_c: None }
}

const fn excused(probe: &'static str, instructions: usize, loads: usize, above_c: Option<Excuse>) -> Budget {
    Budget { probe, instructions, loads, above_c }
}

/// Every probe.
pub(crate) const BUDGETS: &[Budget] = &[
    budget("classic_unchecked", 8, 1),
    budget("extreme_unchecked", 11, 2),
    budget("vmemmap_unchecked", 4, 0),
    budget("placed_unchecked", 4, 1),
    budget("classic_checked", 27, 3),
    budget("extreme_checked", 33, 4),
    budget("vmemmap_checked", 32, 4),
    excused("placed_checked", 33, 5, NOT_FOLDED),
    budget("classic_reader", 27, 3),
    budget("extreme_reader", 33, 4),
    budget("vmemmap_reader", 32, 4),
    excused("placed_reader", 33, 5, NOT_FOLDED),
    excused("classic_online", 27, 3, ANOTHER_CHOICE),
    excused("extreme_online", 33, 4, ANOTHER_CHOICE),
    excused("vmemmap_online", 32, 4, ANOTHER_CHOICE),
    excused("placed_online", 32, 5, NOT_FOLDED),
    budget("classic_valid", 23, 3),
    budget("extreme_valid", 29, 4),
    budget("vmemmap_valid", 29, 4),
    budget("placed_valid", 29, 4),
    budget("classic_pfn_of", 8, 2),
    budget("extreme_pfn_of", 11, 3),
    budget("vmemmap_pfn_of", 4, 0),
    excused("placed_pfn_of", 5, 1, NOT_FOLDED),
];

/// The twin in C of a probe: a reader does what a checked lookup does.
pub(crate) fn twin(probe: &str) -> String {
    format!("c_{}", probe.replace("_reader", "_checked"))
}

#[cfg(test)]
mod tests {
    use super::{BUDGETS, twin};

    #[test]
    fn the_promised_loads_are_the_budget() {
        let loads = |probe| BUDGETS.iter().find(|budget| budget.probe == probe).map(|budget| budget.loads);
        assert_eq!(loads("vmemmap_unchecked"), Some(0));
        assert_eq!(loads("classic_unchecked"), Some(1));
        assert_eq!(loads("extreme_unchecked"), Some(2));
    }

    #[test]
    fn unchecked_lookups_have_no_excuse() {
        let unchecked = BUDGETS.iter().filter(|budget| budget.probe.ends_with("_unchecked"));
        assert!(unchecked.into_iter().all(|budget| budget.above_c.is_none()));
    }

    #[test]
    fn readers_share_the_twin_of_checked_lookups() {
        assert_eq!(twin("classic_reader"), "c_classic_checked");
        assert_eq!(twin("placed_pfn_of"), "c_placed_pfn_of");
    }
}
