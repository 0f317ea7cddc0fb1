//! The catalogue as a whole, and every scenario on the small machines.

use std::collections::BTreeSet;

use sparsemem_conformance::{Cell, Filter, Here, catalogue, cells, run};
use sparsemem_report::Outcome;

/// Most memory of a machine that is run here; the conformance run has all of them.
const SMALL: u64 = 3 << 30;

#[test]
fn names_are_unique_and_say_topic_and_subject() {
    let names: BTreeSet<String> = catalogue().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), catalogue().len());
    assert!(names.iter().all(|name| name.split('/').filter(|part| !part.is_empty()).count() == 2));
}

#[test]
fn every_scenario_of_the_registry_says_what_it_stands_for() {
    for scenario in sparsemem_suite::ALL {
        assert!(!scenario.facts.is_empty() && !scenario.about.is_empty(), "{}", scenario.name);
        assert!(!scenario.about.ends_with('.'), "{}: about is no sentence with a full stop", scenario.name);
    }
}

#[test]
fn everything_passes_on_all_small_machines() {
    let small = |cell: &Cell| {
        let bytes: u64 = cell.machine.memory.iter().map(|(range, _)| range.count().get()).sum();
        bytes <= SMALL
    };
    let usual = |cell: &Cell| !cell.scenario.contains('@');
    let mut cells = cells(&Filter::default()).unwrap();
    cells.retain(|cell| small(cell) && usual(cell));
    let report =
        run(&cells, vec![Here; std::thread::available_parallelism().map_or(1, usize::from)], &|_| ());
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(report.summary.passed > 500, "{:?}", report.summary);
    assert!(
        report.results.iter().all(|result| (result.outcome == Outcome::Passed) == result.detail.is_empty())
    );
}
