//! The floor table: which crate stands where, and what each may not do.
//!
//! # Invariants
//!
//! 1. Every package of the workspace has a line here; the rule `floors` reports those that have none.
//! 2. A normal dependency leads to a strictly lower floor.

/// First floor of what runs on a host only.
const HOST: u8 = 6;

/// Where a package stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home {
    /// The package.
    pub(crate) name: &'static str,
    /// Its floor; from [`HOST`] on it is a host crate.
    pub(crate) floor: u8,
    /// Why it may contain `unsafe`; without a reason it has to forbid it.
    pub(crate) may_be_unsafe: Option<&'static str>,
}

impl Home {
    /// Whether a kernel links it. The run-time choice is for tools, although it stands beside the facade.
    pub(crate) fn is_kernel_side(&self) -> bool {
        self.floor < HOST && self.name != "sparsemem-any"
    }

    /// The crates of the host that it may name.
    pub(crate) fn host_names(&self) -> &'static [&'static str] {
        match self {
            _ if HEAP_ONLY.contains(&self.name) => &["alloc"],
            _ if self.is_kernel_side() => &[],
            _ => &["std", "alloc"],
        }
    }

    /// The floor as people call it.
    pub(crate) fn floor_name(&self) -> String {
        if self.floor < HOST { format!("floor {}", self.floor) } else { format!("host floor {}", self.floor) }
    }
}

/// Looks a package up in the table.
pub(crate) fn home(name: &str) -> Option<&'static Home> {
    HOMES.iter().find(|home| home.name == name)
}

const fn safe(floor: u8, name: &'static str) -> Home {
    Home { name, floor, may_be_unsafe: None }
}

const fn may_be_unsafe(floor: u8, name: &'static str, why: &'static str) -> Home {
    Home { name, floor, may_be_unsafe: Some(why) }
}

/// The table itself, lowest floor first.
pub(crate) const HOMES: &[Home] = &[
    may_be_unsafe(0, "sparsemem-core", "declares the unsafe traits and the raw descriptor"),
    may_be_unsafe(1, "sparsemem-page-table", "reads and writes tables behind raw addresses"),
    safe(1, "sparsemem-usage-map"),
    may_be_unsafe(1, "sparsemem-altmap", "zeroes frames of a device and makes blocks of them"),
    may_be_unsafe(
        2,
        "sparsemem-x86_64-page-table",
        "promises that the processor reads its entries as it writes them",
    ),
    may_be_unsafe(2, "sparsemem-section", "turns section words into pointers"),
    safe(3, "sparsemem-classic-sparse"),
    safe(3, "sparsemem-sparse-extreme"),
    may_be_unsafe(3, "sparsemem-vmemmap", "computes descriptor addresses from the base"),
    safe(4, "sparsemem-bootmem-registration"),
    safe(4, "sparsemem-hotplug"),
    safe(5, "sparsemem"),
    may_be_unsafe(5, "sparsemem-any", "forwards the unchecked lookups of the model inside"),
    safe(HOST, "sparsemem-log-reader"),
    may_be_unsafe(HOST, "sparsemem-machine", "maps memory and is the processor's memory manager"),
    safe(HOST, "sparsemem-disassembly"),
    safe(HOST, "sparsemem-terminal"),
    may_be_unsafe(7, "sparsemem-suite", "calls the unchecked lookups that it has to compare"),
    safe(7, "sparsemem-report"),
    may_be_unsafe(8, "sparsemem-exhaustive", "is a small machine of its own, made of plain memory"),
    safe(8, "sparsemem-machine-files"),
    safe(8, "sparsemem-qemu"),
    may_be_unsafe(9, "sparsemem-replay", "tells arrays and altmaps their places"),
    may_be_unsafe(
        10,
        "sparsemem-conformance",
        "tells arrays their places, and stands before the machine at boot",
    ),
    safe(11, "sparsemem-command"),
    may_be_unsafe(9, "sparsemem-probes", "has the unchecked lookups whose instructions are counted"),
    may_be_unsafe(9, "sparsemem-benches", "measures the unchecked lookups and their C twins"),
    safe(10, "sparsemem-counts"),
    safe(10, "sparsemem-tidy"),
    safe(10, "xtask"),
];

/// Host crates that also run inside a kernel, once it has a heap.
const HEAP_ONLY: &[&str] = &["sparsemem-suite"];

/// Dependencies that the floors would allow and the design does not: who, on whom, and why not.
pub(crate) const NEVER: &[(&str, &[&str], &str)] = &[
    ("sparsemem-hotplug", BACKENDS, "works on any model through the traits of the core"),
    ("sparsemem-bootmem-registration", BACKENDS, "works on any model through the traits of the core"),
    ("sparsemem-log-reader", &["sparsemem-any", "sparsemem"], "knows layouts, not models"),
    ("sparsemem-machine", &["sparsemem-any", "sparsemem"], "is hardware, and knows no models"),
    ("sparsemem-suite", BACKENDS, "works on any model through the traits of the core"),
    (
        "sparsemem-suite",
        &["sparsemem-any", "sparsemem-machine", "sparsemem-log-reader"],
        "also runs inside a kernel",
    ),
];

const BACKENDS: &[&str] = &["sparsemem-classic-sparse", "sparsemem-sparse-extreme", "sparsemem-vmemmap"];

/// The external crates that the core is content with.
pub(crate) const CORE_EXTERNALS: &[&str] = &["bitflags", "cfg-if", "thiserror", "tracing"];

/// External crates that no kernel-side crate may depend on.
pub(crate) const HOST_ONLY_EXTERNALS: &[&str] = &[
    "cc",
    "clap",
    "criterion",
    "enum_dispatch",
    "iced-x86",
    "indicatif",
    "object",
    "plotters",
    "proptest",
    "rstest",
    "rustix",
    "serde",
    "serde_json",
];

/// Files that may be longer than the limit: path and reason.
pub(crate) const LONG_FILES: &[(&str, &str)] = &[];
