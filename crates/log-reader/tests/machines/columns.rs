//! `index.toml`: facts about each map that somebody read in it by hand.

use serde::Deserialize;
use sparsemem_log_reader::{MapEntry, RangeKind};

use crate::expectations::Difference;
use crate::files::{Map, folder};

/// One line of the index. The test does not compare a fact that the index does not have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// File name of the map.
    pub(crate) file: String,
    /// Bytes of usable memory in the map as printed first.
    usable_bytes: Option<u64>,
    /// The number of usable ranges of that map.
    usable_ranges: Option<u64>,
    /// Highest address of any entry, included.
    highest: Option<u64>,
    /// Highest address of a usable entry, included.
    highest_usable: Option<u64>,
    /// The number of nodes that the map names.
    nodes: Option<u64>,
    /// Bytes of a page descriptor of the kernel that wrote the log, where its facts depend on it.
    pub(crate) descriptor_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    map: Vec<Column>,
}

/// The whole index.
pub(crate) fn all() -> Vec<Column> {
    let text = std::fs::read_to_string(folder().join("index.toml")).expect("index.toml");
    toml::from_str::<Index>(&text).unwrap_or_else(|error| panic!("index.toml: {error}")).map
}

/// The line of one map.
pub(crate) fn of(file: &str) -> Column {
    all()
        .into_iter()
        .find(|column| column.file == file)
        .unwrap_or_else(|| panic!("{file} is not in the index"))
}

/// The facts in which a map and its line differ.
pub(crate) fn compare(map: &Map, column: &Column) -> Vec<Difference> {
    let entries = &map.parsed.tables.first().expect("a table").entries;
    let usable = || entries.iter().filter(|entry| entry.kind == RangeKind::Ram);
    let last = |entry: &MapEntry| entry.range.end().get() - 1;
    let facts = [
        ("index.usable-bytes", column.usable_bytes, usable().map(|entry| entry.range.count().get()).sum()),
        ("index.usable-ranges", column.usable_ranges, usable().count() as u64),
        ("index.highest", column.highest, entries.iter().map(last).max().unwrap_or(0)),
        ("index.highest-usable", column.highest_usable, usable().map(last).max().unwrap_or(0)),
        ("index.nodes", column.nodes, map.parsed.layout.nodes().count() as u64),
    ];
    assert!(facts.iter().any(|(_, known, _)| known.is_some()), "{}: the index says nothing", map.name);
    let known = facts.into_iter().filter_map(|(fact, known, actual)| Some((fact, known?, actual)));
    known.filter_map(|(fact, known, actual)| Difference::check(&map.name, fact, known, actual)).collect()
}
