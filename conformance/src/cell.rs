//! Cells: scenario x backend x machine, and the filter that picks them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Backend, GeometryName, MachineError, MachineFile, catalogue, glob};

/// What to run. Everything by default.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Backends; all of them if empty.
    pub backends: Vec<Backend>,
    /// Machine files, as paths or as names in the folders; all of the folders if empty.
    pub machines: Vec<PathBuf>,
    /// Scenario names with `*` and `?`; all of them if empty.
    pub scenarios: Vec<String>,
    /// The geometry to boot machines with, instead of the one their names stand for.
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

/// Why there are no cells to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// A machine cannot be used.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A pattern that no scenario's name matches.
    #[error("no scenario is named `{pattern}`; `--list` shows them all")]
    NoSuchScenario {
        /// The pattern.
        pattern: String,
    },
}

/// The cells that a filter picks: by machine, then scenario, then backend.
///
/// # Errors
///
/// [`FilterError`], naming the machine file or the pattern.
pub fn cells(filter: &Filter) -> Result<Vec<Cell>, FilterError> {
    let names = scenarios(&filter.scenarios)?;
    let backends = if filter.backends.is_empty() { &Backend::ALL[..] } else { &filter.backends };
    let mut cells = Vec::new();
    for machine in machines(filter)? {
        for scenario in &names {
            cells.extend(backends.iter().map(|backend| Cell {
                scenario: scenario.clone(),
                backend: *backend,
                machine: Arc::clone(&machine),
            }));
        }
    }
    Ok(cells)
}

/// The machines that a filter picks.
///
/// # Errors
///
/// [`MachineError`], naming the file.
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

/// The scenarios that match one of the patterns.
fn scenarios(patterns: &[String]) -> Result<Vec<String>, FilterError> {
    let all: Vec<String> = catalogue().into_iter().map(|entry| entry.name).collect();
    let unmatched = patterns.iter().find(|pattern| !all.iter().any(|name| glob::matches(pattern, name)));
    if let Some(pattern) = unmatched {
        return Err(FilterError::NoSuchScenario { pattern: pattern.clone() });
    }
    let wanted = |name: &String| patterns.is_empty() || patterns.iter().any(|p| glob::matches(p, name));
    Ok(all.into_iter().filter(wanted).collect())
}
