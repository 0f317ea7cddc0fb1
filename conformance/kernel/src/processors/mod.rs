//! Several processors: starts them, gives them work, and passes on what interrupts them.
//!
//! # Invariants
//!
//! 1. A processor is in [`ONLINE`] from its arrival on, and never leaves. Whoever changes page tables waits for the
//!    acknowledgement of all of these ([`flush`]).
//! 2. Work is lent only while [`together`] runs: it returns after every processor has returned from it.
//! 3. Nothing moves from one processor to another: this kernel has no scheduler.

pub(crate) mod flush;
mod numbers;

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::{Mutex, Once};

pub(crate) use numbers::{HardwareId, MOST, Processor, StartError};

use crate::arch::{processors as own, trap};
use crate::direct_map;
use crate::frames::FRAMES;

/// A bit for each processor that has arrived; the first one is always there.
static ONLINE: AtomicU64 = AtomicU64::new(1);

/// Frames of a processor's stack, with that of traps.
const STACK_FRAMES: usize = 24;
/// Bytes of a frame.
const FRAME: usize = 4096;

/// The processors that have arrived, as bits.
pub(crate) fn online() -> u64 {
    // Acquire: pairs with the Release of `arrived`.
    ONLINE.load(Ordering::Acquire)
}

/// True once a processor has arrived.
pub(crate) fn is_online(processor: Processor) -> bool {
    online() & processor.bit() != 0
}

/// The bits of all processors except the calling one.
pub(crate) fn others() -> u64 {
    online() & !own::this().bit()
}

/// Starts the processors that firmware reports, except the calling one, which has to be the first. Each gets a stack of
/// the page allocator, for ever. Returns how many processors there are then.
///
/// # Errors
///
/// [`StartError`] for the first one that cannot be started.
pub(crate) fn start_others(reported: &[HardwareId]) -> Result<u32, StartError> {
    own::take_interrupts();
    let here = own::hardware_id();
    let others = reported.iter().filter(|id| **id != here);
    for (nr, hardware) in (1..MOST).zip(others) {
        let processor = Processor::new(nr);
        let at = FRAMES.lock().take(STACK_FRAMES, 1).and_then(direct_map::to_virt);
        let stack = at.ok_or(StartError::NoStack { processor })?;
        // SAFETY: the frames were taken as one block of this length, so its end is in the same block.
        let end = unsafe { stack.add(STACK_FRAMES * FRAME) };
        // SAFETY: the frames are the processor's alone, and the loop starts one processor after the other.
        unsafe { own::start(processor, *hardware, end) }?;
    }
    Ok(online().count_ones())
}

/// The function that entry code of a processor calls, with its number.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(nr: usize) -> ! {
    let processor = Processor::new(nr);
    trap::install(processor);
    own::take_interrupts();
    // Release: pairs with the Acquire of `online`: whoever sees the processor may interrupt it.
    ONLINE.fetch_or(processor.bit(), Ordering::Release);
    let mut seen = 0;
    loop {
        // Acquire: pairs with the Release of `together`.
        while GENERATION.load(Ordering::Acquire) == seen {
            spin_loop();
        }
        seen += 1;
        let work = *WORK.lock();
        work.into_iter().for_each(|work| work(processor));
        // Release: pairs with the Acquire of `together`, so that it sees what the work did.
        DONE.fetch_add(1, Ordering::Release);
    }
}

/// The work of the other processors.
type Work = &'static (dyn Fn(Processor) + Sync);

/// The work that is lent to the other processors.
static WORK: Mutex<Option<Work>> = Mutex::new(None);
/// The number of times that work was lent.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The number of processors that are done with the work.
static DONE: AtomicU64 = AtomicU64::new(0);

/// Lets every other processor do some work while the calling one, the first, does something of its own; returns when all
/// are done.
pub(crate) fn together<T>(work: &(dyn Fn(Processor) + Sync), own: impl FnOnce() -> T) -> T {
    let processors = u64::from(others().count_ones());
    // SAFETY: only the lifetime changes. This function returns only after every processor has returned from the work, and
    // nothing unwinds in this kernel, so nobody has the reference after its lifetime.
    *WORK.lock() = Some(unsafe { core::mem::transmute::<&(dyn Fn(Processor) + Sync), Work>(work) });
    DONE.store(0, Ordering::Relaxed);
    // Release: pairs with the Acquire of `secondary_main`, also for the two stores above.
    GENERATION.fetch_add(1, Ordering::Release);
    let result = own();
    // Acquire: pairs with the Release of `secondary_main`.
    while DONE.load(Ordering::Acquire) < processors {
        spin_loop();
    }
    *WORK.lock() = None;
    result
}

/// The causes for which the code of a processor is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The timer.
    Timer,
    /// A page fault that was expected.
    Fault,
}

/// The function that is called then.
static HOOK: Once<fn(Interruption)> = Once::new();

/// Has a function called, in the handler, whenever the timer or an expected page fault interrupts a processor. Only the
/// first such function counts.
pub(crate) fn on_interruption(hook: fn(Interruption)) {
    HOOK.call_once(|| hook);
}

/// Called by the handlers.
pub(crate) fn interrupted(by: Interruption) {
    HOOK.get().into_iter().for_each(|hook| hook(by));
}
