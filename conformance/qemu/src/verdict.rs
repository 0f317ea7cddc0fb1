//! Turns a transcript into results: every cell of a boot gets one.

use super::conversation::Transcript;
use super::stories::{Ending, Story};
use sparsemem_any::Backend;
use sparsemem_report::{Outcome, Verdict};

/// Statuses with which the kernel ends QEMU.
const ALL_WELL: i32 = 33;
const SOME_FAILED: i32 = 35;
const PANICKED: i32 = 37;

/// The number of a kernel's last lines that are shown with a failure.
const SHOWN: usize = 12;

/// Checks that the kernel came up with the right model, reported everything, and ended with the result that it
/// reported.
pub(super) fn of_boot(transcript: &Transcript, backend: Backend) -> Verdict {
    match complaint(transcript, backend) {
        None => (Outcome::Passed, String::new()),
        Some(what) => failed(transcript, &what),
    }
}

/// The outcome of a scenario, or why it did not end.
pub(super) fn of_scenario(transcript: &Transcript, name: &str) -> Verdict {
    match transcript.report(name) {
        Some(report) => (report.outcome, report.detail.clone()),
        None => failed(transcript, &format!("it was not run: {}", before_end(transcript))),
    }
}

/// The outcome of a story.
pub(super) fn of_story(transcript: &Transcript, story: &Story, backend: Backend) -> Verdict {
    match story.ending {
        Ending::Well(check) => match of_scenario(transcript, story.name) {
            (Outcome::Passed, counted) => {
                match complaint(transcript, backend).map_or_else(|| check(transcript), Err) {
                    Ok(()) => (Outcome::Passed, counted),
                    Err(what) => failed(transcript, &what),
                }
            }
            (Outcome::Failed, why) => failed(transcript, &why),
            not_run => not_run,
        },
        Ending::Message(words) => {
            match (of_scenario(transcript, story.name), of_message(transcript, words)) {
                (not_applicable @ (Outcome::NotApplicable, _), _) => not_applicable,
                (_, Ok(())) => (Outcome::Passed, String::new()),
                (_, Err(what)) => failed(transcript, &what),
            }
        }
        Ending::Caught(words) => match caught(transcript, story.name, words) {
            Ok(verdict) => verdict,
            Err(what) => failed(transcript, &what),
        },
    }
}

/// Checks that a kernel that is broken on purpose has noticed it, in words that name what is broken; the result has them.
/// A story that was not told keeps its outcome.
fn caught(transcript: &Transcript, name: &str, words: &[&str]) -> Result<Verdict, String> {
    let said = match (transcript.report(name), &transcript.panic) {
        (Some(report), _) if report.outcome == Outcome::Failed => &report.detail,
        (Some(report), _) if report.outcome == Outcome::Passed => {
            return Err(format!("the kernel is broken on purpose, and has not noticed: {}", report.detail));
        }
        (Some(report), _) => return Ok((report.outcome, report.detail.clone())),
        (None, Some(message)) if transcript.status == Some(PANICKED) => message,
        (None, _) => return Err(before_end(transcript)),
    };
    if words.iter().any(|word| said.contains(word)) {
        Ok((Outcome::Passed, format!("noticed: {said}")))
    } else {
        Err(format!("the kernel is broken on purpose, and noticed something else: {said}"))
    }
}

/// Checks that the kernel panicked with a message that contains all of these words.
fn of_message(transcript: &Transcript, words: &[&str]) -> Result<(), String> {
    let Some(message) = &transcript.panic else {
        return Err(format!("the kernel was expected to panic, and did not: {}", before_end(transcript)));
    };
    if let Some(missing) = words.iter().find(|word| !message.contains(**word)) {
        return Err(format!("its message does not contain {missing}: {message}"));
    }
    if transcript.status != Some(PANICKED) {
        return Err(format!("QEMU ended with {}, not {PANICKED}", status(transcript)));
    }
    Ok(())
}

/// The error in the conversation as a whole, if there is one.
fn complaint(transcript: &Transcript, backend: Backend) -> Option<String> {
    match &transcript.backend {
        Some(said) if said == backend.name() => {}
        Some(said) => return Some(format!("the image of {backend} reports that it is {said}")),
        None => return Some(format!("the kernel did not come up: {}", before_end(transcript))),
    }
    let Some(failed) = transcript.failed else { return Some(before_end(transcript)) };
    let counted = transcript.cells.iter().filter(|report| report.outcome == Outcome::Failed).count();
    if failed != counted as u64 {
        return Some(format!("it reported {counted} failures, and counted {failed}"));
    }
    let expected = if failed == 0 { ALL_WELL } else { SOME_FAILED };
    (transcript.status != Some(expected))
        .then(|| format!("QEMU ended with {}, not {expected}", status(transcript)))
}

/// The reason why there are no more results.
fn before_end(transcript: &Transcript) -> String {
    match (&transcript.broken, &transcript.panic) {
        (Some(broken), _) => broken.clone(),
        (None, Some(message)) => format!("the kernel panicked: {message}"),
        (None, None) if transcript.failed.is_some() => "the kernel ended without running it".to_owned(),
        (None, None) => format!("QEMU ended early, with {}", status(transcript)),
    }
}

fn status(transcript: &Transcript) -> String {
    transcript.status.map_or_else(|| "no status".to_owned(), |status| format!("status {status}"))
}

