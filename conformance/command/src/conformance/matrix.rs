//! The matrix scenario x backend.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{Cell, Table};
use sparsemem_any::Backend;
use sparsemem_report::{CellResult, Outcome, Report, World};

use sparsemem_terminal::{Colour, Screen};

/// The outcomes of the cells of one scenario on one backend, over all machines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    fn of<'a>(results: impl Iterator<Item = &'a CellResult>) -> Self {
        let mut tally = Self::default();
        for result in results {
            match result.outcome {
                Outcome::Passed => tally.passed += 1,
                Outcome::Failed => tally.failed += 1,
                Outcome::Skipped => tally.skipped += 1,
                Outcome::NotApplicable => {}
            }
        }
        tally
    }

    /// Only the worst outcome, in at most eight characters, because five columns and the names of scenarios share 80.
    /// Skipped cells are those that are missing from the count.
    fn text(self) -> String {
        let Self { passed, failed, skipped } = self;
        match (failed, passed, skipped) {
            (0, 0, 0) => "-".to_owned(),
            (0, _, 0) => format!("{passed} ok"),
            (0, ..) => format!("{passed}/{}", passed + skipped),
            _ => format!("{failed} FAIL"),
        }
    }

    fn cell(self) -> Cell {
        let colour = match self {
            Self { failed: 1.., .. } => Colour::Red,
            Self { passed: 1.., .. } => Colour::Green,
            _ => Colour::Grey,
        };
        colour.cell(&self.text())
    }
}

/// The table, scenarios and backends in the order of the report.
pub(super) fn table(report: &Report, screen: &Screen) -> Table {
    let failed: BTreeSet<&str> = report.failures().map(|result| result.scenario.as_str()).collect();
    let backends: Vec<Backend> = in_order(report.results.iter().map(|result| result.backend));
    let names = backends.iter().map(|backend| backend.name());
    let mut table = screen.table(&std::iter::once("scenario").chain(names).collect::<Vec<_>>());
    // Names and five columns take all of the 80 characters.
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 0));
    });
    let mut rows: BTreeMap<String, Vec<&CellResult>> = BTreeMap::new();
    for result in &report.results {
        rows.entry(label(result, &failed)).or_default().push(result);
    }
    for label in in_order(report.results.iter().map(|result| label(result, &failed))) {
        let results = &rows[&label];
        let cells = backends.iter().map(|backend| {
            let on_it = results.iter().copied().filter(|result| result.backend == *backend);
            Tally::of(on_it).cell()
        });
        table.add_row(std::iter::once(Cell::new(&label)).chain(cells));
    }
    table
}

/// The row of a result: variants of one scenario share a row, as `name@*`, unless they failed; results from QEMU have
/// their own rows.
fn label(result: &CellResult, failed: &BTreeSet<&str>) -> String {
    let scenario = result.scenario.as_str();
    match (result.world, scenario.split_once('@')) {
        (World::Qemu, _) => format!("qemu {scenario}"),
        (World::Host, Some((name, _))) if !failed.contains(scenario) => format!("{name}@*"),
        (World::Host, _) => scenario.to_owned(),
    }
}

/// Each of `items` once, in the order of first occurrence.
fn in_order<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use sparsemem_any::Backend;
    use sparsemem_conformance::Filter;
    use sparsemem_replay::Recording;
    use sparsemem_report::{CellResult, Report, World};

    use super::super::sample::{failed, not_applicable, on, passed, skipped};
    use super::{Tally, table};
    use sparsemem_terminal::Screen;

    #[test]
    fn tallies_say_the_worst() {
        let tally = |passed, failed, skipped| Tally { passed, failed, skipped }.text();
        assert_eq!(tally(85, 0, 0), "85 ok");
        assert_eq!(tally(82, 3, 1), "3 FAIL");
        assert_eq!(tally(0, 0, 12), "0/12");
        assert_eq!(tally(380, 0, 120), "380/500");
        assert_eq!(tally(0, 0, 0), "-");
    }

    #[test]
    fn a_row_per_scenario_and_a_column_per_backend() {
        let [one, other, ..] = Backend::ALL;
        let report = Report::new(vec![
            on(one, passed("boot/words", "a")),
            on(other, passed("boot/words", "a")),
            on(one, not_applicable("memmap/leaves", "a", "no mappings")),
            on(other, failed("memmap/leaves", "a", "why")),
        ]);
        let text = table(&report, &Screen::plain(80)).trim_fmt();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(rows.contains(&vec!["scenario", one.name(), other.name()]), "{text}");
        assert!(rows.contains(&vec!["boot/words", "1", "ok", "1", "ok"]), "{text}");
        assert!(rows.contains(&vec!["memmap/leaves", "-", "1", "FAIL"]), "{text}");
    }

    /// Every scenario, on machines of which some are too large, and every variant, failed once.
    fn everything() -> Report {
        let of_host = sparsemem_conformance::catalogue().into_iter().map(|it| it.name);
        let recordings = sparsemem_conformance::recordings(&Filter::default()).unwrap();
        let of_host: Vec<String> = of_host.chain(recordings.iter().map(Recording::scenario)).collect();
        let mut results = Vec::new();
        for (name, backend) in of_host.iter().flat_map(|name| Backend::ALL.map(|backend| (name, backend))) {
            results.extend((0..380).map(|_| on(backend, passed(name, "a"))));
            results.extend((0..120).map(|_| on(backend, skipped(name, "b", "too large"))));
            results.extend(name.contains('@').then(|| on(backend, failed(name, "c", "why"))));
        }
        #[cfg(feature = "qemu")]
        results.extend(
            sparsemem_qemu::qemu_catalogue()
                .into_iter()
                .map(|it| CellResult { world: World::Qemu, ..passed(&it.name, "q") }),
        );
        Report::new(results)
    }

    #[test]
    fn everything_fits_80_columns_in_a_line_per_scenario() {
        let report = everything();
        let text = table(&report, &Screen::plain(80)).trim_fmt();
        let names: std::collections::BTreeSet<_> =
            report.results.iter().map(|it| (&it.scenario, it.world)).collect();
        // Below the header, in which the backends' names may take several lines.
        let rows = text.lines().skip_while(|line| !line.starts_with('─')).skip(1);
        assert_eq!(rows.count(), names.len(), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn kernels_have_rows_of_their_own() {
        let in_qemu = CellResult { world: World::Qemu, ..passed("boot/words", "q") };
        let text =
            table(&Report::new(vec![passed("boot/words", "a"), in_qemu]), &Screen::plain(80)).trim_fmt();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[2..4], [vec!["boot/words", "1", "ok"], vec!["qemu", "boot/words", "1", "ok"]]);
    }

    #[test]
    fn variants_share_a_row_unless_they_fail() {
        let report = Report::new(vec![
            passed("boot/words", "a"),
            passed("boot/words@56-byte", "a"),
            passed("boot/words@16-byte", "a"),
            failed("boot/words@5-level", "a", "why"),
        ]);
        let text = table(&report, &Screen::plain(80)).trim_fmt();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[2], ["boot/words", "1", "ok"]);
        assert_eq!(rows[3], ["boot/words@*", "2", "ok"]);
        assert_eq!(rows[4], ["boot/words@5-level", "1", "FAIL"]);
    }
}
