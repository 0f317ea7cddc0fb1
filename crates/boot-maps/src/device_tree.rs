//! Flattened device trees: nodes `memory`, the reservation block, and `reserved-memory`.
//!
//! Source: Devicetree Specification 0.4, "/memory node", "/reserved-memory node", "Memory Reservation Block"; the binding of
//! `numa-node-id`. `dtoolkit` reads the blob; of the crates that do, `fdt`, `fdt-parser` and `flat_device_tree` have a
//! licence that does not fit this project's.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use sparsemem_core::{NodeId, PhysAddr};

use crate::{BootMap, MapError, Use};

/// Cells of addresses and sizes.
#[derive(Clone, Copy)]
struct Cells {
    address: usize,
    size: usize,
}

/// The error that a device tree is broken.
const fn broken(what: &'static str) -> MapError {
    MapError::Broken { table: "device tree", at: 0, what }
}

/// A property that is a number of 32 bits.
fn number(node: &FdtNode<'_>, name: &str) -> Option<u32> {
    let property = node.property(name)?;
    property.value().first_chunk().copied().map(u32::from_be_bytes)
}

impl Cells {
    /// The cells of a node's children.
    fn below(node: &FdtNode<'_>) -> Self {
        let cells = |name, default| number(node, name).map_or(default, |cells| cells as usize);
        Self { address: cells("#address-cells", 2), size: cells("#size-cells", 1) }
    }

    /// The ranges of a node's property `reg`: start and length.
    fn reg(self, reg: &[u8]) -> Result<impl Iterator<Item = (u64, u64)>, MapError> {
        // A range without an address or a size is none, and its memory would be lost.
        if !(1..=2).contains(&self.address) || !(1..=2).contains(&self.size) {
            return Err(broken("a parent of memory has addresses or sizes of no cells, or of more than two"));
        }
        let (start, entry) = (self.address * 4, (self.address + self.size) * 4);
        if reg.len() % entry != 0 {
            return Err(broken("a property `reg` does not fit the cells of its parent"));
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        Ok(reg.chunks_exact(entry).map(move |entry| {
            let (start, len) = entry.split_at_checked(start).unwrap_or_default();
            (number(start), number(len))
        }))
    }
}

/// True if a node is in use: it has no status, or one that says so.
fn is_enabled(node: &FdtNode<'_>) -> bool {
    let status = node.property("status");
    status.is_none_or(|status| matches!(status.value(), b"okay\0" | b"ok\0"))
}

impl BootMap<'_> {
    /// Adds memory, nodes and reservations of a device tree. Children of `reserved-memory` with the property `no-map` are reserved
    /// and all others taken, as the reservation block is: RAM that somebody uses. Memory that may be plugged later
    /// (`hotpluggable`) is memory.
    ///
    /// # Errors
    ///
    /// [`MapError`].
    pub fn add_device_tree(&mut self, blob: &[u8]) -> Result<(), MapError> {
        let tree = Fdt::new(blob).map_err(|_| broken("its header, or a block, is not valid"))?;
        let root = tree.root();
        self.all_or_none(|map| {
            for node in root.children() {
                let kind = node.property("device_type");
                if kind.is_some_and(|kind| kind.value() == b"memory\0") && is_enabled(&node) {
                    map.add_memory_node(&node, Cells::below(&root))?;
                }
            }
            for reservation in tree.memory_reservations() {
                map.take_len(reservation.address(), reservation.size())?;
            }
            let Some(reserved) = root.child("reserved-memory") else { return Ok(()) };
            reserved.children().try_for_each(|node| map.add_reserved(&node, Cells::below(&reserved)))
        })
    }

    fn add_memory_node(&mut self, node: &FdtNode<'_>, cells: Cells) -> Result<(), MapError> {
        let reg = node.property("reg").ok_or(broken("a memory node has no property `reg`"))?;
        for (start, len) in cells.reg(reg.value())? {
            self.add(PhysAddr::new(start), len, Use::Free)?;
            if let Some(id) = number(node, "numa-node-id") {
                self.assign(PhysAddr::new(start), len, NodeId::new(id))?;
            }
        }
        Ok(())
    }

    /// A reservation; one without a place is for the kernel to find a place for.
    fn add_reserved(&mut self, node: &FdtNode<'_>, cells: Cells) -> Result<(), MapError> {
        let Some(reg) = node.property("reg").filter(|_| is_enabled(node)) else { return Ok(()) };
        let is_mapped = node.property("no-map").is_none();
        cells.reg(reg.value())?.try_for_each(|(start, len)| {
            if is_mapped {
                self.take_len(start, len)
            } else {
                self.add(PhysAddr::new(start), len, Use::Reserved)
            }
        })
    }

    fn take_len(&mut self, start: u64, len: u64) -> Result<(), MapError> {
        let (start, len) = (PhysAddr::new(start), sparsemem_core::ByteLen::new(len));
        let range = sparsemem_core::PhysRange::from_start_count(start, len);
        self.take(range.ok_or(MapError::Wraps { start, len: len.get() })?)
    }
}
