//! Bad input, and the shape of what is printed.

use std::path::{Path, PathBuf};

use sparsemem_any::Backend;
use sparsemem_conformance::{Filter, FilterError, cells};
use sparsemem_machine_files::{GeometryName, MachineError, MachineFile};
use sparsemem_report::{Arch, CellResult, Outcome, Report, World};

/// A filter with one machine.
fn one_machine(path: &str) -> Filter {
    Filter { machines: vec![PathBuf::from(path)], ..Filter::default() }
}

#[test]
fn names_that_do_not_exist_are_named_in_the_error() {
    assert!("vax".parse::<Backend>().unwrap_err().to_string().contains("`vax`"));
    assert!("vax".parse::<GeometryName>().unwrap_err().to_string().contains("x86_64-la57"));
    for backend in Backend::ALL {
        assert_eq!(backend.name().parse(), Ok(backend));
    }
    for geometry in GeometryName::ALL {
        assert_eq!(geometry.name().parse(), Ok(*geometry));
    }
}

#[test]
fn a_pattern_without_a_scenario_is_an_error() {
    let filter = Filter { scenarios: vec!["boot/*".to_owned(), "boat/*".to_owned()], ..Filter::default() };
    let error = cells(&filter).unwrap_err();
    assert!(matches!(&error, FilterError::NoSuchScenario { pattern } if pattern == "boat/*"));
}

#[test]
fn files_that_are_no_machines_are_named_in_the_error() {
    let error = cells(&one_machine("no-such-file")).unwrap_err();
    assert!(matches!(error, FilterError::Machine(MachineError::Unreadable { .. })));
    assert!(error.to_string().contains("no-such-file"));
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let error = cells(&one_machine(manifest)).unwrap_err();
    assert!(matches!(error, FilterError::Machine(MachineError::NoMap { .. })));
    assert!(error.to_string().contains(manifest));
}

#[test]
fn geometries_follow_file_names_and_the_end_of_memory() {
    let of = |name: &str| MachineFile::open(Path::new(name), None).unwrap().geometry;
    assert_eq!(of("arm64-rpi4-2g.dmesg"), GeometryName::Arm64Page4K);
    assert_eq!(of("ppc64le-power9-2s-64g.dmesg"), GeometryName::Ppc64Page64K);
    assert_eq!(of("riscv-lichee-rv-d1.dmesg"), GeometryName::Riscv64);
    assert_eq!(of("synthetic-64t.dmesg"), GeometryName::X86_64);
    assert_eq!(of("synthetic-la57.dmesg"), GeometryName::X86_64La57);
    let chosen =
        MachineFile::open(Path::new("arm64-rpi4-2g.dmesg"), Some(GeometryName::Arm64Page16K)).unwrap();
    assert_eq!(chosen.geometry, GeometryName::Arm64Page16K);
}

#[test]
fn a_report_is_printed_as_documented() {
    let result = CellResult {
        scenario: "boot/words".to_owned(),
        world: World::Qemu,
        arch: Some(Arch::Aarch64),
        backend: Backend::Vmemmap,
        machine: "m.dmesg".to_owned(),
        outcome: Outcome::NotApplicable,
        detail: "why".to_owned(),
        failure_points: 0,
        duration_ms: 1.5,
    };
    let printed = serde_json::to_value(Report::new(vec![result])).unwrap();
    let expected = serde_json::json!({
        "summary": { "passed": 0, "failed": 0, "skipped": 0, "not_applicable": 1, "failure_points": 0 },
        "results": [{
            "scenario": "boot/words", "world": "qemu", "arch": "aarch64", "backend": "vmemmap", "machine": "m.dmesg",
            "outcome": "not-applicable", "detail": "why", "failure_points": 0, "duration_ms": 1.5,
        }],
    });
    assert_eq!(printed, expected);
}
