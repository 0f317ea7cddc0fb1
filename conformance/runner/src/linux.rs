//! Recordings of Linux, on the backends: those of the folder `conformance/linux`, and their cells.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sparsemem_any::Backend;
use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{PagingDepth, SectionShape, VirtAddr};
use sparsemem_harness::window;
use sparsemem_log_reader::{Mode, parse_bytes};
use sparsemem_machine::Processor;
use sparsemem_machine_files::{GeometryName, MachineFile, found};
use sparsemem_replay::{
    Recording, RecordingError, Replay, ReplayError, Replayed, Rule, Unlike, replay_registered,
};
use sparsemem_report::{Outcome, Verdict};
use sparsemem_suite::{ArrayFacts, Capabilities};

use crate::subjects::{capabilities, fresh};

/// The folder with the recordings that the default run uses.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../linux")
}

/// All recordings of the folder, by name.
///
/// # Errors
///
/// [`RecordingError`] of the first recording that is not valid.
pub fn all() -> Result<Vec<Recording>, RecordingError> {
    let folder = folder();
    let files = std::fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let mut paths = files.map_err(|source| RecordingError::Unreadable { path: folder, source })?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The recording at a path, or with a name in the folder, with or without file extension.
///
/// # Errors
///
/// [`RecordingError`], naming the file and the place in it.
pub fn open(path: &Path) -> Result<Recording, RecordingError> {
    read(&found(path, &[folder()], &["json"]))
}

/// The recording in a text, with the text of a list of differences; errors call it `name`.
///
/// # Errors
///
/// [`RecordingError`], naming the place.
pub fn parse(name: &str, json: &str, expectations: &str) -> Result<Recording, RecordingError> {
    of_backends(Recording::parse(name, json, expectations)?)
}

/// Reads a file. Those of the folder are called by the file's name, and others as they were given.
fn read(path: &Path) -> Result<Recording, RecordingError> {
    let is_known = path.parent() == Some(&folder());
    let name = path.file_name().filter(|_| is_known).unwrap_or(path.as_os_str());
    of_backends(Recording::read(path, &name.to_string_lossy())?)
}

/// Refuses a list of differences that names a model which is no backend.
fn of_backends(recording: Recording) -> Result<Recording, RecordingError> {
    let unknown = recording.models().find_map(|name| name.parse::<Backend>().err());
    match unknown {
        None => Ok(recording),
        Some(error) => Err(RecordingError::Nonsense {
            file: "expectations.toml".to_owned(),
            place: recording.name().to_owned(),
            what: error.to_string(),
        }),
    }
}

/// The machine in the cells of a recording.
///
/// # Errors
///
/// [`RecordingError::Nonsense`] if no machine can have its memory.
pub fn machine(recording: &Recording) -> Result<MachineFile, RecordingError> {
    let listing: String = recording
        .memory()
        .iter()
        .map(|(range, _)| {
            format!("{:08x}-{:08x} : System RAM\n", range.start().get(), range.end().get().saturating_sub(1))
        })
        .collect();
    let parsed = parse_bytes(listing.as_bytes(), Mode::Lenient);
    let nonsense = |what: String| RecordingError::Nonsense {
        file: recording.name().to_owned(),
        place: "memblock_memory".to_owned(),
        what,
    };
    Ok(MachineFile {
        name: recording.name().to_owned(),
        path: recording.path().to_owned(),
        geometry: match recording.depth() {
            PagingDepth::Five => GeometryName::X86_64La57,
            _ => GeometryName::X86_64,
        },
        layout: parsed.map_err(|error| nonsense(error.to_string()))?.layout,
        memory: recording.memory().to_vec(),
        warnings: Vec::new(),
        contradictions: Vec::new(),
        agreements: Vec::new(),
    })
}

/// Replays a recording on a backend.
///
/// # Errors
///
/// [`ReplayError`] with all unexplained differences.
pub fn replay_on(recording: &Recording, backend: Backend) -> Result<Replay, ReplayError> {
    macro_rules! with_geometry {
        ($geometry:ty) => {
            replay_registered(recording, |machine| {
                type G = $geometry;
                let model = fresh::<G, { G::NR_SECTIONS_LEN }, { G::NR_ROOTS_LEN }>(backend, machine);
                let array = backend.has_array().then(|| window(machine));
                (model, capabilities(backend, array, Processor::X86_64))
            })
        };
    }
    match recording.depth() {
        PagingDepth::Five => with_geometry!(X86_64La57),
        _ => with_geometry!(X86_64),
    }
}

/// The same on a backend that recordings apply to.
///
/// # Errors
///
/// [`ReplayError`] with all unexplained differences.
///
/// # Panics
///
/// If the recording does not apply.
pub fn replay(recording: &Recording, backend: Backend) -> Result<Replayed, ReplayError> {
    replay_on(recording, backend).map(|ended| match ended {
        Replay::Done(replayed) => replayed,
        Replay::NotApplicable(why) => panic!("{backend}: {why}"),
    })
}

/// The backends that a recording can be replayed on: those that keep what Linux keeps for each section.
pub fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_sparse())
}

