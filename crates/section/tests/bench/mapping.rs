//! What the address space of an execution maps.
#![allow(dead_code, reason = "only a virtual array maps anything")]

use std::cell::RefCell;
use std::ops::Range;

/// Virtual addresses, and the block behind them.
struct Mapping {
    at: Range<usize>,
    to: usize,
}

thread_local! {
    /// As of the last change that was told of.
    static MAPPINGS: RefCell<Vec<Mapping>> = const { RefCell::new(Vec::new()) };
}

/// Forgets everything.
pub(crate) fn clear() {
    MAPPINGS.take();
}

/// Maps virtual addresses to a block.
pub(crate) fn map(at: Range<usize>, to: usize) {
    MAPPINGS.with_borrow_mut(|mappings| mappings.push(Mapping { at, to }));
}

/// Takes the mapping at an address away.
pub(crate) fn unmap(at: usize) {
    MAPPINGS.with_borrow_mut(|mappings| mappings.retain(|mapping| !mapping.at.contains(&at)));
}

/// The mapped addresses that lie in a range.
pub(crate) fn mapped_in(range: &Range<usize>) -> Vec<usize> {
    MAPPINGS.with_borrow(|mappings| {
        mappings.iter().map(|mapping| mapping.at.start).filter(|at| range.contains(at)).collect()
    })
}

/// The address that a virtual one leads to; itself, if nothing is mapped there.
pub(crate) fn translated(address: usize) -> usize {
    MAPPINGS.with_borrow(|mappings| {
        let mapping = mappings.iter().rev().find(|mapping| mapping.at.contains(&address));
        mapping.map_or(address, |mapping| mapping.to + (address - mapping.at.start))
    })
}
