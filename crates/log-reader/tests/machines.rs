//! Compares every machine in `conformance/machines` with the facts that are known about it.
//!
//! The column values of `index.toml` and the facts of the `.golden` files are compared with those that this crate and a
//! plain section model derive from the map. Each difference has to stand in `expectations.toml` with its reason; a
//! difference without an entry fails, and so does an entry without a difference.
//!
//! # Invariants
//!
//! 1. Golden files are never input of the parser under test.
//! 2. Each map is in the index, each golden file has a map, and each of them is compared in at least one fact.

#[path = "machines/columns.rs"]
mod columns;
#[path = "machines/derived.rs"]
mod derived;
#[path = "machines/expectations.rs"]
mod expectations;
#[path = "machines/files.rs"]
mod files;
#[path = "machines/sections.rs"]
mod sections;

use expectations::{Difference, Expectations};

#[test]
fn every_machine_is_as_known_or_explained() {
    let mut differences = Vec::new();
    for map in files::maps() {
        let column = columns::of(&map.name);
        differences.extend(columns::compare(&map, &column));
        if let Some(golden) = map.golden() {
            differences.extend(derived::compare(&map, &golden, column.descriptor_bytes));
        }
    }
    let unexplained = Expectations::load().unexplained(&differences);
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
}

/// Logs that contradict themselves; `expectations.toml` has the reasons.
const CONTRADICT_THEMSELVES: [&str; 2] =
    ["x86-2s-384g-pmem-node1-memoryless.dmesg", "x86-xen-dom0-pv-760m.dmesg"];

#[test]
fn every_log_agrees_with_the_facts_of_its_own_kernel() {
    let mut agreements = 0;
    for map in files::maps() {
        let parsed = map.with_golden();
        let contradicts = CONTRADICT_THEMSELVES.contains(&map.name.as_str());
        assert_eq!(
            !parsed.contradictions.is_empty(),
            contradicts,
            "{}: {:?}",
            map.name,
            parsed.contradictions
        );
        assert!(map.parsed.contradictions.is_empty(), "{}", map.name);
        agreements += parsed.agreements.len();
    }
    assert!(agreements > 150, "{agreements}");
}

#[test]
fn the_index_lists_every_map_and_nothing_else() {
    let listed: Vec<String> = columns::all().into_iter().map(|column| column.file).collect();
    let there: Vec<String> = files::maps().into_iter().map(|map| map.name).collect();
    assert_eq!(listed, there);
}

#[test]
fn every_golden_file_has_a_map() {
    let maps = files::maps();
    for golden in files::goldens() {
        assert!(maps.iter().any(|map| map.golden_name() == golden), "{golden} belongs to no map");
    }
}

#[test]
fn a_stale_or_wrong_expectation_fails() {
    let text = r#"
        [[difference]]
        file = "a.dmesg"
        fact = "total-pages"
        expected = 1
        actual = 2
        reason = "why"
    "#;
    let differs = |actual: u64| Difference::new("a.dmesg", "total-pages", 1u64, actual);
    let check = |differences: &[Difference]| Expectations::read(text).unexplained(differences).len();
    assert_eq!(check(&[differs(2)]), 0);
    assert_eq!(check(&[]), 1, "stale");
    assert_eq!(check(&[differs(1)]), 1, "no longer different");
    assert_eq!(check(&[differs(3)]), 2, "another number: one stale, one unexplained");
    let other = Difference::new("b.dmesg", "total-pages", 1u64, 2u64);
    assert_eq!(check(&[differs(2), other]), 1, "unexplained");
}
