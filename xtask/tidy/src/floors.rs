//! The floor table: which crate stands where, and what each may not depend on.
//!
//! # Invariants
//!
//! 1. Every package of the workspace has a line here; the rule `floors` reports those that have none.
//! 2. A normal dependency leads to a strictly lower floor.

/// First floor of what runs on a host only.
const HOST: u8 = 6;

/// The floor of a package; from [`HOST`] on it is a host crate.
pub(crate) fn floor(name: &str) -> Option<u8> {
    HOMES.iter().find(|(_, home)| *home == name).map(|(floor, _)| *floor)
}

/// The floor as people call it.
pub(crate) fn floor_name(floor: u8) -> String {
    if floor < HOST { format!("floor {floor}") } else { format!("host floor {floor}") }
}

/// True if a kernel links the package. The run-time choice is for tools, although it stands beside the facade.
pub(crate) fn is_product(name: &str) -> bool {
    name != "sparsemem-any" && floor(name).is_some_and(|floor| floor < HOST)
}

/// The table itself, lowest floor first.
const HOMES: &[(u8, &str)] = &[
    (0, "sparsemem-core"),
    (1, "sparsemem-page-table"),
    (1, "sparsemem-usage-map"),
    (1, "sparsemem-altmap"),
    (1, "sparsemem-boot-maps"),
    (2, "sparsemem-x86_64-page-table"),
    (2, "sparsemem-aarch64-page-table"),
    (2, "sparsemem-riscv64-page-table"),
    (2, "sparsemem-section"),
    (2, "sparsemem-bounded-array"),
    (2, "sparsemem-by-frame"),
    (3, "sparsemem-classic-sparse"),
    (3, "sparsemem-sparse-extreme"),
    (3, "sparsemem-vmemmap"),
    (3, "sparsemem-flat"),
    (3, "sparsemem-compressed-index"),
    (4, "sparsemem-bootmem-registration"),
    (4, "sparsemem-hotplug"),
    (4, "sparsemem-environments"),
    (5, "sparsemem-virtio-mem"),
    (5, "sparsemem"),
    (5, "sparsemem-any"),
    (HOST, "sparsemem-log-reader"),
    (HOST, "sparsemem-machine"),
    (HOST, "sparsemem-disassembly"),
    (HOST, "sparsemem-foreign"),
    (HOST, "sparsemem-terminal"),
    (7, "sparsemem-fixture"),
    (7, "sparsemem-suite"),
    (7, "sparsemem-report"),
    (8, "sparsemem-exhaustive"),
    (8, "sparsemem-replay"),
    (8, "sparsemem-machine-files"),
    (8, "sparsemem-qemu"),
    (HOST, "sparsemem-proofs"),
    (9, "sparsemem-harness"),
    (10, "sparsemem-conformance"),
    (9, "sparsemem-cli"),
    (11, "sparsemem-command"),
    (9, "sparsemem-probes"),
    (9, "sparsemem-benches"),
    (10, "sparsemem-counts"),
    (10, "sparsemem-tidy"),
    (10, "sparsemem-api"),
    (10, "xtask"),
    (10, "sparsemem-example-boot"),
    (10, "sparsemem-example-hotplug"),
    (10, "sparsemem-example-page-info"),
    (10, "sparsemem-example-frame-list"),
    (10, "sparsemem-example-get-slot"),
    (10, "sparsemem-example-granules"),
    (10, "sparsemem-example-vmm"),
];

/// Dependencies that the floors would allow and the design does not: who, on whom, and why not.
pub(crate) const NEVER: &[(&str, &[&str], &str)] = &[
    ("sparsemem-hotplug", BACKENDS, "works on any model through the traits of the core"),
    ("sparsemem-virtio-mem", BACKENDS, "works on any model through the traits of the core"),
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

const BACKENDS: &[&str] = &[
    "sparsemem-classic-sparse",
    "sparsemem-sparse-extreme",
    "sparsemem-vmemmap",
    "sparsemem-flat",
    "sparsemem-compressed-index",
];

/// The external crates that the core is content with.
pub(crate) const CORE_EXTERNALS: &[&str] = &["bitflags", "cfg-if", "thiserror", "tracing"];

/// External crates that no kernel needs, although they compile for one; what needs a host does not.
pub(crate) const HOST_ONLY_EXTERNALS: &[&str] = &["enum_dispatch", "serde", "serde_json"];

/// Files that may be longer than the limit: path and reason.
pub(crate) const LONG_FILES: &[(&str, &str)] = &[];
