//! The heap, for scenarios and stories: the models need none.

use core::cell::UnsafeCell;

use spin::mutex::SpinMutex;
use talc::TalcLock;
use talc::source::Claim;

/// Units: bytes.
const BYTES: usize = 12 << 20;

/// The memory behind it.
struct Memory(UnsafeCell<[u8; BYTES]>);

// SAFETY: only the allocator below touches what is in it, under its lock.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; BYTES]));

#[global_allocator]
static HEAP: TalcLock<SpinMutex<()>, Claim> = {
    // SAFETY: nothing else names these bytes.
    TalcLock::new(unsafe { Claim::array(MEMORY.0.get()) })
};
