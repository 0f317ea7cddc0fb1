//! Reads the command line and the processors out of the device tree. `sparsemem-boot-maps` reads memory and nodes.
//!
//! Source: Devicetree Specification 0.4, 3.6 (`/chosen`), 3.8 (`/cpus`).

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use sparsemem::{ByteLen, NodeId, PhysAddr, PhysRange};
use sparsemem_boot_maps::{BootMap, MapError};

use super::firmware_call;
use crate::direct_map;
use crate::handover::CommandLine;
use crate::processors::HardwareId;

/// The source of the nodes of memory, in words.
pub(crate) const NODES: &str = "the device tree";

/// The first four bytes of every device tree.
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];

/// The reason why the description of the machine is not valid.
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
    /// The tree's memory is not valid, or there are too many ranges.
    #[error("firmware: {0}; nothing is known for sure of memory and nodes then")]
    Map(#[from] MapError),
}

/// The description of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Firmware {
    tree: Fdt<'static>,
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
        Ok(Self { tree, line: line(tree), place: place.unwrap_or_default() })
    }

    /// The command line; empty if there is none, or if it is not valid text.
    pub(crate) const fn command_line(&self) -> CommandLine {
        self.line
    }

    /// Adds memory with its nodes, and what the firmware keeps of it.
    ///
    /// # Errors
    ///
    /// [`FirmwareError::Map`].
    pub(crate) fn add_to(&self, map: &mut BootMap<'_>) -> Result<(), FirmwareError> {
        map.add_device_tree(self.tree.data()).map_err(Into::into)
    }

    /// The part of RAM that holds the description itself, and the command line in it.
    pub(crate) const fn place(&self) -> PhysRange {
        self.place
    }

    /// Processors that can be used.
    ///
    /// # Errors
    ///
    /// None: a tree without processors has those that the kernel runs on.
    #[allow(clippy::unnecessary_wraps, reason = "other firmware is read here")]
    pub(crate) fn processors(&self, report: &mut dyn FnMut(HardwareId)) -> Result<(), FirmwareError> {
        firmware_call::learn(self.tree);
        let nodes = self.tree.find_node("/cpus").into_iter().flat_map(|cpus| cpus.children());
        for reg in nodes.filter(is_processor).filter_map(|node| node.property("reg")) {
            let number = reg.value().iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            report(HardwareId::new(number));
        }
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

/// True if a node is a processor that is in use.
fn is_processor(node: &FdtNode<'_>) -> bool {
    let is = |name: &str, value: &[u8]| node.property(name).map(|property| property.value() == value);
    is("device_type", b"cpu\0") == Some(true) && is("status", b"okay\0") != Some(false)
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
