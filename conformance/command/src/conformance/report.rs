//! The report as text: matrix, skipped cells, intended differences, failures, totals.

use std::collections::BTreeSet;
use std::time::Duration;

use sparsemem_report::Report;

use super::failures::{self, Rerun};
use super::{matrix, rules, skips};
use sparsemem_terminal::{Colour, Screen, units::counted};

/// The whole report. The most important part comes last, where a terminal shows it.
pub(super) fn render(report: &Report, rerun: Rerun, took: Duration, screen: &Screen) -> String {
    let matrix = matrix::table(report, screen);
    let parts =
        [skips::text(report, screen), rules::text(report, screen), failures::text(report, rerun, screen)];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    let parts: String = parts.map(|part| format!("{}\n\n", part.trim_end())).collect();
    format!("{matrix}\n\n{parts}{}\n", totals(report, took, screen))
}

fn totals(report: &Report, took: Duration, screen: &Screen) -> String {
    let summary = &report.summary;
    let failed = match summary.failed {
        0 => screen.paint("none failed", Colour::Green),
        count => screen.paint(&format!("{count} FAILED"), Colour::Red),
    };
    let machines: BTreeSet<&str> = report.results.iter().map(|result| result.machine.as_str()).collect();
    let points = match summary.failure_points {
        0 => String::new(),
        count => format!(
            "\n{} tried, one by one.",
            counted(usize::try_from(count).unwrap_or(usize::MAX), "failure")
        ),
    };
    let cells = summary.passed + summary.failed + summary.skipped;
    format!(
        "{} on {} in {:.1} s: {failed}, {} passed, {} skipped.{points}",
        counted(cells, "cell"),
        counted(machines.len(), "machine"),
        took.as_secs_f64(),
        summary.passed,
        summary.skipped,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sparsemem_report::{Report, Summary};

    use super::super::failures::Rerun;
    use super::super::sample::{failed, not_applicable, passed, skipped};
    use super::render;
    use sparsemem_terminal::Screen;

    fn text(report: &Report) -> String {
        render(report, Rerun::default(), Duration::from_millis(1250), &Screen::plain(80))
    }

    #[test]
    fn totals_stand_last() {
        let report = Report::new(vec![
            passed("a", "m"),
            skipped("b", "m", "why"),
            passed("a", "n"),
            not_applicable("c", "m", "no"),
        ]);
        assert!(
            text(&report).ends_with("\n3 cells on 2 machines in 1.2 s: none failed, 2 passed, 1 skipped.\n")
        );
    }

    #[test]
    fn totals_of_all_there_is_fit_80_columns() {
        let results = (0..78).map(|nr| passed("a", &nr.to_string())).collect();
        let summary = Summary {
            passed: 11_799,
            failed: 0,
            skipped: 2345,
            not_applicable: 9517,
            failure_points: 1 << 20,
        };
        let said = render(
            &Report { summary, ..Report::new(results) },
            Rerun::default(),
            Duration::from_secs(1234),
            &Screen::plain(80),
        );
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
        assert!(said.ends_with("\n1048576 failures tried, one by one.\n"), "{said}");
    }

    #[test]
    fn failures_are_counted_aloud() {
        let report = Report::new(vec![failed("a", "m", "why")]);
        let said = text(&report);
        assert!(said.ends_with("\n1 cell on 1 machine in 1.2 s: 1 FAILED, 0 passed, 0 skipped.\n"), "{said}");
        assert!(!said.contains("Skipped, by reason"));
        assert!(!said.contains("\n\n\n"));
    }
}
