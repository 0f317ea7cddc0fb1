//! Models that a recording does not apply to are told so by type, and a model that claims otherwise is caught.

use sparsemem_core::presets::X86_64;
use sparsemem_core::{Page, SectionShape};
use sparsemem_flat::Flat;
use sparsemem_machine::{HostRcu, place};
use sparsemem_replay::{Inside, Recording, Replay, ReplayError, Unlike, replay, replay_registered};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_suite::{Capabilities, TableKind, Usages};

enum Readers {}
type Sparse = SparseExtreme<X86_64, Page, HostRcu<Readers>, { X86_64::NR_ROOTS_LEN }>;
type Array = Flat<X86_64, Page, HostRcu<Readers>>;

const SPARSE: Capabilities =
    Capabilities { table: TableKind::Rooted, usages: Usages::PerSection, ..Capabilities::LEAST };

fn recording(name: &str) -> Recording {
    Inside::find(name).unwrap().read().unwrap()
}

fn on_array(can: Capabilities) -> Result<Replay, ReplayError> {
    replay(&recording("exactmap-holes"), |_| (place::<Array>(), can))
}

fn on_sparse(name: &str) -> Result<Replay, ReplayError> {
    replay_registered(&recording(name), |_| (place::<Sparse>(), SPARSE))
}

#[test]
fn a_model_without_usages_is_told_so() {
    assert_eq!(on_array(Capabilities::LEAST), Ok(Replay::NotApplicable(Unlike::Usages)));
}

#[test]
fn a_model_that_only_claims_usages_is_caught() {
    let said = on_array(Capabilities { usages: Usages::PerSection, ..Capabilities::LEAST }).unwrap_err();
    let ReplayError::Different { differences } = said else { panic!("{said}") };
    assert!(differences.iter().any(|it| it.what == "usages"), "{differences:#?}");
}

#[test]
fn what_a_model_has_otherwise_is_told() {
    assert_eq!(on_sparse("altmap-700m"), Ok(Replay::NotApplicable(Unlike::Memmaps)));
    let five_levels = on_sparse("la57-pmem-dimm");
    assert!(matches!(five_levels, Ok(Replay::NotApplicable(Unlike::Geometry { .. }))), "{five_levels:?}");
}

#[test]
fn a_model_that_does_what_linux_did_passes() {
    for name in ["dimm-1g", "boot-dimm", "two-pmem-one-section", "virtio-mem-1g", "novmemmap-numa-2"] {
        let replayed = on_sparse(name);
        assert!(matches!(replayed, Ok(Replay::Done(_))), "{name}: {replayed:?}");
    }
}
