//! The files in `conformance/machines`.

use std::path::PathBuf;

use sparsemem_log_reader::golden::{self, Golden};
use sparsemem_log_reader::{Mode, Parsed, parse};

/// Endings of files that are maps.
const MAPS: [&str; 3] = [".dmesg", ".iomem", ".memblocks"];

/// A map and the result of reading it.
pub(crate) struct Map {
    /// File name.
    pub(crate) name: String,
    /// The result of reading it.
    pub(crate) parsed: Parsed,
}

impl Map {
    /// The file that would have this machine's derived facts. Where a machine has two maps, the first owns it.
    pub(crate) fn golden_name(&self) -> String {
        let stem = self.name.rsplit_once('.').map_or(self.name.as_str(), |(stem, _)| stem);
        format!("{stem}.golden")
    }

    /// The result of reading the map and its facts as one log, which they were before they were cut out of it.
    pub(crate) fn with_golden(&self) -> Parsed {
        let text = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        let whole = format!("{}\n{}", text(&self.name), text(&self.golden_name()));
        parse(&whole, Mode::Strict).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The derived facts, if there are any.
    pub(crate) fn golden(&self) -> Option<Golden> {
        let text = std::fs::read_to_string(folder().join(self.golden_name())).ok()?;
        Some(golden::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", self.golden_name())))
    }
}

/// The folder of the files.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/machines")
}

/// Names of all files, sorted.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("conformance/machines");
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().expect("an UTF-8 file name")).collect();
    names.sort();
    names
}

/// Every map, parsed strictly.
pub(crate) fn maps() -> Vec<Map> {
    let names = names().into_iter().filter(|name| MAPS.iter().any(|ending| name.ends_with(ending)));
    names.map(map).collect()
}

/// One map.
fn map(name: String) -> Map {
    let text = std::fs::read_to_string(folder().join(&name)).unwrap();
    let parsed = parse(&text, Mode::Strict).unwrap_or_else(|error| panic!("{name}: {error}"));
    Map { name, parsed }
}

/// Names of the files with derived facts.
pub(crate) fn goldens() -> Vec<String> {
    names().into_iter().filter(|name| name.ends_with(".golden")).collect()
}
