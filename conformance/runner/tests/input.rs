//! Bad input, and the shape of what is printed.

use std::path::{Path, PathBuf};

use sparsemem_any::Backend;
use sparsemem_conformance::{Filter, FilterError, cells, inspect};
use sparsemem_machine_files::{GeometryName, MachineError, MachineFile};
use sparsemem_report::{CellResult, Outcome, Report, World};

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
            "scenario": "boot/words", "world": "qemu", "backend": "vmemmap", "machine": "m.dmesg",
            "outcome": "not-applicable", "detail": "why", "failure_points": 0, "duration_ms": 1.5,
        }],
    });
    assert_eq!(printed, expected);
}

#[test]
fn an_inspection_is_printed_as_documented() {
    let machine = MachineFile::open(Path::new("x86-kvm-bochs-512m.dmesg"), None).unwrap();
    let flat = Backend::ALL.into_iter().find(|backend| !backend.has_roots() && !backend.has_array()).unwrap();
    let printed = serde_json::to_value(inspect(&machine, &[flat]).unwrap()).unwrap();
    assert_eq!(
        printed["ranges"][0],
        serde_json::json!({
            "start": 0, "end": 0x9_fc00, "node": 0, "kind": "ram",
        })
    );
    let backend = &printed["backends"][flat.name()];
    assert_eq!(backend["sections"].as_array().unwrap().len(), 4);
    assert_eq!(
        backend["sections"][0],
        serde_json::json!({
            "nr": 0, "flags": 0xf, "subsections": "ffffffffffffffff",
        })
    );
    let bytes = |name: &str| backend[name].as_u64().unwrap();
    // 16 bytes for each of 2^19 sections, and the summary bits of walks.
    assert_eq!(bytes("table_bytes"), (8 << 20) + (512 + 8) * 8);
    assert_eq!(bytes("memmap_bytes"), 4 * (2 << 20));
    assert_eq!(bytes("page_table_bytes"), 0);
    assert!(bytes("usage_bytes") > 0);
    assert_eq!(printed["backends"].as_object().unwrap().len(), 1);
}