/// True if a rule can apply to a backend.
#[must_use]
pub fn is_about(rule: Rule, backend: Backend) -> bool {
    let somewhere = ArrayFacts { start: VirtAddr::new(0), len_bytes: 0 };
    let can: Capabilities =
        capabilities(backend, backend.has_array().then_some(somewhere), Processor::X86_64);
    rule.is_about(&can)
}

/// The verdict on a backend that a recording does not apply to.
fn not_applicable(why: Unlike) -> Verdict {
    (Outcome::NotApplicable, why.to_string())
}

/// Replays the recording whose file the machine of a cell names. If it passes, the rules that it needed are beside the
/// verdict.
pub(crate) fn replay_cell(machine: &MachineFile, backend: Backend) -> (Verdict, Vec<Rule>) {
    let replayed = match open(&machine.path) {
        Ok(recording) => replay_on(&recording, backend),
        Err(error) => return ((Outcome::Failed, error.to_string()), Vec::new()),
    };
    match replayed {
        Ok(Replay::Done(done)) => ((Outcome::Passed, String::new()), done.by_rule.into_keys().collect()),
        Ok(Replay::NotApplicable(why)) => (not_applicable(why), Vec::new()),
        Err(error) => ((Outcome::Failed, error.to_string()), Vec::new()),
    }
}

/// The rules about a backend that explain nothing in some recordings. Recordings whose replay fails do not count.
#[must_use]
pub fn idle_rules(recordings: &[Recording], backend: Backend) -> Vec<Rule> {
    let replayed = recordings.iter().filter_map(|recording| replay(recording, backend).ok());
    let met: BTreeSet<Rule> = replayed.flat_map(|replayed| replayed.by_rule.into_keys()).collect();
    Rule::ALL.into_iter().filter(|rule| is_about(*rule, backend) && !met.contains(rule)).collect()
}

/// Fails on a rule that explains nothing in any recording of the folder: it is a guess about Linux.
pub(crate) fn rules_cell(_: &MachineFile, backend: Backend) -> Verdict {
    if !backend.is_sparse() {
        return not_applicable(Unlike::Usages);
    }
    let idle = match all() {
        Ok(all) => idle_rules(&all, backend),
        Err(error) => return (Outcome::Failed, error.to_string()),
    };
    if idle.is_empty() {
        return (Outcome::Passed, String::new());
    }
    let names: Vec<_> = idle.into_iter().map(|rule| format!("`{}`", rule.name())).collect();
    let what = format!("{} explains nothing in {}", names.join(" and "), folder().display());
    (Outcome::Failed, format!("the rule {what}; add a recording that shows it, or drop the rule"))
}
