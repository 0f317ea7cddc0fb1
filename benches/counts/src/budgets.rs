//! The budget of each lookup. A change that needs more has to change a line here, and say why.
//!
//! No probe may need more than its twin in C either. Counted are all ways through a function together, with the return:
//! failing ways too.

/// The limits of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// The probe.
    pub(crate) probe: &'static str,
    /// Instructions at most.
    pub(crate) instructions: usize,
    /// Loads at most, without the stack's.
    pub(crate) loads: usize,
}

const fn budget(probe: &'static str, instructions: usize, loads: usize) -> Budget {
    Budget { probe, instructions, loads }
}

/// Every probe.
pub(crate) const BUDGETS: &[Budget] = &[
    budget("classic_unchecked", 8, 1),
    budget("extreme_unchecked", 11, 2),
    budget("vmemmap_unchecked", 4, 0),
    budget("placed_unchecked", 4, 1),
    budget("classic_checked", 26, 3),
    budget("extreme_checked", 32, 4),
    budget("vmemmap_checked", 32, 4),
    budget("placed_checked", 32, 5),
    budget("classic_reader", 26, 3),
    budget("extreme_reader", 32, 4),
    budget("vmemmap_reader", 32, 4),
    budget("placed_reader", 32, 5),
    budget("classic_online", 26, 3),
    budget("extreme_online", 32, 4),
    budget("vmemmap_online", 31, 4),
    budget("placed_online", 31, 5),
    budget("classic_valid", 23, 3),
    budget("extreme_valid", 29, 4),
    budget("vmemmap_valid", 29, 4),
    budget("placed_valid", 29, 4),
    budget("classic_pfn_of", 8, 2),
    budget("extreme_pfn_of", 11, 3),
    budget("vmemmap_pfn_of", 4, 0),
    budget("placed_pfn_of", 4, 1),
];

/// The features that choose a model for `Selected`, and the name that the model's own probes begin with.
pub(super) const SELECTED: [(&str, &str); 3] = [
    ("selected-classic-sparse", "classic"),
    ("selected-sparse-extreme", "extreme"),
    ("selected-vmemmap", "vmemmap"),
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
    fn readers_share_the_twin_of_checked_lookups() {
        assert_eq!(twin("classic_reader"), "c_classic_checked");
        assert_eq!(twin("placed_pfn_of"), "c_placed_pfn_of");
    }
}
