//! `--exhaustive`: walks every reachable state of tiny machines instead of running scenarios on real ones.
//!
//! The crate `sparsemem-exhaustive` does the walks; this module distributes backends over threads, and shows counts.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;
use sparsemem_exhaustive::{Backend, Discrepancy, Progress, Report, Size, walk};
use sparsemem_report::Outcome;

use super::{Args, Walk};
use sparsemem_terminal::{Colour, Failure, Format, Screen, Status, say, say_json, units::counted};

/// Time between two lines of progress.
const PAUSE: Duration = Duration::from_secs(10);

/// The result of one backend.
#[derive(Serialize)]
struct Walked {
    backend: &'static str,
    outcome: Outcome,
    boot_layouts: u64,
    states: u64,
    transitions: u64,
    refused: u64,
    seconds: f64,
    detail: String,
}

/// Walks the selected backends and prints the report.
pub(super) fn run(args: &Args, size: Walk) -> Result<Status, Failure> {
    let backends = if args.backends.is_empty() { Backend::ALL.to_vec() } else { args.backends.clone() };
    let size = match size {
        Walk::Small => Size::Small,
        Walk::Full => Size::Full,
    };
    let walked = walk_all(&backends, size, super::threads(args, backends.len()));
    match args.format {
        Format::Text => say(&text(&walked, &Screen::of_stdout()))?,
        Format::Json => say_json(&walked)?,
    }
    Ok(if walked.iter().any(|one| one.outcome == Outcome::Failed) { Status::Failed } else { Status::Passed })
}

/// Walks backends, several at a time; the results are in the order of the backends.
fn walk_all(backends: &[Backend], size: Size, threads: usize) -> Vec<Walked> {
    let waiting = Mutex::new(backends.iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut waiting| waiting.next());
                    let Some((nr, backend)) = next else { break };
                    let walked = walk_one(*backend, size);
                    if let Ok(mut done) = done.lock() {
                        done.push((nr, walked));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(nr, _)| *nr);
    done.into_iter().map(|(_, walked)| walked).collect()
}

/// Walks one backend and prints its progress from time to time.
fn walk_one(backend: Backend, size: Size) -> Walked {
    let mut said = Instant::now();
    let mut report = |progress: &Progress| {
        if said.elapsed() >= PAUSE {
            said = Instant::now();
            eprintln!("{}", line(progress));
        }
    };
    match walk(&backend, size, &mut report) {
        Ok(report) => passed(backend, &report),
        Err(discrepancy) => failed(&discrepancy),
    }
}

/// The progress of a walk, as a line.
fn line(progress: &Progress) -> String {
    let Progress { model, part, part_nr, nr_parts, states, transitions } = progress;
    format!(
        "{model}: {part} ({part_nr} of {nr_parts}), {transitions} transitions from {states} states so far"
    )
}

fn passed(backend: Backend, report: &Report) -> Walked {
    let Report { boot_layouts, states, transitions, refused, seconds } = *report;
    let (backend, detail) = (backend.name(), String::new());
    Walked { backend, outcome: Outcome::Passed, boot_layouts, states, transitions, refused, seconds, detail }
}

fn failed(discrepancy: &Discrepancy) -> Walked {
    Walked {
        backend: discrepancy.model,
        outcome: Outcome::Failed,
        boot_layouts: 0,
        states: 0,
        transitions: 0,
        refused: 0,
        seconds: 0.0,
        detail: discrepancy.to_string(),
    }
}

/// The report as text: counts, then differences with the operations that lead to them, then totals.
fn text(walked: &[Walked], screen: &Screen) -> String {
    let mut table =
        screen.table(&["backend", "boot layouts", "states", "transitions", "of them refused", "seconds"]);
    for one in walked.iter().filter(|one| one.outcome == Outcome::Passed) {
        let counts =
            [one.boot_layouts, one.states, one.transitions, one.refused].map(|count| count.to_string());
        let [layouts, states, transitions, refused] = counts;
        table.add_row([
            one.backend.to_owned(),
            layouts,
            states,
            transitions,
            refused,
            format!("{:.1}", one.seconds),
        ]);
    }
    let failures: Vec<&Walked> = walked.iter().filter(|one| one.outcome == Outcome::Failed).collect();
    let lines = failures.iter().flat_map(|one| one.detail.lines().chain([""]));
    let differences: String = lines.map(|line| screen.wrap(line, "")).collect();
    let verdict = match failures.len() {
        0 => screen.paint("no difference to the reference", Colour::Green),
        count => screen.paint(&format!("{} to the reference", counted(count, "DIFFERENCE")), Colour::Red),
    };
    let transitions: u64 = walked.iter().map(|one| one.transitions).sum();
    format!("{table}\n\n{differences}{transitions} transitions: {verdict}.\n")
}

#[cfg(test)]
mod tests {
    use sparsemem_exhaustive::{Backend, Discrepancy, Progress, Report};

    use super::{failed, line, passed, text};
    use sparsemem_terminal::Screen;

    #[test]
    fn counts_are_added_up() {
        let report = Report { boot_layouts: 96, states: 5, transitions: 1000, refused: 900, seconds: 1.25 };
        let said =
            text(&[passed(Backend::ALL[1], &report), passed(Backend::ALL[0], &report)], &Screen::plain(80));
        assert!(said.ends_with("\n2000 transitions: no difference to the reference.\n"), "{said}");
    }

    #[test]
    fn a_full_walk_fits_80_columns_in_a_line_per_backend() {
        let (states, transitions) = (12_345_678, 123_456_789);
        let report =
            Report { boot_layouts: 1024, states, transitions, refused: transitions, seconds: 3600.0 };
        let said = text(&Backend::ALL.map(|backend| passed(backend, &report)), &Screen::plain(80));
        assert_eq!(said.lines().count(), 2 + Backend::ALL.len() + 2, "{said}");
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    }

    #[test]
    fn a_difference_is_shown_with_the_way_to_it() {
        let discrepancy = Discrepancy {
            model: Backend::ALL[0].name(),
            part: "quad by ranges",
            boot: "boot from 0b1010".to_owned(),
            operations: vec!["add memory".to_owned(), "online".to_owned()],
            expected: "Ok".to_owned(),
            found: "Err".to_owned(),
        };
        let said = text(&[failed(&discrepancy)], &Screen::plain(100));
        assert!(
            said.contains(&format!("{} on machine quad by ranges", Backend::ALL[0]))
                && said.contains("2. online"),
            "{said}"
        );
        assert!(said.ends_with("1 DIFFERENCE to the reference.\n"), "{said}");
    }

    #[test]
    fn progress_names_backend_and_part() {
        let progress =
            Progress { model: "vmemmap", part: "quad", part_nr: 2, nr_parts: 6, states: 7, transitions: 80 };
        assert_eq!(line(&progress), "vmemmap: quad (2 of 6), 80 transitions from 7 states so far");
    }
}
