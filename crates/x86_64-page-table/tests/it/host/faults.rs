//! The calls that are going to fail, and when.

use sparsemem_core::LeafSize;

/// Countdowns: `Some(0)` fails the next call, `Some(1)` the one after it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) table: Option<u32>,
    pub(crate) leaf: Option<u32>,
    pub(crate) link: Option<u32>,
    /// Sizes of which there is no memory at all.
    pub(crate) no_leaves_of: Vec<LeafSize>,
    pub(crate) misalign_table: bool,
    pub(crate) misalign_leaf: Option<LeafSize>,
    /// Tables, or leaves of a size, at addresses that no entry has room for.
    pub(crate) far_table: bool,
    pub(crate) far_leaf: Option<LeafSize>,
    /// Nothing is taken back; it is gone all the same.
    pub(crate) refuses: bool,
}

/// The first address that an entry has no room for.
const FAR: u64 = 1 << 52;

impl Faults {
    pub(super) fn before_table(&mut self) -> Option<()> {
        count_down(&mut self.table)
    }

    pub(super) fn before_leaf(&mut self, size: LeafSize) -> Option<()> {
        if self.no_leaves_of.contains(&size) {
            return None;
        }
        count_down(&mut self.leaf)
    }

    /// The address that a table gets which was to be at `frame`.
    pub(super) fn misplaced_table(&self, frame: u64) -> u64 {
        let far = if self.far_table { FAR } else { 0 };
        let off = if self.misalign_table { 0x800 } else { 0 };
        far + frame + off
    }

    /// The address that a leaf gets which was to be at `frame`.
    pub(super) fn misplaced_leaf(&self, size: LeafSize, frame: u64) -> u64 {
        let far = if self.far_leaf == Some(size) { FAR } else { 0 };
        let off = if self.misalign_leaf == Some(size) { size.bytes() / 2 } else { 0 };
        far + frame + off
    }

    pub(super) fn before_link(&mut self) -> Option<()> {
        count_down(&mut self.link)
    }
}

/// `None` when the countdown is over; it fails once.
fn count_down(left: &mut Option<u32>) -> Option<()> {
    match left.take() {
        Some(0) => return None,
        Some(n) => *left = Some(n - 1),
        None => {}
    }
    Some(())
}
