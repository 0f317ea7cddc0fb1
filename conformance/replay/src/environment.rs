//! The environments of a replay.

use sparsemem_altmap::WithAltmap;
use sparsemem_core::{Block, ByteLen, PhysRange};
use sparsemem_machine::Machine;

/// An environment of the machine that takes memmaps from an altmap first.
pub(super) type Env<'a, 'w, G> = WithAltmap<'a, 'w, G, Machine>;

/// The bytes of a block.
pub(super) fn bytes_of(block: &Block) -> PhysRange {
    let len = ByteLen::new(block.layout().size() as u64);
    PhysRange::from_start_count(block.phys(), len).unwrap_or_default()
}
