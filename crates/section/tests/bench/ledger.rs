//! Which memory is live, and who may touch it. Nothing is freed before the end of an execution, so touching what is not
//! live is caught here instead of being undefined.
//!
//! Every block has a shadow: a cell of the model checker that is written when the block is given out and when it comes
//! back, and read by whoever looks at the block. So the checker also finds readers who touch the right memory but are
//! not ordered after its making, or before its end: a missing Release, Acquire or grace period. Descriptors are looked at by
//! the tests, usages by the tables, which tell of it ([`LOOKED_AT`]).

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use loom::cell::UnsafeCell;
use loom::thread::ThreadId;
use sparsemem_core::primitive::LOOKED_AT;

use super::mapping;

/// A block and whether it was given back.
struct Entry {
    start: *mut u8,
    layout: Layout,
    live: bool,
    shadow: Rc<UnsafeCell<()>>,
}

impl Entry {
    fn bytes(&self) -> Range<usize> {
        self.start.addr()..self.start.addr() + self.layout.size()
    }
}

thread_local! {
    /// The blocks of the execution that runs: loom runs all threads of a test on one thread of the host.
    static BLOCKS: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
    /// Written by whoever changes memory: writers have to be ordered among each other.
    static WRITER: RefCell<Option<Rc<UnsafeCell<()>>>> = const { RefCell::new(None) };
    /// Whose touches are not checked any more.
    static FORGIVEN: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

/// The ledger of one execution; everything is freed when it is closed, or when the next one is opened.
pub(crate) struct Ledger(());

impl Ledger {
    /// Begins an execution. From the first one on, tables ask the ledger about every usage that they look at.
    pub(crate) fn open() -> Self {
        LOOKED_AT.get_or_init(|| assert_live);
        free_all();
        WRITER.set(Some(Rc::new(UnsafeCell::new(()))));
        Self(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        free_all();
    }
}

/// Whoever calls this changes memory; at the same time nobody else may.
fn change() {
    let writer = WRITER.with_borrow(Option::clone).expect("the ledger is open");
    writer.with_mut(|_| {});
}

fn free_all() {
    WRITER.take();
    FORGIVEN.set(None);
    mapping::clear();
    for entry in BLOCKS.take() {
        // SAFETY: `allocate` made the block with this layout, and the execution is over.
        unsafe { std::alloc::dealloc(entry.start, entry.layout) };
    }
}

/// A zeroed block.
pub(crate) fn allocate(layout: Layout) -> *mut u8 {
    change();
    // SAFETY: no block of a model is empty.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    let shadow = Rc::new(UnsafeCell::new(()));
    shadow.with_mut(|_| {});
    BLOCKS.with_borrow_mut(|blocks| blocks.push(Entry { start, layout, live: true, shadow }));
    start
}

/// Gives a block back; `false` if there is no such block.
pub(crate) fn write_off(start: usize) -> bool {
    change();
    let shadow = BLOCKS.with_borrow_mut(|blocks| {
        let entry = blocks.iter_mut().rev().find(|entry| entry.start.addr() == start)?;
        entry.live = false;
        Some(Rc::clone(&entry.shadow))
    });
    shadow.is_some_and(|shadow| {
        shadow.with_mut(|_| {});
        true
    })
}

/// Gives blocks back out of turn: those of a size, or all. From now on only the readers' touches are checked, for the
/// writer is about to use what it gave back.
pub(crate) fn write_off_too_early(size: Option<usize>) {
    FORGIVEN.set(Some(loom::thread::current().id()));
    BLOCKS.with_borrow_mut(|blocks| {
        let early = blocks.iter_mut().filter(|entry| size.is_none_or(|size| entry.layout.size() == size));
        early.for_each(|entry| entry.live = false);
    });
}

/// Fails the test if there is no live block at an address, or if its making is not known to have happened.
pub(crate) fn assert_live(address: usize) {
    if FORGIVEN.get() == Some(loom::thread::current().id()) {
        return;
    }
    let block = mapping::translated(address);
    let found = BLOCKS.with_borrow(|blocks| {
        // The host may use an address again only after the execution, so there is one block.
        let entry = blocks.iter().find(|entry| entry.bytes().contains(&block))?;
        Some((entry.live, Rc::clone(&entry.shadow)))
    });
    let Some((live, shadow)) = found else { panic!("{address:#x} was touched, and nothing is there") };
    assert!(live, "memory at {address:#x} was touched after it was given back");
    shadow.with(|_| {});
}
