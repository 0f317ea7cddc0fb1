//! Usages in blocks of their own.
//!
//! Linux allocates the usages of a node as one chunk, which it can never give back (U-18, O-73). A block per usage
//! costs some bytes of rounding and goes back with its section.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{ForeignBlock, MetadataMemory, NodeId, SectionLoss, Usage};

use crate::give_back::give_back;

/// A usage without populated subsections, in memory of its own.
pub(crate) fn new_usage<U: Usage, E: MetadataMemory>(
    env: &mut E,
    node: NodeId,
) -> Result<NonNull<U>, SectionLoss> {
    let block = env.alloc_zeroed(Layout::new::<U>(), node).map_err(SectionLoss::Usage)?;
    let usage = block.start().cast::<U>();
    // SAFETY: the block is exclusively owned, and large and aligned enough for a usage.
    unsafe { usage.write(U::new(block.origin())) };
    Ok(usage)
}

/// Gives the memory of a usage back.
///
/// # Errors
///
/// [`ForeignBlock`] if the environment does not know the block; it is lost then.
///
/// # Safety
///
/// `usage` is from [`new_usage`], is in no entry, and no reader holds it.
pub(crate) unsafe fn free_usage<U: Usage, E: MetadataMemory>(
    env: &mut E,
    usage: NonNull<U>,
) -> Result<(), ForeignBlock> {
    // SAFETY: the caller owns the usage.
    let origin = unsafe { usage.as_ref() }.origin();
    // SAFETY: the block is one of its own, with the origin that was written into it.
    unsafe { give_back(env, usage.cast(), Layout::new::<U>(), origin) }
}
