//! The budget of each lookup. A change that needs more has to change a line here, and say why.
//!
//! No probe may need more than its twin in C either, with few exceptions on other processors than x86_64. The counts include
//! all paths through a function together, with the return:
//! failing ways too.

use sparsemem_report::Arch;

/// The limits of one probe on one processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Instructions at most.
    pub(crate) instructions: usize,
    /// Loads at most, without the stack's.
    pub(crate) loads: usize,
    /// Calls at most, on paths that are seldom taken.
    pub(crate) calls: usize,
}

/// The limits of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// The probe.
    pub(crate) probe: &'static str,
    /// The limits on x86_64, aarch64 and riscv64.
    limits: [Option<Limits>; 3],
}

impl Budget {
    /// The limits on a processor, if the probe is counted there.
    pub(crate) const fn on(&self, arch: Arch) -> Option<Limits> {
        let [x86_64, aarch64, riscv64] = self.limits;
        match arch {
            Arch::X86_64 => x86_64,
            Arch::Aarch64 => aarch64,
            Arch::Riscv64 => riscv64,
        }
    }
}

/// The budget of a probe: instructions on x86_64, aarch64 and riscv64, and loads, which no processor needs more of.
const fn budget(probe: &'static str, instructions: [usize; 3], loads: usize) -> Budget {
    let [x86_64, aarch64, riscv64] = instructions;
    Budget { probe, limits: [limits(x86_64, loads, 0), limits(aarch64, loads, 0), limits(riscv64, loads, 0)] }
}

/// The budget of a probe of a model by frame, which is counted on x86_64 only: it calls one function, for frames of
/// subsections that have holes.
const fn by_frame(probe: &'static str, instructions: usize, loads: usize, calls: usize) -> Budget {
    Budget { probe, limits: [limits(instructions, loads, calls), None, None] }
}

const fn limits(instructions: usize, loads: usize, calls: usize) -> Option<Limits> {
    Some(Limits { instructions, loads, calls })
}

/// Every probe.
pub(crate) const BUDGETS: &[Budget] = &[
    budget("classic_unchecked", [8, 8, 11], 1),
    budget("classic_checked", [23, 22, 27], 3),
    budget("classic_reader", [23, 22, 27], 3),
    budget("classic_online", [25, 23, 28], 3),
    budget("classic_valid", [20, 24, 29], 3),
    budget("classic_pfn_of", [8, 9, 11], 2),
    budget("extreme_unchecked", [11, 11, 18], 2),
    budget("extreme_checked", [29, 26, 34], 4),
    budget("extreme_reader", [29, 26, 34], 4),
    budget("extreme_online", [31, 27, 35], 4),
    budget("extreme_valid", [26, 28, 34], 4),
    budget("extreme_pfn_of", [11, 13, 17], 3),
    by_frame("byframe_unchecked", 11, 2, 0),
    by_frame("byframe_checked", 54, 9, 1),
    by_frame("byframe_reader", 54, 9, 1),
    by_frame("byframe_online", 55, 9, 1),
    by_frame("byframe_valid", 51, 9, 1),
    by_frame("byframe_pfn_of", 11, 3, 0),
    budget("vmemmap_unchecked", [4, 4, 5], 0),
    budget("vmemmap_checked", [20, 22, 27], 2),
    budget("vmemmap_reader", [20, 22, 27], 2),
    budget("vmemmap_online", [20, 22, 27], 2),
    budget("vmemmap_valid", [17, 19, 23], 2),
    budget("vmemmap_pfn_of", [4, 4, 5], 0),
    budget("placed_unchecked", [4, 4, 8], 1),
    budget("placed_checked", [20, 21, 27], 3),
    budget("placed_reader", [20, 21, 27], 3),
    budget("placed_online", [20, 21, 27], 3),
    budget("placed_valid", [17, 19, 23], 2),
    budget("placed_pfn_of", [4, 5, 8], 1),
    budget("planes_unchecked", [4, 4, 5], 0),
    budget("planes_checked", [15, 19, 21], 1),
    budget("planes_reader", [15, 19, 21], 1),
    budget("planes_online", [15, 19, 21], 1),
    budget("planes_valid", [12, 16, 17], 1),
    budget("planes_pfn_of", [4, 4, 5], 0),
    budget("wide_unchecked", [4, 3, 5], 0),
    budget("wide_checked", [20, 21, 27], 2),
    budget("wide_reader", [20, 21, 27], 2),
    budget("wide_online", [20, 21, 27], 2),
    budget("wide_valid", [17, 19, 23], 2),
    budget("wide_pfn_of", [4, 4, 5], 0),
    budget("flat_unchecked", [4, 5, 6], 1),
    budget("flat_checked", [26, 24, 31], 7),
    budget("flat_reader", [26, 24, 31], 7),
    budget("flat_online", [27, 27, 31], 7),
    budget("flat_valid", [24, 24, 29], 6),
    budget("flat_pfn_of", [5, 6, 6], 1),
    budget("compressed_unchecked", [11, 13, 15], 4),
    budget("compressed_checked", [34, 33, 40], 10),
    budget("compressed_reader", [34, 33, 40], 10),
    budget("compressed_online", [35, 36, 40], 10),
    budget("compressed_valid", [32, 33, 38], 9),
    budget("compressed_pfn_of", [11, 14, 15], 4),
];

/// Lookups that need more instructions than their twin in C, on processors that have no instruction for what Rust's compiler
/// makes of them: how many more, and why. On x86_64 there is none of Linux' models.
const EXCUSED: &[(Arch, &str, usize, &str)] = &[
    (
        Arch::X86_64,
        "flat_online",
        1,
        "the bit chooses the result without a branch, so that zero is made twice",
    ),
    (
        Arch::Aarch64,
        "flat_online",
        1,
        "the bit chooses the result without a branch, so that zero is made twice",
    ),
    (Arch::Aarch64, "classic_valid", 1, "a bit is tested by a mask that is shifted to it"),
    (
        Arch::Riscv64,
        "classic_valid",
        2,
        "a bit is tested by a mask that is shifted to it, and two returns are not shared",
    ),
    (Arch::Riscv64, "classic_online", 1, "a flag that saves loads is tested by two instructions"),
    (Arch::Riscv64, "extreme_online", 1, "a flag that saves loads is tested by two instructions"),
    (
        Arch::Riscv64,
        "extreme_unchecked",
        1,
        "the mask of an entry's place in its root takes two instructions",
    ),
    (Arch::Riscv64, "placed_unchecked", 3, "the place is too far into the model for the offset of a load"),
    (Arch::Riscv64, "placed_pfn_of", 3, "the place is too far into the model for the offset of a load"),
];

/// The number of instructions by which a probe may exceed its twin in C on a processor.
pub(crate) fn excused(arch: Arch, probe: &str) -> usize {
    let found = EXCUSED.iter().find(|(of, name, ..)| (*of, *name) == (arch, probe));
    found.map_or(0, |(.., more, _)| *more)
}

/// The features that choose a model for `Selected`, and the name that the model's own probes begin with.
pub(super) const SELECTED: [(&str, &str); 5] = [
    ("selected-classic-sparse", "classic"),
    ("selected-sparse-extreme", "extreme"),
    ("selected-vmemmap", "vmemmap"),
    ("selected-flat", "flat"),
    ("selected-compressed-index", "compressed"),
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
    use sparsemem_report::Arch;

    #[test]
    fn the_promised_loads_are_the_budget() {
        let limits = |probe| BUDGETS.iter().find(|budget| budget.probe == probe);
        let loads = |probe| limits(probe)?.on(Arch::X86_64).map(|limits| limits.loads);
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
