//! Memory blocks per node, as sysfs has them: `node0 MemTotal .. kB memory blocks: 0-15 32-143`.
//!
//! # Invariants
//!
//! 1. The size of a block comes from a line `# block size N MiB`, wherever it stands; without that line the reader does
//!    not guess one.
//! 2. A block on a node border is listed by both nodes. Neither says where in the block the border lies, so the whole
//!    block goes to the node with the lower number.

use sparsemem_core::NodeId;

use crate::addresses::{self, decimal, decimal32};
use crate::claims::{Claim, Class};
use crate::error::shortened;
use crate::line::Line;
use crate::statement::{Answer, NodeBlocks, Source, Statement};
use crate::{MapEntry, Notation, RangeKind, Reason};

impl Notation {
    /// `node0 MemTotal .. kB memory blocks: 0-15 32-143`.
    pub const MEMORY_BLOCKS: Self = Self::other("memory-blocks");
}

/// The blocks of every node, and their size.
pub(super) const SOURCE: Source =
    Source { notations: &[Notation::MEMORY_BLOCKS], readers: &[block_size, of_node] };

/// Reads `# block size 128 MiB (..)`.
fn block_size(line: &Line<'_>) -> Answer {
    let text = line.message.strip_prefix("# block size ")?;
    Some(
        bytes_of(text)
            .map(Statement::BlockSize)
            .ok_or_else(|| Reason::BadBlockSize { text: shortened(text) }),
    )
}

/// The bytes of `128 MiB`, at least one.
fn bytes_of(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once(' ')?;
    let unit = match unit.split_whitespace().next()? {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    decimal(number).ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// Reads the blocks of a node.
fn of_node(line: &Line<'_>) -> Answer {
    let (head, runs) = line.message.split_once("memory blocks:")?;
    let node = head.strip_prefix("node")?.split_whitespace().next()?;
    let kibibytes =
        head.split_once("MemTotal").and_then(|(_, text)| decimal(text.trim().strip_suffix("kB")?).ok());
    Some(blocks(node, runs).map(|blocks| Statement::Blocks(NodeBlocks { kibibytes, ..blocks })))
}

/// A node and its runs.
fn blocks(node: &str, runs: &str) -> Result<NodeBlocks, Reason> {
    let runs = runs.split_whitespace().map(run).collect::<Result<_, _>>()?;
    Ok(NodeBlocks { node: NodeId::new(decimal32(node)?), runs, kibibytes: None })
}

/// `0-15` or `7`.
fn run(text: &str) -> Result<(u64, u64), Reason> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (start, end) = (decimal(first)?, decimal(last)?);
    if end < start { Err(Reason::Reversed { start, end }) } else { Ok((start, end)) }
}

impl NodeBlocks {
    /// The RAM of these blocks, and the claims of their node, given their size.
    pub(crate) fn sized(&self, bytes: u64) -> Result<Vec<(MapEntry, Claim)>, Reason> {
        let sized: Vec<(MapEntry, Claim)> = self
            .runs
            .iter()
            .map(|&(first, last)| self.sized_run(first, last, bytes))
            .collect::<Result<_, _>>()?;
        let own = sized.iter().map(|(entry, _)| entry.range.count().get() >> 10).fold(0, u64::saturating_add);
        match self.kibibytes.filter(|kibibytes| *kibibytes > own) {
            Some(kibibytes) => Err(Reason::FewBlocks { kibibytes }),
            None => Ok(sized),
        }
    }

    /// The RAM and the claim of one run.
    fn sized_run(&self, first: u64, last: u64, bytes: u64) -> Result<(MapEntry, Claim), Reason> {
        let count = last.saturating_sub(first).saturating_add(1);
        let range = addresses::units(first, count, bytes)?;
        let claim = Claim { grain: bytes, ..Claim::new(range, self.node, Class::Fixed) };
        Ok((MapEntry::new(range, RangeKind::Ram, Some(self.node)), claim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_ranges() {
        let Some(Ok(Statement::Blocks(blocks))) =
            of_node(&Line::new("node1 MemTotal 5 kB memory blocks: 0-1 4"))
        else {
            panic!("no blocks");
        };
        let ranges: Vec<_> = blocks.sized(0x1000).unwrap().iter().map(|(entry, _)| entry.range).collect();
        assert_eq!(ranges, [addresses::between(0, 0x2000), addresses::between(0x4000, 0x5000)]);
        assert!(blocks.sized(u64::MAX / 2).is_err());
        assert_eq!(blocks.sized(1), Err(Reason::FewBlocks { kibibytes: 5 }));
    }

    #[test]
    fn sizes_have_a_unit_and_are_not_zero() {
        let size = |text: &str| block_size(&Line::new(text)).expect("a size");
        assert!(matches!(size("# block size 2048 MiB (inferred)"), Ok(Statement::BlockSize(0x8000_0000))));
        for text in ["# block size 0 MiB", "# block size 12", "# block size 99999999999999 GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(of_node(&Line::new("node0 memory blocks: 3-1")).is_some_and(|read| read.is_err()));
    }
}
