//! The reclaim domain: who waits for whom.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sparsemem_core::{GracePeriod, Reclaim};
use sparsemem_machine::HostRcu;

/// Long enough to see that somebody waits.
const MOMENT: Duration = Duration::from_millis(50);
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn synchronize_waits_for_the_outermost_guard_of_a_nest() {
    struct Nest;
    let (done, waits) = mpsc::channel();
    let outer = HostRcu::<Nest>::enter();
    let inner = HostRcu::<Nest>::enter();
    let writer = thread::spawn(move || {
        HostRcu::<Nest>::synchronize();
        done.send(()).unwrap();
    });
    assert!(waits.recv_timeout(MOMENT).is_err());
    drop(outer);
    assert!(waits.recv_timeout(MOMENT).is_err());
    drop(inner);
    waits.recv_timeout(PATIENCE).unwrap();
    writer.join().unwrap();
}

#[test]
fn readers_that_come_later_are_not_waited_for() {
    struct Late;
    let (done, waits) = mpsc::channel();
    let early = HostRcu::<Late>::enter();
    let writer = thread::spawn(move || {
        HostRcu::<Late>::synchronize();
        done.send(()).unwrap();
    });
    assert!(waits.recv_timeout(MOMENT).is_err());
    let late = HostRcu::<Late>::enter();
    drop(early);
    waits.recv_timeout(PATIENCE).unwrap();
    drop(late);
    writer.join().unwrap();
}

#[test]
fn domains_are_independent() {
    struct One;
    struct Two;
    let _guard = HostRcu::<One>::enter();
    HostRcu::<Two>::synchronize();
}

#[test]
fn a_guard_may_leave_on_another_thread() {
    struct Moved;
    let guard = HostRcu::<Moved>::enter();
    thread::spawn(move || drop(guard)).join().unwrap();
    HostRcu::<Moved>::synchronize();
}

#[test]
fn what_a_reader_found_lives_while_it_reads() {
    struct Stress;
    const POISON: u64 = u64::MAX;
    let shared = AtomicPtr::new(Box::into_raw(Box::new(AtomicU64::new(0))));
    let stop = AtomicBool::new(false);
    let read = || {
        while !stop.load(Ordering::Relaxed) {
            let _guard = HostRcu::<Stress>::enter();
            // SAFETY: the writer frees a value only after a grace period that began after it was replaced.
            let value = unsafe { &*shared.load(Ordering::Acquire) };
            for _ in 0..100 {
                assert_ne!(value.load(Ordering::Relaxed), POISON);
            }
        }
    };
    let write = || {
        for round in 1..2000 {
            let fresh = Box::into_raw(Box::new(AtomicU64::new(round)));
            let old = shared.swap(fresh, Ordering::AcqRel);
            HostRcu::<Stress>::synchronize();
            // SAFETY: made by `Box::into_raw`, and no reader that could have found it is left.
            let old = unsafe { Box::from_raw(old) };
            old.store(POISON, Ordering::Relaxed);
        }
        stop.store(true, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        scope.spawn(read);
        scope.spawn(read);
        scope.spawn(write);
    });
    // SAFETY: the last value, and all threads are gone.
    drop(unsafe { Box::from_raw(shared.into_inner()) });
}
