//! The heap, for scenarios and stories: the models need none.
//!
//! # Invariants
//!
//! 1. There is none before [`open`]: an allocation ends the run. So a model that is up before that has used none.

use spin::mutex::SpinMutex;
use talc::TalcLock;
use talc::source::Manual;

use super::frames::FRAMES;
use crate::cpu::direct_map;

/// Units: bytes.
const BYTES: usize = 12 << 20;

#[global_allocator]
static HEAP: TalcLock<SpinMutex<()>, Manual> = TalcLock::new(Manual);

/// There are not as many frames in a row as the heap wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page allocator has no {BYTES:#x} bytes in a row for the heap; give the machine more memory")]
pub(crate) struct NoHeap;

/// Gives frames of the page allocator to the heap, for ever.
///
/// # Errors
///
/// [`NoHeap`].
pub(crate) fn open() -> Result<(), NoHeap> {
    let at = FRAMES.lock().take(BYTES / 4096, 1).ok_or(NoHeap)?;
    let start = direct_map::to_virt(at).ok_or(NoHeap)?;
    // SAFETY: the frames were just given to the heap alone and never go back, and the direct map reaches them.
    unsafe { HEAP.lock().claim(start.as_ptr(), BYTES) }.map(drop).ok_or(NoHeap)
}
