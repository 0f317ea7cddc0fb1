//! What is to fail, and when.

use sparsemem_page_table::LeafSize;

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
}

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
