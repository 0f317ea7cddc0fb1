//! What the device tree says of the machine: memory with its nodes, and the command line.
//!
//! Source: Devicetree Specification 0.4, 3.4 (`/memory`) and 3.6 (`/chosen`); Linux
//! `Documentation/devicetree/bindings/numa.txt` (`numa-node-id`).

use arrayvec::ArrayVec;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange};

use crate::direct_map;
use crate::frames::BOOT_RANGES;
use crate::handover::{CommandLine, MapEntry};

/// Where the nodes of memory are described, in words.
pub(crate) const NODES: &str = "the device tree";

/// The first four bytes of every device tree.
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];

/// Why the description of the machine is not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirmwareError {
    /// The address has no device tree.
    #[error("there is no device tree at {at}; boot as `cargo xtask kernel` does, on a board of QEMU")]
    NotThere {
        /// The address.
        at: PhysAddr,
    },
    /// The device tree is broken.
    #[error("the device tree at {at} is broken: {why}; nothing is known for sure of memory and nodes then")]
    Broken {
        /// Its address.
        at: PhysAddr,
        /// The error.
        why: dtoolkit::error::FdtParseError,
    },
    /// A node of memory has no valid ranges.
    #[error("the device tree is broken: `{node}` has a `reg` that is not a list of ranges")]
    Memory {
        /// The name of the node.
        node: &'static str,
    },
    /// There are more ranges than fit in an array without a heap.
    #[error(
        "the device tree has more than {BOOT_RANGES} ranges of memory, for which this kernel has no room"
    )]
    TooMany,
}

/// The description of the machine.
#[derive(Debug)]
pub(crate) struct Firmware {
    memory: ArrayVec<(PhysRange, Option<NodeId>), BOOT_RANGES>,
    line: CommandLine,
    place: PhysRange,
}

impl Firmware {
    /// Reads the device tree at an address.
    ///
    /// # Errors
    ///
    /// [`FirmwareError`].
    pub(crate) fn read(at: PhysAddr) -> Result<Self, FirmwareError> {
        let tree = tree(at)?;
        let place = PhysRange::from_start_count(at, ByteLen::new(tree.data().len() as u64));
        let mut memory = ArrayVec::new();
        let is_memory =
            |node: &FdtNode<'_>| node.property("device_type").is_some_and(|kind| kind.value() == b"memory\0");
        for node in tree.root().children().filter(is_memory) {
            let nr = node.property("numa-node-id").and_then(|nr| nr.value_as::<u32>().ok()).map(NodeId::new);
            for range in ranges(node)? {
                memory.try_push((range?, nr)).map_err(|_| FirmwareError::TooMany)?;
            }
        }
        Ok(Self { memory, line: line(tree), place: place.unwrap_or_default() })
    }

    /// The command line; empty if there is none, or if it is not valid text.
    pub(crate) const fn command_line(&self) -> CommandLine {
        self.line
    }

    /// The memory map.
    pub(crate) fn memory_map(&self) -> impl Iterator<Item = MapEntry> + Clone {
        self.memory.iter().map(|(range, _)| MapEntry { range: *range, is_ram: true })
    }

    /// The part of RAM that holds the description itself, and the command line in it.
    pub(crate) const fn place(&self) -> PhysRange {
        self.place
    }

    /// Reports the node of each range for which there is one.
    ///
    /// # Errors
    ///
    /// None: [`Firmware::read`] has checked the tree.
    #[allow(clippy::unnecessary_wraps, reason = "other firmware is read here")]
    pub(crate) fn nodes(&self, report: &mut dyn FnMut(PhysRange, NodeId)) -> Result<(), FirmwareError> {
        self.memory.iter().filter_map(|(range, node)| Some((*range, (*node)?))).for_each(|(range, node)| {
            report(range, node);
        });
        Ok(())
    }

    /// Persistent memory, of which the boards' device trees say nothing.
    ///
    /// # Errors
    ///
    /// None.
    #[allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "other firmware is read here")]
    pub(crate) const fn persistent(&self) -> Result<Option<(PhysRange, NodeId)>, FirmwareError> {
        Ok(None)
    }
}

/// The tree at an address.
fn tree(at: PhysAddr) -> Result<Fdt<'static>, FirmwareError> {
    let start = direct_map::to_virt(at).ok_or(FirmwareError::NotThere { at })?;
    // SAFETY: the board's RAM has more than four bytes there, which entry code has mapped and nobody changes.
    let magic = unsafe { start.cast::<[u8; 4]>().read() };
    if magic != MAGIC {
        return Err(FirmwareError::NotThere { at });
    }
    // SAFETY: QEMU has put a device tree there, with its true length, into RAM that entry code has mapped and nobody
    // changes: the page allocator never gets it (`place`).
    unsafe { Fdt::from_raw(start.as_ptr()) }.map_err(|why| FirmwareError::Broken { at, why })
}

/// The ranges of a node.
fn ranges(
    node: FdtNode<'static>,
) -> Result<impl Iterator<Item = Result<PhysRange, FirmwareError>>, FirmwareError> {
    let broken = move || FirmwareError::Memory { node: node.name() };
    let regs = node.reg().map_err(|_| broken())?.ok_or_else(broken)?;
    Ok(regs.map(move |reg| {
        let (start, len) = (reg.address().map_err(|_| broken())?, reg.size().map_err(|_| broken())?);
        PhysRange::from_start_count(PhysAddr::new(start), ByteLen::new(len)).ok_or_else(broken)
    }))
}

/// The command line of a tree.
fn line(tree: Fdt<'static>) -> CommandLine {
    let line = tree.find_node("/chosen").and_then(|chosen| {
        let property = chosen.property("bootargs")?;
        // The bytes live as long as the tree, the property does not.
        let offset = property.value().as_ptr().addr().checked_sub(tree.data().as_ptr().addr())?;
        core::ffi::CStr::from_bytes_until_nul(tree.data().get(offset..)?).ok()?.to_str().ok()
    });
    CommandLine::new(line.unwrap_or(""))
}