/// A failure, with the last lines of the kernel.
fn failed(transcript: &Transcript, what: &str) -> Verdict {
    let lines = &transcript.lines;
    let last = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default();
    let mut detail = what.to_owned();
    if !last.is_empty() {
        detail.push_str("\nthe last lines of the kernel:");
    }
    for line in last {
        detail.push_str("\n  ");
        detail.push_str(line);
    }
    (Outcome::Failed, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::conversation::{CellReport, Transcript};
    use super::super::machine::x86_64;
    use super::super::stories::{Ending, Story};
    use super::{of_boot, of_scenario, of_story};
    use sparsemem_any::Backend;
    use sparsemem_report::Outcome;

    const BACKEND: Backend = Backend::ALL[0];

    fn story(ending: Ending) -> Story {
        Story { name: "a/b", about: "", machines: &[&x86_64::DIMMS], ending }
    }

    /// The transcript of a kernel that ran one cell and passed.
    fn well() -> Transcript {
        let (outcome, took) = (Outcome::Passed, Duration::ZERO);
        let (scenario, detail) = ("a/b".to_owned(), String::new());
        let report = CellReport { scenario, outcome, detail, failure_points: 0, took };
        let backend = Some(BACKEND.name().to_owned());
        Transcript {
            backend,
            cells: vec![report],
            failed: Some(0),
            status: Some(33),
            ..Transcript::default()
        }
    }

    #[test]
    fn a_kernel_that_ends_well_passes() {
        assert_eq!(of_boot(&well(), BACKEND), (Outcome::Passed, String::new()));
        assert_eq!(of_scenario(&well(), "a/b").0, Outcome::Passed);
        assert_eq!(of_story(&well(), &story(Ending::Well(|_| Ok(()))), BACKEND).0, Outcome::Passed);
    }

    #[test]
    fn the_host_has_the_last_word() {
        let verdict = of_story(&well(), &story(Ending::Well(|_| Err("nothing went".to_owned()))), BACKEND);
        assert_eq!(verdict, (Outcome::Failed, "nothing went".to_owned()));
    }

    #[test]
    fn every_lie_of_the_kernel_is_seen() {
        let named = |name: &str| Some(name.to_owned());
        let lies = [
            ("reports that it is another", Transcript { backend: named("another"), ..well() }),
            ("did not come up", Transcript { backend: None, ..well() }),
            ("counted 3", Transcript { failed: Some(3), ..well() }),
            ("status 35, not 33", Transcript { status: Some(35), ..well() }),
            ("ended early, with status 1", Transcript { failed: None, status: Some(1), ..well() }),
        ];
        for (expected, transcript) in lies {
            let (outcome, detail) = of_boot(&transcript, BACKEND);
            assert_eq!(outcome, Outcome::Failed, "{expected}");
            assert!(detail.contains(expected), "{detail}");
        }
    }

    #[test]
    fn what_was_not_run_failed_and_says_why() {
        let broken = Some("it sent nothing for 45 s".to_owned());
        let lines = (0..20).map(|nr| format!("line {nr}")).collect();
        let silent = Transcript { broken, lines, ..Transcript::default() };
        let (outcome, detail) = of_scenario(&silent, "a/b");
        assert_eq!(outcome, Outcome::Failed);
        assert!(detail.starts_with("it was not run: it sent nothing for 45 s\n"), "{detail}");
        assert!(detail.ends_with("line 19") && !detail.contains("line 7\n"), "{detail}");
    }

    #[test]
    fn a_broken_kernel_has_to_notice_what_is_broken() {
        let story = story(Ending::Caught(&["stale"]));
        let ended = |transcript: &Transcript| of_story(transcript, &story, BACKEND);
        let cell = |outcome, detail: &str| {
            let mut transcript = well();
            transcript.cells[0] =
                CellReport { outcome, detail: detail.to_owned(), ..transcript.cells[0].clone() };
            transcript
        };
        let panics = |message: &str, status| Transcript {
            panic: Some(message.to_owned()),
            status: Some(status),
            cells: Vec::new(),
            ..well()
        };
        let (noticed, what) = ended(&cell(Outcome::Failed, "stale: frame 1"));
        assert_eq!((noticed, what.as_str()), (Outcome::Passed, "noticed: stale: frame 1"));
        assert_eq!(ended(&cell(Outcome::Failed, "something else")).0, Outcome::Failed);
        assert_eq!(ended(&cell(Outcome::Passed, "")).0, Outcome::Failed);
        assert_eq!(ended(&cell(Outcome::Skipped, "one processor")).0, Outcome::Skipped);
        assert_eq!(ended(&panics("a stale load", 37)).0, Outcome::Passed);
        assert_eq!(ended(&panics("a stale load", 33)).0, Outcome::Failed);
        assert_eq!(ended(&Transcript { cells: Vec::new(), ..well() }).0, Outcome::Failed);
    }

    #[test]
    fn a_message_has_to_say_what_it_is_about() {
        let ending = Ending::Message(&["SRAT"]);
        let said = |message: &str, status| {
            let panic = Some(message.to_owned());
            let transcript = Transcript { panic, status: Some(status), ..Transcript::default() };
            of_story(&transcript, &story(ending), BACKEND).0
        };
        assert_eq!(said("the SRAT is broken", 37), Outcome::Passed);
        assert_eq!(said("something is broken", 37), Outcome::Failed);
        assert_eq!(said("the SRAT is broken", 33), Outcome::Failed);
        assert_eq!(of_story(&well(), &story(ending), BACKEND).0, Outcome::Failed);
    }
}
