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
    budget("classic_checked", 24, 3),
    budget("classic_reader", 24, 3),
    budget("classic_online", 26, 3),
    budget("classic_valid", 21, 3),
    budget("classic_pfn_of", 8, 2),
    budget("extreme_unchecked", 11, 2),
    budget("extreme_checked", 30, 4),
    budget("extreme_reader", 30, 4),
    budget("extreme_online", 32, 4),
    budget("extreme_valid", 27, 4),
    budget("extreme_pfn_of", 11, 3),
    budget("vmemmap_unchecked", 4, 0),
    budget("vmemmap_checked", 20, 2),
    budget("vmemmap_reader", 20, 2),
    budget("vmemmap_online", 20, 2),
    budget("vmemmap_valid", 17, 2),
    budget("vmemmap_pfn_of", 4, 0),
    budget("placed_unchecked", 4, 1),
    budget("placed_checked", 20, 3),
    budget("placed_reader", 20, 3),
    budget("placed_online", 20, 3),
    budget("placed_valid", 17, 2),
    budget("placed_pfn_of", 4, 1),
    budget("planes_unchecked", 4, 0),
    budget("planes_checked", 16, 1),
    budget("planes_reader", 16, 1),
    budget("planes_online", 16, 1),
    budget("planes_valid", 13, 1),
    budget("planes_pfn_of", 4, 0),
    budget("wide_unchecked", 4, 0),
    budget("wide_checked", 20, 2),
    budget("wide_reader", 20, 2),
    budget("wide_online", 20, 2),
    budget("wide_valid", 17, 2),
    budget("wide_pfn_of", 4, 0),
];

/// The features that choose a model for `Selected`, and the name that the model's own probes begin with.
pub(super) const SELECTED: [(&str, &str); 3] = [
    ("selected-classic-sparse", "classic"),
    ("selected-sparse-extreme", "extreme"),
    ("selected-vmemmap", "vmemmap"),
];

/// The twin in C of a probe: a reader does what a checked lookup does, and vmemmap with flat planes or with 52 bits what
/// vmemmap does.
pub(crate) fn twin(probe: &str) -> String {
    let (model, question) = probe.split_once('_').unwrap_or((probe, ""));
    let model = if ["planes", "wide"].contains(&model) { "vmemmap" } else { model };
    format!("c_{model}_{}", if question == "reader" { "checked" } else { question })
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
        assert_eq!((loads("vmemmap_checked"), loads("wide_checked")), (Some(2), Some(2)));
        assert_eq!(loads("planes_checked"), Some(1));
    }

    #[test]
    fn readers_share_the_twin_of_checked_lookups() {
        assert_eq!(twin("classic_reader"), "c_classic_checked");
        assert_eq!(twin("placed_pfn_of"), "c_placed_pfn_of");
        assert_eq!(twin("planes_reader"), "c_vmemmap_checked");
    }
}
