//! Which memory is live. Nothing is freed before the end of an execution, so touching what is not live is caught here
//! instead of being undefined.

use std::alloc::Layout;
use std::cell::RefCell;

/// A block and whether it was given back.
struct Entry {
    start: *mut u8,
    layout: Layout,
    live: bool,
}

thread_local! {
    /// The blocks of the execution that runs: loom runs all threads of a test on one thread of the host.
    static BLOCKS: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// The ledger of one execution; everything is freed when it is closed, or when the next one is opened.
pub(crate) struct Ledger(());

impl Ledger {
    /// Begins an execution.
    pub(crate) fn open() -> Self {
        free_all();
        Self(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        free_all();
    }
}

fn free_all() {
    for entry in BLOCKS.take() {
        // SAFETY: `allocate` made the block with this layout, and the execution is over.
        unsafe { std::alloc::dealloc(entry.start, entry.layout) };
    }
}

/// A zeroed block.
pub(crate) fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: no block of a model is empty.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    BLOCKS.with_borrow_mut(|blocks| blocks.push(Entry { start, layout, live: true }));
    start
}

/// Gives a block back; `false` if there is no such block.
pub(crate) fn write_off(start: usize) -> bool {
    BLOCKS.with_borrow_mut(|blocks| {
        let entry = blocks.iter_mut().find(|entry| entry.start.addr() == start);
        entry.map(|entry| entry.live = false).is_some()
    })
}

/// Gives every block back, out of turn.
pub(crate) fn write_off_all() {
    BLOCKS.with_borrow_mut(|blocks| blocks.iter_mut().for_each(|entry| entry.live = false));
}

/// Fails the test if the block around an address was given back.
pub(crate) fn assert_live(address: usize) {
    let dead = BLOCKS.with_borrow(|blocks| {
        blocks.iter().any(|entry| {
            let start = entry.start.addr();
            !entry.live && (start..start + entry.layout.size()).contains(&address)
        })
    });
    assert!(!dead, "memory at {address:#x} was touched after it was given back");
}
