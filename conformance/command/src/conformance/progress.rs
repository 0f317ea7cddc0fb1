//! The display of the progress while cells run: a bar on a terminal, and a line from time to time elsewhere.
//!
//! Everything goes to standard error, so that standard output contains only the report.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sparsemem_report::{CellResult, Outcome};

/// The time between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

const TEMPLATE: &str = "{bar:30.green} {pos}/{len} {elapsed} {wide_msg}";

/// The progress of one run.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

struct State {
    total: usize,
    done: usize,
    failed: usize,
    said: Instant,
}

impl Progress {
    /// Progress with `total` cells of which none is done.
    pub(super) fn new(total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(total));
        Self { bar, state: Mutex::new(State { total, done: 0, failed: 0, said: Instant::now() }) }
    }

    /// Shows an action that has no result.
    #[cfg(feature = "qemu")]
    pub(super) fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => eprintln!("{what}"),
        }
    }

    /// Counts one more cell with a result.
    pub(super) fn done(&self, result: &CellResult) {
        let Ok(mut state) = self.state.lock() else { return };
        state.count(result);
        match &self.bar {
            Some(bar) => {
                bar.set_message(state.message(result));
                bar.inc(1);
            }
            None => state.say_now_and_then(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl State {
    fn count(&mut self, result: &CellResult) {
        self.done += 1;
        self.failed += usize::from(result.outcome == Outcome::Failed);
    }

    fn message(&self, result: &CellResult) -> String {
        let failed = if self.failed == 0 { String::new() } else { format!("{} FAILED, ", self.failed) };
        format!("{failed}{} on {}, {}", result.scenario, result.backend, result.machine)
    }

    fn say_now_and_then(&mut self) {
        if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            eprintln!("{}", self.line());
        }
    }

    fn line(&self) -> String {
        format!("{} of {} cells done, {} failed", self.done, self.total, self.failed)
    }
}

fn bar(total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::super::sample::{failed, passed};
    use super::{State, TEMPLATE};
    use std::time::Instant;

    #[test]
    fn lines_count_what_is_done() {
        let mut state = State { total: 3, done: 0, failed: 0, said: Instant::now() };
        state.count(&passed("boot/words", "a.dmesg"));
        assert_eq!(state.line(), "1 of 3 cells done, 0 failed");
        assert_eq!(state.message(&passed("boot/words", "a.dmesg")), "boot/words on vmemmap, a.dmesg");
        state.count(&failed("boot/words", "b.dmesg", "why"));
        assert_eq!(state.line(), "2 of 3 cells done, 1 failed");
        assert!(state.message(&passed("boot/words", "a.dmesg")).starts_with("1 FAILED, "));
    }

    #[test]
    fn the_bar_is_well_formed() {
        assert!(indicatif::ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
