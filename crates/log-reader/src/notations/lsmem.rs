//! `lsmem` in its formats: the table with any columns, `--raw`, `--pairs`, and JSON (which `text/json.rs` makes pairs of).
//!
//! # Invariants
//!
//! 1. Only a row that says `online` is RAM. A row that does not say whether it is online cannot be read.
//! 2. The listing has whole memory blocks, so that the holes inside them are in it as RAM.

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
    let range = words.next().filter(|word| word.starts_with("0x") && word.contains("-0x"))?;
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
    matches!(word, "yes" | "no" | "true" | "false")
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
    fn memory_that_is_offline_or_may_be_is_no_ram() {
        let kind = |text: &str| read(text).map(|entry| entry.kind);
        assert_eq!(kind("0x80000000-0xffffffff 2G offline - 16-31"), Ok(RangeKind::HotplugWindow));
        assert_eq!(kind("0x80000000-0xffffffff 2G"), Err(Reason::NoState));
        assert!(row(&Line::new("0xffffffff80000000-0xffffffff81000000 16M RW PSE pmd")).is_none());
        assert!(row(&Line::new("0x000000000000-0x000000000fff [Conventional Memory|WB]")).is_none());
    }
}
