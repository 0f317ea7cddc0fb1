//! Cells, that is, combinations of scenario, backend and machine, and the filter that selects them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::catalogue;
use crate::linux;
use crate::subjects::fits;
use sparsemem_any::Backend;
use sparsemem_machine_files::{GeometryName, MachineError, MachineFile, TooLarge};
use sparsemem_replay::{RULES, Recording, RecordingError};
use sparsemem_report::scenario_matches;

/// Selects the cells to run: all by default.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Backends; all if empty.
    pub backends: Vec<Backend>,
    /// Machine files, as paths or as names in the folders. If empty, all machines of the folders, and all recordings.
    pub machines: Vec<PathBuf>,
    /// Recordings, as paths or as names in their folder. If not empty, only these recordings are run.
    pub recordings: Vec<PathBuf>,
    /// Scenario names with `*` and `?`; all if empty.
    pub scenarios: Vec<String>,
    /// The geometry to boot machines with, instead of the one that their names stand for.
    pub geometry: Option<GeometryName>,
}

/// One scenario on one backend and one machine.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Name of the scenario.
    pub scenario: String,
    /// The backend.
    pub backend: Backend,
    /// The machine.
    pub machine: Arc<MachineFile>,
}

/// The reason why there are no cells to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// A machine cannot be used.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A recording cannot be used.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A machine does not fit the host.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A pattern that no scenario's name matches.
    #[error("no scenario has a name like `{pattern}`; `--list` shows all names")]
    NoSuchScenario {
        /// The pattern.
        pattern: String,
    },
}

/// The cells that a filter selects: by machine, then scenario, then backend; then the recordings.
///
/// # Errors
///
/// [`FilterError`], with the machine file, the recording or the pattern, also if a machine does not fit the host.
pub fn cells(filter: &Filter) -> Result<Vec<Cell>, FilterError> {
    let recordings = recordings(filter)?;
    let names = scenarios(&filter.scenarios, &recordings)?;
    let mut cells = Vec::new();
    for machine in if filter.recordings.is_empty() { machines(filter)? } else { Vec::new() } {
        fits(&machine)?;
        names.iter().for_each(|scenario| cells.extend(on_backends(filter, scenario, &machine)));
    }
    for recording in recordings.iter().filter(|recording| is_wanted(&filter.scenarios, &recording.scenario()))
    {
        cells.extend(on_backends(filter, &recording.scenario(), &Arc::new(linux::machine(recording)?)));
    }
    if let Some(one) = recordings.first()
        && has_all_recordings(filter)
        && is_wanted(&filter.scenarios, RULES)
    {
        // The scenario needs no machine: any will do.
        let machine = MachineFile { name: "all recordings".to_owned(), ..linux::machine(one)? };
        cells.extend(on_backends(filter, RULES, &Arc::new(machine)));
    }
    Ok(cells)
}

/// True if a filter selects all recordings.
const fn has_all_recordings(filter: &Filter) -> bool {
    filter.recordings.is_empty() && filter.machines.is_empty()
}

/// A scenario on a machine, on every backend of a filter.
fn on_backends(filter: &Filter, scenario: &str, machine: &Arc<MachineFile>) -> Vec<Cell> {
    let backends = if filter.backends.is_empty() { &Backend::ALL[..] } else { &filter.backends };
    let cell = |backend: &Backend| Cell {
        scenario: scenario.to_owned(),
        backend: *backend,
        machine: Arc::clone(machine),
    };
    backends.iter().map(cell).collect()
}

/// The recordings that a filter selects: those that it names, or all of the folder if it names neither recordings nor
/// machines.
///
/// # Errors
///
/// [`RecordingError`], with the file and the place in it.
pub fn recordings(filter: &Filter) -> Result<Vec<Recording>, RecordingError> {
    if has_all_recordings(filter) {
        return linux::all();
    }
    filter.recordings.iter().map(|path| linux::open(path)).collect()
}

/// The machines that a filter selects.
///
/// # Errors
///
/// [`MachineError`], with the file.
pub fn machines(filter: &Filter) -> Result<Vec<Arc<MachineFile>>, MachineError> {
    let found = if filter.machines.is_empty() {
        MachineFile::all()?
    } else {
        let open = |path: &PathBuf| MachineFile::open(path, filter.geometry);
        filter.machines.iter().map(open).collect::<Result<_, _>>()?
    };
    let override_geometry = |mut machine: MachineFile| {
        machine.geometry = filter.geometry.unwrap_or(machine.geometry);
        Arc::new(machine)
    };
    Ok(found.into_iter().map(override_geometry).collect())
}

/// The scenarios that match one of the patterns. Each pattern must match a scenario or a recording.
fn scenarios(patterns: &[String], recordings: &[Recording]) -> Result<Vec<String>, FilterError> {
    let all: Vec<String> = catalogue().into_iter().map(|entry| entry.name).collect();
    let about_all = (!recordings.is_empty()).then(|| RULES.to_owned());
    let recorded: Vec<String> = recordings.iter().map(Recording::scenario).chain(about_all).collect();
    let is_matched =
        |pattern: &&String| all.iter().chain(&recorded).any(|name| scenario_matches(pattern, name));
    if let Some(pattern) = patterns.iter().find(|pattern| !is_matched(pattern)) {
        return Err(FilterError::NoSuchScenario { pattern: pattern.clone() });
    }
    Ok(all.into_iter().filter(|name| is_wanted(patterns, name)).collect())
}

/// True if one of the patterns matches, or there are no patterns.
fn is_wanted(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| scenario_matches(pattern, name))
}
