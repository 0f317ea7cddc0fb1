//! Giving memory back that was written down as a bare pointer.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{Block, ForeignBlock, MetadataMemory, Origin};

/// Makes a block of its parts again and gives it back to its provider.
///
/// # Errors
///
/// [`ForeignBlock`] if the provider does not know the block; it is lost then.
///
/// # Safety
///
/// `start`, `layout` and `origin` must be those of a block that was taken apart and of which nobody else knows.
pub unsafe fn give_back<E: MetadataMemory>(
    env: &mut E,
    start: NonNull<u8>,
    layout: Layout,
    origin: Origin,
) -> Result<(), ForeignBlock> {
    let phys = env.virt_to_phys(start).ok_or_else(|| ForeignBlock::new(start, layout, origin))?;
    // SAFETY: the caller's promise, and `phys` is what the provider's own map says of `start`.
    let block = unsafe { Block::from_parts(start, phys, layout, origin) };
    env.free(block).map_err(|rejected| rejected.error)
}
