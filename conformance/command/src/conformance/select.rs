//! Converts the command line into the cells to run.

use std::collections::BTreeMap;

use sparsemem_any::Backend;
use sparsemem_conformance::{Cell, Filter, FilterError, catalogue};
use sparsemem_replay::RecordingError;

use super::Args;
use sparsemem_terminal::Failure;

/// The filter of the arguments.
pub(super) fn filter(args: &Args) -> Filter {
    let wanted = |backend: &Backend| args.backends.contains(backend);
    let (mut machines, mut recordings) = (args.machines.clone(), args.recordings.clone());
    machines.dedup();
    recordings.dedup();
    Filter {
        backends: Backend::ALL.into_iter().filter(wanted).collect(),
        machines,
        recordings,
        scenarios: args.scenarios.clone(),
        geometry: args.geometry,
    }
}

/// The cells that the arguments select: at least one.
pub(super) fn cells(args: &Args) -> Result<Vec<Cell>, Failure> {
    let cells = sparsemem_conformance::cells(&filter(args)).map_err(|error| explained(&error))?;
    if cells.is_empty() {
        return Err(Failure::Broken(
            "no scenario or no machine is selected, so there is nothing to run".to_owned(),
        ));
    }
    Ok(cells)
}

/// A failure that names the invalid value and lists the valid ones.
fn explained(error: &FilterError) -> Failure {
    match error {
        FilterError::Machine(error) => Failure::Usage(error.advice()),
        FilterError::Recording(error) => unusable(error),
        FilterError::NoSuchScenario { pattern } => {
            let names: Vec<String> = catalogue().into_iter().map(|scenario| scenario.name).collect();
            Failure::Usage(no_such_scenario(pattern, &names))
        }
        _ => Failure::Usage(error.to_string()),
    }
}

/// The failure for a recording that cannot be used, with advice.
pub(super) fn unusable(error: &RecordingError) -> Failure {
    Failure::Usage(match error {
        RecordingError::Unreadable { .. } => {
            format!(
                "{error}\ngive a path, or a name that `cargo xtask conformance --list` shows under recordings"
            )
        }
        _ => error.to_string(),
    })
}

pub(super) fn no_such_scenario(pattern: &str, names: &[String]) -> String {
    format!("no scenario matches `{pattern}`; there are:\n  {}", names.join("\n  "))
}

/// Warnings about lines that were ignored when the machines were read.
pub(super) fn warnings(cells: &[Cell]) -> String {
    let machines: BTreeMap<_, _> = cells.iter().map(|cell| (&cell.machine.name, &cell.machine)).collect();
    machines.values().map(|machine| machine.remarks()).collect()
}

#[cfg(test)]
mod tests {
    use sparsemem_any::Backend;

    use super::super::Args;
    use super::{cells, filter, no_such_scenario};
    use sparsemem_terminal::Failure;

    #[test]
    fn backends_are_taken_once_and_in_order() {
        let backends = vec![Backend::ALL[2], Backend::ALL[0], Backend::ALL[2]];
        let filter = filter(&Args { backends, ..Args::default() });
        assert_eq!(filter.backends, [Backend::ALL[0], Backend::ALL[2]]);
    }

    #[test]
    fn a_pattern_without_scenario_is_named() {
        let scenarios = vec!["no-such/*".to_owned()];
        let error = cells(&Args { scenarios, ..Args::default() }).unwrap_err();
        assert!(matches!(error, Failure::Usage(text) if text.contains("`no-such/*`")));
        let said = no_such_scenario("x", &["a/b".to_owned(), "a/c".to_owned()]);
        assert_eq!(said, "no scenario matches `x`; there are:\n  a/b\n  a/c");
    }

    #[test]
    fn a_recording_that_is_not_there_is_named() {
        let recordings = vec!["no-such.json".into()];
        let error = cells(&Args { recordings, ..Args::default() }).unwrap_err();
        assert!(
            matches!(error, Failure::Usage(text) if text.contains("no-such.json") && text.contains("--list"))
        );
    }

    #[test]
    fn recordings_are_taken_alone_and_on_every_backend() {
        let recordings = vec!["dimm-1g.json".into(), "dimm-1g.json".into()];
        let cells = cells(&Args { recordings, ..Args::default() }).unwrap();
        assert_eq!(cells.len(), Backend::ALL.len());
        assert!(cells.iter().all(|cell| cell.scenario == "linux/dimm-1g"));
    }

    #[test]
    fn a_machine_that_is_not_there_is_named() {
        let machines = vec!["no-such.dmesg".into()];
        let error = cells(&Args { machines, ..Args::default() }).unwrap_err();
        assert!(matches!(error, Failure::Usage(text) if text.contains("no-such.dmesg")));
    }
}
