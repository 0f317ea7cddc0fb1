//! Goes over the lines once and sorts what they say by boot.
//!
//! # Invariants
//!
//! 1. Each line is offered to the readers in a fixed order; the first that knows it decides.
//! 2. A line that a reader knows and cannot read becomes a [`LineError`]; nothing else does.

use sparsemem_core::PhysRange;

use crate::boot::Boot;
use crate::claims::Claim;
use crate::iomem::Row;
use crate::line::Line;
use crate::memblocks::Blocks;
use crate::{Edit, Entry, Format, LineError, Reason, device_tree, e820, efi, iomem, memblocks, nodes, srat};

/// What a line says.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A kernel or hypervisor starts here.
    BootStart,
    /// The next entry begins a new table.
    TableStart,
    /// A line of a table.
    Entry(Format, Entry),
    /// A change to the e820 table.
    Edit(Edit),
    /// The e820 table goes to the boot allocator here.
    MapTaken,
    /// A range is a node's.
    Claim(Claim),
    /// The kernel does not believe what was said about nodes so far.
    Rejected,
    /// The kernel believes nothing of it and takes one node for everything.
    Faked(Claim),
    /// The device tree keeps a range back.
    Reserved(PhysRange),
    /// A row of an iomem listing.
    Row(Row),
    /// A row of an iomem listing that is broken, if this is one.
    DoubtfulRow(Reason),
    /// How large a memory block is.
    BlockSize(u64),
    /// The memory blocks of a node.
    Blocks(Blocks),
    /// Known, and of no consequence.
    Nothing,
}

/// Reads a line: nothing if the line is not its own.
type Reader = fn(&Line<'_>) -> Option<Result<Item, Reason>>;

/// The readers, in the order in which a line is offered to them.
const READERS: [Reader; 13] = [
    e820::frame,
    e820::entry,
    e820::edit,
    srat::affinity,
    srat::rejection,
    srat::merged,
    srat::without_firmware,
    efi::entry,
    nodes::early_range,
    device_tree::reservation,
    memblocks::block_size,
    memblocks::of_node,
    iomem::row,
];

/// What a text says, before anything is chosen or resolved.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) boots: Vec<Boot>,
    pub(crate) errors: Vec<LineError>,
    pub(crate) lines: usize,
    in_bare_ranges: bool,
}

impl Scan {
    /// Reads a text.
    pub(crate) fn new(text: &str) -> Self {
        let mut scan = Self { boots: vec![Boot::default()], ..Self::default() };
        for raw in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
            scan.lines += 1;
            scan.line(raw);
        }
        for boot in &mut scan.boots {
            boot.finish(&mut scan.errors);
        }
        scan.errors.sort_by_key(|error| error.line);
        scan
    }

    /// Reads one line.
    fn line(&mut self, raw: &str) {
        let line = Line::new(raw);
        let answer = self.contextual(&line).or_else(|| READERS.iter().find_map(|read| read(&line)));
        match answer.or_else(|| nodes::allocator_range(&line)) {
            Some(Ok(item)) => self.item(raw, item),
            Some(Err(reason)) => self.errors.push(LineError::new(self.lines, raw, reason)),
            None => {}
        }
    }

    /// Reads a line whose meaning depends on those before it.
    fn contextual(&mut self, line: &Line<'_>) -> Option<Result<Item, Reason>> {
        if nodes::heads_bare_ranges(line) {
            self.in_bare_ranges = true;
            return Some(Ok(Item::TableStart));
        }
        let range = if self.in_bare_ranges { nodes::bare_early_range(line) } else { None };
        self.in_bare_ranges = range.is_some();
        range
    }

    /// Files an item with the boot it belongs to.
    fn item(&mut self, raw: &str, item: Item) {
        if matches!(item, Item::BootStart) {
            self.boots.push(Boot::default());
        } else if let Some(boot) = self.boots.last_mut() {
            boot.add(self.lines, raw, item);
        }
    }
}
