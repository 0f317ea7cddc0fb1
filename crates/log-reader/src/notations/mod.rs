//! The notations, and the order in which a line is offered to them.

mod device_tree;
mod e820;
mod efi;
pub(crate) mod iomem;
mod memory_blocks;
pub(crate) mod registered;
mod srat;

use crate::statement::Reader;

/// The readers, in the order in which a line is offered to them.
pub(crate) const READERS: [Reader; 14] = [
    e820::frame,
    e820::entry,
    e820::edit,
    srat::affinity,
    srat::rejection,
    srat::merged,
    srat::without_firmware,
    efi::entry,
    registered::early_range,
    device_tree::reservation,
    memory_blocks::block_size,
    memory_blocks::of_node,
    iomem::row,
    registered::allocator_range,
];
