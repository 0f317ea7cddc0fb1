//! `lsmem` in its formats: the table with any columns, `--raw`, `--pairs`, and JSON (which `text/json.rs` makes pairs of).
//!
//! # Invariants
//!
//! 1. A heading says which cell is which. Without one, the cells are told apart by their form.
//! 2. Only a row that says `online` is RAM. A row that does not say whether it is online cannot be read.
//! 3. The listing has whole memory blocks, so that the holes inside them are in it as RAM.

use sparsemem_core::NodeId;

use crate::addresses::{self, decimal32};
use crate::line::Line;
use crate::statement::{Answer, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, Reason};

impl Notation {
    /// `0x0000000000000000-0x000000007fffffff 2G online yes 0-15`, or its other formats.
    pub const LSMEM: Self = Self::other("lsmem");
}

/// The listing.
pub(super) const SOURCE: Source = Source { notations: &[Notation::LSMEM], readers: &[pairs, row] };

/// The columns of a listing that matter, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    range: usize,
    state: Option<usize>,
    node: Option<usize>,
    count: usize,
    /// The last cell may be empty: memory that is no zone's has no zones.
    ends_in_zones: bool,
}

impl Columns {
    /// Reads the heading, `RANGE SIZE STATE REMOVABLE BLOCK` or a part of it in any order.
    pub(crate) fn read(line: &Line<'_>) -> Option<Self> {
        const NAMES: [&str; 7] = ["RANGE", "SIZE", "STATE", "REMOVABLE", "BLOCK", "NODE", "ZONES"];
        let words = line.message.split_whitespace().skip_while(|word| !NAMES.contains(word));
        let words: Vec<&str> = words.collect();
        let place = |name: &str| words.iter().position(|word| *word == name);
        let range = place("RANGE").filter(|_| words.iter().all(|word| NAMES.contains(word)))?;
        let ends_in_zones = words.last() == Some(&"ZONES");
        Some(Self { range, state: place("STATE"), node: place("NODE"), count: words.len(), ends_in_zones })
    }

    /// Reads a row under the heading.
    pub(crate) fn row(&self, line: &Line<'_>) -> Answer {
        let words: Vec<&str> = line.message.split_whitespace().collect();
        let range = words.get(self.range).filter(|word| is_range(word))?;
        let is_whole = words.len() == self.count || self.ends_in_zones && words.len() + 1 == self.count;
        if !is_whole {
            return Some(Err(Reason::Cells { expected: self.count, found: words.len() }));
        }
        let cell = |place: Option<usize>| place.and_then(|place| words.get(place).copied());
        Some(entry(range, cell(self.state), cell(self.node)))
    }
}

/// True for `0x..-0x..`.
fn is_range(word: &str) -> bool {
    word.starts_with("0x") && word.contains("-0x")
}

/// Reads `RANGE="0x..-0x.." SIZE="2G" STATE="online" ..`.
fn pairs(line: &Line<'_>) -> Answer {
    let range = cell(line.message, "RANGE")?;
    let state = cell(line.message, "STATE");
    let node = cell(line.message, "NODE");
    Some(entry(range, state, node))
}

/// The text of `NAME="text"`.
fn cell<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let (before, rest) = message.split_once(name)?;
    let is_word = before.is_empty() || before.ends_with(' ');
    rest.strip_prefix("=\"").filter(|_| is_word)?.split_once('"').map(|(text, _)| text)
}

/// Reads `0x..-0x.. 2G online yes 0-15 0 Normal`, in this order, without a part of the cells.
fn row(line: &Line<'_>) -> Answer {
    let mut words = line.message.split_whitespace();
    let range = words.next().filter(|word| is_range(word))?;
    let words: Vec<&str> = words.collect();
    let state_at = words.iter().position(|word| matches!(*word, "online" | "offline"));
    // Dumps of page tables have rows of ranges and sizes too, with other words behind them.
    if state_at.is_none() && !matches!(words[..], [size] if is_size(size)) {
        return None;
    }
    // After the state: removable, block, node, zones. A node comes after a block.
    let after = state_at.map(|at| words.iter().skip(at + 1).skip_while(|word| is_answer(word)));
    let node = after.and_then(|mut after| after.nth(1)).filter(|node| decimal32(node).is_ok());
    Some(entry(range, state_at.and_then(|at| words.get(at).copied()), node.copied()))
}

/// True for the words of the column REMOVABLE.
fn is_answer(word: &str) -> bool {
    matches!(word, "yes" | "no" | "true" | "false" | "-")
}

