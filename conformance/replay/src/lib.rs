//! Replays recordings of a running Linux kernel on every backend. A recording shows the kernel's section table after
//! each step.
//!
//! A [`Recording`] is a boot and a list of steps: memory is added, switched online and offline, and removed; devices
//! are added, with or without an altmap, and removed. After each step the kernel's own memory was read. [`replay`]
//! takes the same steps through [`Hotplug`](sparsemem_hotplug::Hotplug) and compares: words and subsection maps of
//! all sections, roots, usages, the mappings of a virtual array, the places of descriptors that a device holds
//! itself, RAM and devices of the resource tree, and the tags of boot metadata. A [`Rule`] predicts each kind of
//! difference that is intended; a list in the recordings' folder can name single ones.
//!
//! | file | what it does |
//! |---|---|
//! | `raw`, `lines`, `resources`, `kernel`, `check`, `script` | the JSON, and its conversion into a script |
//! | `geometry`, `environment`, `system`, `altmaps`, `bootmem` | the operations, on a model and its machine |
//! | `recorded`, `look`, `words`, `facts` | the recorded facts, the facts of the model, and their comparison |
//! | `rules` | the differences that are intended, predicted from the operations |
//! | `run`, `replay`, `expectations` | the whole replay, and its verdict |
//!
//! # Invariants
//!
//! 1. Places that the recorded kernel's allocator chose, those of memmaps and usages, are not compared.

#![deny(unsafe_code)]

mod altmaps;
mod bootmem;
mod check;
mod compare;
mod environment;
mod error;
mod expectations;
mod facts;
mod geometry;
mod kernel;
mod lines;
mod look;
mod raw;
mod recorded;
mod replay;
mod resources;
mod rules;
mod run;
mod script;
mod spans;
mod system;
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sparsemem_core::{NodeId, PhysRange};
use sparsemem_log_reader::{Mode, parse_bytes};

pub use error::RecordingError;
pub use replay::{Difference, ReplayError, Replayed, replay};
pub use rules::Rule;

use expectations::{Expectation, Expectations};
use kernel::Levels;
use script::Script;
use sparsemem_any::Backend;
use sparsemem_machine_files::{GeometryName, MachineFile, found};
use sparsemem_report::{Outcome, Verdict};

/// The prefix of the names of recordings' scenarios.
pub const PREFIX: &str = "linux/";
/// The scenario about all recordings together.
pub const RULES: &str = "linux/rules";

/// A recording, checked.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The name in reports.
    name: String,
    /// The name in the list of differences.
    file: String,
    path: PathBuf,
    script: Script,
    expectations: Expectations,
}

impl Recording {
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
    pub fn all() -> Result<Vec<Self>, RecordingError> {
        let folder = Self::folder();
        let files = std::fs::read_dir(&folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
        let mut paths = files.map_err(|source| RecordingError::Unreadable { path: folder, source })?;
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// The recording at a path, or with a name in the folder, with or without file extension. The list of differences
    /// lies in the same folder, if there is one.
    ///
    /// # Errors
    ///
    /// [`RecordingError`], naming the file and the place in it.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::read(&found(path, &[Self::folder()], &["json"]))
    }

    /// The recording in a text, with the text of a list of differences; errors call it `name`.
    ///
    /// # Errors
    ///
    /// [`RecordingError`], naming the place.
    pub fn parse(name: &str, json: &str, expectations: &str) -> Result<Self, RecordingError> {
        let expectations = Expectations::parse(expectations, Path::new(expectations::FILE))?;
        Ok(Self {
            name: name.to_owned(),
            file: name.to_owned(),
            path: PathBuf::from(name),
            script: script(name, json)?,
            expectations,
        })
    }

    /// Reads a file and the list in its folder.
    fn read(path: &Path) -> Result<Self, RecordingError> {
        let json = std::fs::read_to_string(path)
            .map_err(|source| RecordingError::Unreadable { path: path.to_owned(), source })?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_known = path.parent() == Some(&Self::folder());
        let name = if is_known { file.clone() } else { path.display().to_string() };
        let script = script(&name, &json)?;
        let expectations = Expectations::beside(path)?;
        Ok(Self { name, file, path: path.to_owned(), script, expectations })
    }

    /// Name in reports: the file's name, or the path as it was given for files outside the folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scenario that replays it: `linux/` and its case.
    #[must_use]
    pub fn scenario(&self) -> String {
        format!("{PREFIX}{}", self.script.case)
    }

    /// A description of the recording.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.script.about
    }

