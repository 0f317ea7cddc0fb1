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

/// Threads share counters when there are many: whoever is the last to leave is waited for.
#[test]
fn every_one_of_many_threads_is_waited_for() {
    struct Many;
    const THREADS: usize = 70;
    for last in [0, 13, 31, 50, 69] {
        let (inside, entered) = mpsc::channel();
        let (done, waits) = mpsc::channel();
        thread::scope(|scope| {
            let mut stay: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (stay, left) = mpsc::channel::<()>();
                    let inside = inside.clone();
                    scope.spawn(move || {
                        let _guard = HostRcu::<Many>::enter();
                        inside.send(()).unwrap();
                        // Until the other end is dropped.
                        let _ = left.recv();
                    });
                    // One after the other, so that each has counters of its own as far as they go.
                    entered.recv().unwrap();
                    stay
                })
                .collect();
            scope.spawn(move || {
                HostRcu::<Many>::synchronize();
                done.send(()).unwrap();
            });
            let last = stay.swap_remove(last);
            drop(stay);
            assert!(waits.recv_timeout(MOMENT).is_err(), "the last was not waited for");
            drop(last);
            waits.recv_timeout(PATIENCE).unwrap();
        });
    }
}

#[test]
fn a_stream_of_readers_does_not_hold_it_up() {
    struct Stream;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // There is always one inside: the next comes before the last one goes.
                let mut guard = HostRcu::<Stream>::enter();
                while !stop.load(Ordering::Relaxed) {
                    let next = HostRcu::<Stream>::enter();
                    drop(std::mem::replace(&mut guard, next));
                }
            });
        }
        let (done, waits) = mpsc::channel();
        scope.spawn(move || {
            (0..100).for_each(|_| HostRcu::<Stream>::synchronize());
            done.send(()).unwrap();
        });
        let in_time = waits.recv_timeout(PATIENCE);
        stop.store(true, Ordering::Relaxed);
        in_time.unwrap();
    });
}