/// True for `2G`, `15.6G` and the plain bytes of `-b`.
fn is_size(word: &str) -> bool {
    let digits = word.trim_end_matches(['B', 'K', 'M', 'G', 'T', 'P', 'i']);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The entry of a row.
fn entry(range: &str, state: Option<&str>, node: Option<&str>) -> Result<Statement, Reason> {
    let (start, end) = addresses::pair(range, "-")?;
    let range = addresses::inclusive(start, end)?;
    let kind = match state {
        Some("online") => RangeKind::Ram,
        Some(state) if state.ends_with("line") => RangeKind::HotplugWindow,
        _ => return Err(Reason::NoState),
    };
    let node = node.map(decimal32).transpose()?.map(NodeId::new);
    Ok(Statement::Entry(Notation::LSMEM, MapEntry::new(range, kind, node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MapEntry, Reason> {
        let line = Line::new(text);
        match pairs(&line).or_else(|| row(&line)).expect("a row")? {
            Statement::Entry(Notation::LSMEM, entry) => Ok(entry),
            _ => panic!("no entry"),
        }
    }

    #[test]
    fn every_format_gives_the_same_range() {
        let range = addresses::between(0, 0x8000_0000);
        for text in [
            "0x0000000000000000-0x000000007fffffff    2G online       yes   0-15",
            "0x0000000000000000-0x000000007fffffff 2147483648 online yes 0-15",
            "0x0000000000000000-0x000000007fffffff 2G online",
            "0x0000000000000000-0x000000007fffffff        2048  online   no         0-1",
            "RANGE=\"0x0000000000000000-0x000000007fffffff\" SIZE=\"2G\" STATE=\"online\" REMOVABLE=\"yes\" BLOCK=\"0-15\"",
        ] {
            assert_eq!(read(text), Ok(MapEntry::new(range, RangeKind::Ram, None)), "{text}");
        }
        let with_node = read("0x0000000000000000-0x000000007fffffff 2G online yes 0-15 1 Normal");
        assert_eq!(with_node.map(|entry| entry.node), Ok(Some(NodeId::new(1))));
    }

    #[test]
    fn a_heading_says_which_cell_is_which() {
        let range = addresses::between(0, 0x8000_0000);
        let expected = Ok(MapEntry::new(range, RangeKind::Ram, Some(NodeId::new(3))));
        for (heading, row) in [
            (
                "RANGE SIZE STATE REMOVABLE BLOCK NODE ZONES",
                "0x00000000-0x7fffffff 2G online - 0-15 3 Normal",
            ),
            (
                "RANGE SIZE STATE REMOVABLE BLOCK NODE ZONES",
                "0x00000000-0x7fffffff 2G online 0 0-15 3 DMA/Normal",
            ),
            ("RANGE SIZE STATE REMOVABLE BLOCK NODE", "0x00000000-0x7fffffff 2G online 1 0-15 3"),
            ("NODE STATE RANGE", "3 online 0x00000000-0x7fffffff"),
            ("RANGE STATE NODE", "0x00000000-0x7fffffff online 3"),
        ] {
            let columns = Columns::read(&Line::new(heading)).expect("a heading");
            let read = columns.row(&Line::new(row)).expect("a row");
            let read = read.map(|item| match item {
                Statement::Entry(_, entry) => entry,
                _ => panic!("no entry"),
            });
            assert_eq!(read, expected, "{heading}");
        }
        let columns = Columns::read(&Line::new("RANGE SIZE STATE NODE")).expect("a heading");
        let short = columns.row(&Line::new("0x00000000-0x7fffffff 2G online"));
        assert_eq!(short.map(Result::err), Some(Some(Reason::Cells { expected: 4, found: 3 })));
        let only =
            Columns::read(&Line::new("RANGE")).and_then(|columns| columns.row(&Line::new("0x0-0xfff")));
        assert_eq!(only.map(Result::err), Some(Some(Reason::NoState)));
        assert_eq!(Columns::read(&Line::new("RANGE of values")), None);
    }

    #[test]
    fn memory_that_is_offline_or_may_be_is_no_ram() {
        let kind = |text: &str| read(text).map(|entry| entry.kind);
        assert_eq!(kind("0x80000000-0xffffffff 2G offline - 16-31"), Ok(RangeKind::HotplugWindow));
        assert_eq!(kind("0x80000000-0xffffffff 2G"), Err(Reason::NoState));
        assert!(row(&Line::new("0xffffffff80000000-0xffffffff81000000 16M RW PSE pmd")).is_none());
        assert!(row(&Line::new("0x000000000000-0x000000000fff [Conventional Memory|WB]")).is_none());
    }
}
