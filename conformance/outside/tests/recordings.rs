//! Recordings of Linux, on a model that keeps what Linux keeps for each section. `cargo test linux::` runs them.

use sparsemem_core::{Page, SectionShape, presets::X86_64};
use sparsemem_harness::{Capabilities, Host, HostRcu, TableKind, Usages, Verdict, place};
use sparsemem_sparse_extreme::SparseExtreme;

enum Readers {}

fn sparse(host: Host) -> Verdict {
    type Model = SparseExtreme<X86_64, Page, HostRcu<Readers>, { X86_64::NR_ROOTS_LEN }>;
    let can = Capabilities { table: TableKind::Rooted, usages: Usages::PerSection, ..Capabilities::LEAST };
    host.hotplug_with_metadata(|_| (place::<Model>(), can))
}

sparsemem_harness::tests!(sparse);
