//! Replays recordings of a running Linux kernel on any memory model. A recording shows the kernel's section table after
//! each step.
//!
//! A [`Recording`] is a boot and a list of steps: memory is added, switched online and offline, and removed; devices
//! are added, with or without an altmap, and removed. After each step the kernel's own memory was read. [`replay`]
//! takes the same steps through [`Hotplug`](sparsemem_hotplug::Hotplug) and compares: words and subsection maps of
//! all sections, roots, usages, the mappings of a virtual array, the places of descriptors that a device holds
//! itself, RAM and devices of the resource tree, and the tags of boot metadata. A [`Rule`] predicts each kind of
//! difference that is intended; a list in the recordings' folder can name single ones.
//!
//! The crate `sparsemem-harness` makes a test of each recording in [`Inside::ALL`]. Here one is replayed by itself:
//!
//! ```
//! use sparsemem_core::presets::X86_64;
//! use sparsemem_core::{Page, SectionShape};
//! use sparsemem_machine::{HostRcu, place};
//! use sparsemem_replay::{Inside, Replay, replay_registered};
//! use sparsemem_sparse_extreme::SparseExtreme;
//! use sparsemem_suite::{Capabilities, TableKind, Usages};
//!
//! enum Readers {}
//! type Model = SparseExtreme<X86_64, Page, HostRcu<Readers>, { X86_64::NR_ROOTS_LEN }>;
//!
//! let can = Capabilities { table: TableKind::Rooted, usages: Usages::PerSection, ..Capabilities::LEAST };
//! let recording = Inside::find("dimm-1g").expect("one of those in the package").read()?;
//! let replayed = replay_registered(&recording, |_| (place::<Model>(), can))?;
//! assert!(matches!(replayed, Replay::Done(done) if done.steps == recording.steps()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `raw`, `lines`, `resources`, `kernel`, `check`, `script` | the JSON, and its conversion into a script |
//! | `inside` | the recordings in the package |
//! | `suits` | the models that a recording can be compared with |
//! | `environment`, `allocator`, `system`, `altmaps`, `bootmem` | the operations, on a model and its machine |
//! | `recorded`, `look`, `words`, `facts` | the recorded facts, the facts of the model, and their comparison |
//! | `rules` | the differences that are intended, predicted from the operations |
//! | `run`, `replay`, `expectations` | the whole replay, and its verdict |
//!
//! Numbers such as W-42 refer to the project's list of [facts about Linux][facts].
//!
//! [facts]: https://github.com/sparsemem/sparsemem/blob/main/conformance/linux/FACTS.md
//!
//! # Invariants
//!
//! 1. Places that the recorded kernel's allocator chose, those of memmaps and usages, are not compared.

#![deny(unsafe_code)]

mod allocator;
mod altmaps;
mod bootmem;
mod check;
mod compare;
mod environment;
mod error;
mod expectations;
mod facts;
mod inside;
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
mod suits;
mod system;
mod words;

use std::path::{Path, PathBuf};

use sparsemem_core::{NodeId, PagingDepth, PhysRange};

pub use error::RecordingError;
pub use inside::Inside;
pub use replay::{Difference, Replay, ReplayError, Replayed, replay, replay_registered};
pub use rules::Rule;
pub use suits::Unlike;

use expectations::{Expectation, Expectations};
use script::Script;

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
    /// The recording at a path; errors and reports call it by that. The list of differences lies in the same folder, if
    /// there is one.
    ///
    /// # Errors
    ///
    /// [`RecordingError`], naming the file and the place in it.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::read(path, &path.display().to_string())
    }

    /// The same, called by another name.
    ///
    /// # Errors
    ///
    /// [`RecordingError`], naming the file and the place in it.
    pub fn read(path: &Path, name: &str) -> Result<Self, RecordingError> {
        let json = std::fs::read_to_string(path)
            .map_err(|source| RecordingError::Unreadable { path: path.to_owned(), source })?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (script, expectations) = (script(name, &json)?, Expectations::beside(path)?);
        Ok(Self { name: name.to_owned(), file, path: path.to_owned(), script, expectations })
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

    /// Name in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of its file; its name, if it was read from a text.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
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

    /// The levels of the kernel's page tables, which say how many physical addresses it has.
    #[must_use]
    pub const fn depth(&self) -> PagingDepth {
        self.script.kernel.levels.depth()
    }

    /// The names of models in its list of differences.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.expectations.difference.iter().flat_map(|entry| &entry.backends).map(String::as_str)
    }

    /// The checked recording.
    const fn script(&self) -> &Script {
        &self.script
    }

    /// The intended differences on a model of this name.
    fn expectations<'e>(&'e self, model: &'e str) -> impl Iterator<Item = &'e Expectation> {
        self.expectations.of(&self.file, model)
    }
}

/// The script in a text; errors call it `name`.
fn script(name: &str, json: &str) -> Result<Script, RecordingError> {
    let raw = serde_json::from_str(json)
        .map_err(|source| RecordingError::Shape { file: name.to_owned(), source })?;
    check::check(&raw).map_err(|wrong| wrong.of(name))
}

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