    /// The number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.script.steps.len()
    }

    /// The memory that the kernel registered at boot.
    #[must_use]
    pub fn memory(&self) -> &[(PhysRange, NodeId)] {
        &self.script.memory
    }

    /// The machine in the cells of this recording.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Nonsense`] if no machine can have its memory.
    pub fn machine(&self) -> Result<MachineFile, RecordingError> {
        let line = |range: &PhysRange| {
            format!("{:08x}-{:08x} : System RAM\n", range.start().get(), range.end().get().saturating_sub(1))
        };
        let listing: String = self.memory().iter().map(|(range, _)| line(range)).collect();
        let parsed = parse_bytes(listing.as_bytes(), Mode::Lenient);
        let nonsense = |what: String| RecordingError::Nonsense {
            file: self.name.clone(),
            place: "memblock_memory".to_owned(),
            what,
        };
        Ok(MachineFile {
            name: self.name.clone(),
            path: self.path.clone(),
            geometry: match self.script.kernel.levels {
                Levels::Four => GeometryName::X86_64,
                Levels::Five => GeometryName::X86_64La57,
            },
            layout: parsed.map_err(|error| nonsense(error.to_string()))?.layout,
            memory: self.memory().to_vec(),
            warnings: Vec::new(),
            contradictions: Vec::new(),
            agreements: Vec::new(),
        })
    }

    /// The checked recording.
    const fn script(&self) -> &Script {
        &self.script
    }

    /// The intended differences on a backend.
    fn expectations(&self, backend: Backend) -> impl Iterator<Item = &Expectation> {
        self.expectations.of(&self.file, backend)
    }
}

/// The script in a text; errors call it `name`.
fn script(name: &str, json: &str) -> Result<Script, RecordingError> {
    let raw = serde_json::from_str(json)
        .map_err(|source| RecordingError::Shape { file: name.to_owned(), source })?;
    check::check(&raw).map_err(|wrong| wrong.of(name))
}

/// The backends that a recording can be replayed on: those that keep what Linux keeps for each section.
pub fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_sparse())
}

/// The verdict on a backend that keeps something else than Linux does.
fn incomparable() -> Verdict {
    (Outcome::NotApplicable, "Linux has a section table, roots and usages, and the model has not".to_owned())
}

/// Replays the recording whose file the machine of a cell names. If it passes, the rules that it needed are beside the
/// verdict.
#[must_use]
pub fn replay_cell(machine: &MachineFile, backend: Backend) -> (Verdict, Vec<Rule>) {
    if !backend.is_sparse() {
        return (incomparable(), Vec::new());
    }
    let replayed = match Recording::open(&machine.path) {
        Ok(recording) => replay(&recording, backend),
        Err(error) => return ((Outcome::Failed, error.to_string()), Vec::new()),
    };
    match replayed {
        Ok(replayed) => ((Outcome::Passed, String::new()), replayed.by_rule.into_keys().collect()),
        Err(error) => ((Outcome::Failed, error.to_string()), Vec::new()),
    }
}

/// The rules about a backend that explain nothing in some recordings. Recordings whose replay fails do not count.
#[must_use]
pub fn idle_rules(recordings: &[Recording], backend: Backend) -> Vec<Rule> {
    let replayed = recordings.iter().filter_map(|recording| replay(recording, backend).ok());
    let met: BTreeSet<Rule> = replayed.flat_map(|replayed| replayed.by_rule.into_keys()).collect();
    Rule::ALL.into_iter().filter(|rule| rule.is_about(backend) && !met.contains(rule)).collect()
}

/// Fails on a rule that explains nothing in any recording of the folder: it is a guess about Linux.
#[must_use]
pub fn rules_cell(_: &MachineFile, backend: Backend) -> Verdict {
    if !backend.is_sparse() {
        return incomparable();
    }
    let idle = match Recording::all() {
        Ok(all) => idle_rules(&all, backend),
        Err(error) => return (Outcome::Failed, error.to_string()),
    };
    if idle.is_empty() {
        return (Outcome::Passed, String::new());
    }
    let names: Vec<_> = idle.into_iter().map(|rule| format!("`{}`", rule.name())).collect();
    let what = format!("{} explains nothing in {}", names.join(" and "), Recording::folder().display());
    (Outcome::Failed, format!("the rule {what}; add a recording that shows it, or drop the rule"))
}
