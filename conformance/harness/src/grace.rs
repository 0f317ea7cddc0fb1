//! A check of a grace period: it has to wait for readers that are inside, and only for them.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use sparsemem_core::GracePeriod;
use sparsemem_suite::{Failure, Place};

/// The time in which a grace period must not end while a reader is inside.
const HELD: Duration = Duration::from_millis(50);
/// The time in which it has to end without one.
const SOON: Duration = Duration::from_secs(10);

/// Holds a domain of readers to [`GracePeriod::synchronize`]'s contract: it returns only after the guards that existed
/// when it was called are gone, and it returns then.
///
/// # Errors
///
/// [`Failure`], with the clause that was broken.
///
/// ```
/// enum Readers {}
///
/// sparsemem_harness::check_grace_period::<sparsemem_harness::HostRcu<Readers>>()?;
/// # Ok::<(), sparsemem_harness::Failure>(())
/// ```
pub fn check_grace_period<R: GracePeriod>() -> Result<(), Failure> {
    let (inside, is_inside) = channel();
    let (leave, may_leave) = channel::<()>();
    let reader = thread::spawn(move || {
        let guard = R::enter();
        let _ = inside.send(());
        // An error means that the check is over: then the reader leaves, too.
        let _ = may_leave.recv();
        drop(guard);
    });
    let waits = is_inside.recv().map_err(|_| failure("a reader inside", "a reader that unwound"));
    let ended = synchronize::<R>();
    let early = ended.recv_timeout(HELD);
    drop(leave);
    let late = if early.is_ok() { Ok(()) } else { ended.recv_timeout(SOON) };
    let _ = reader.join();
    waits?;
    if early != Err(RecvTimeoutError::Timeout) {
        return Err(failure("a wait for the guard that exists", "a return while the guard exists"));
    }
    late.map_err(|_| failure("a return after the last guard is gone", "a wait without end"))
}

/// Waits for readers on a thread of its own, which says when it is done.
fn synchronize<R: GracePeriod>() -> Receiver<()> {
    let (done, is_done) = channel();
    thread::spawn(move || {
        R::synchronize();
        let _ = done.send(());
    });
    is_done
}

fn failure(expected: &str, found: &str) -> Failure {
    Failure::new(Place::Model, "GracePeriod::synchronize, its safety section", expected, found)
}
