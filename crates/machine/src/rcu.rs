//! A reclaim domain for programs with an operating system.
//!
//! Readers count themselves in and out. Each thread has its own counter as long as there are enough, so that readers
//! do not wait for each other. There are two sets of counters, and a phase that selects the one that new readers use.
//! A synchronize changes the phase, so that a stream of new readers cannot delay it (the algorithm of Linux' `srcu`,
//! as its documentation describes it).
//!
//! # Invariants
//!
//! 1. A guard is counted in exactly one counter from its creation to its end.
//! 2. One synchronize of a domain runs at a time. When it begins, the counters that new readers do not use are zero,
//!    except for readers that loaded the phase before its last change and counted themselves later.
//! 3. **Store, fence, load on both sides.** A reader counts itself before it loads any pointer; a writer removes
//!    pointers before it synchronizes, which loads the counters. So either the synchronize sees the reader, or the
//!    reader does not see the removed pointers.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
// Not those of `sparsemem_core::primitive`: a model checker brings a domain of its own.
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use sparsemem_core::{GracePeriod, Reclaim};

/// Counters per phase. If there are more threads, they share counters.
const SHARDS: usize = 32;
/// The number of times that a synchronize loads a counter before it sleeps between loads.
const LOOKS: u32 = 64;
/// The time that a synchronize sleeps between loads.
const NAP: Duration = Duration::from_micros(50);

/// A domain of readers. Each `Tag` makes an independent one; the type is the domain, and there is no value of it.
///
/// Entering is one addition and a barrier, and never waits. Readers may nest. A synchronize waits for the guards that
/// existed when it was called; later readers do not delay it. It waits by loading the counters repeatedly.
///
/// ```
/// use sparsemem_core::{GracePeriod, Reclaim};
/// use sparsemem_machine::HostRcu;
///
/// struct Mine;
/// let guard = HostRcu::<Mine>::enter();
/// drop(guard);
/// HostRcu::<Mine>::synchronize();
/// ```
pub struct HostRcu<Tag: 'static> {
    tag: PhantomData<fn() -> Tag>,
}

/// Proof that a reader is inside its domain.
#[must_use = "the reader leaves when the guard is dropped"]
pub struct HostGuard<Tag: 'static> {
    counter: &'static AtomicU64,
    tag: PhantomData<fn() -> Tag>,
}

/// The counters of some threads: one per phase, in a cache line that no other threads use.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    phases: [AtomicU64; 2],
}

/// Readers and phases of one domain.
#[derive(Default)]
struct Domain {
    /// The lowest bit selects the counters that new readers use.
    phase: AtomicUsize,
    shards: [Shard; SHARDS],
    /// Held by the thread that synchronizes.
    waiting: Mutex<()>,
}

/// Every domain that was ever used. They are never freed: there is one per type.
static DOMAINS: LazyLock<Mutex<HashMap<TypeId, &'static Domain>>> = LazyLock::new(Mutex::default);

/// The number of threads that have requested a shard.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The index of the counters that this thread uses.
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    /// The domains that this thread has used; there are few.
    static KNOWN: RefCell<Vec<(TypeId, &'static Domain)>> = const { RefCell::new(Vec::new()) };
}

/// Takes a lock. The state under it is consistent at all times, so a panic of another thread does not invalidate it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Domain {
    /// The domain of a tag.
    fn of<Tag: 'static>() -> &'static Self {
        let tag = TypeId::of::<Tag>();
        let known = |known: &RefCell<Vec<_>>| Self::known(&mut known.borrow_mut(), tag);
        // A thread that is ending has lost its list; the registry still has the domain.
        KNOWN.try_with(known).unwrap_or_else(|_| Self::registered(tag))
    }

    fn known(known: &mut Vec<(TypeId, &'static Self)>, tag: TypeId) -> &'static Self {
        if let Some((_, domain)) = known.iter().find(|(of, _)| *of == tag) {
            return domain;
        }
        let domain = Self::registered(tag);
        known.push((tag, domain));
        domain
    }

    fn registered(tag: TypeId) -> &'static Self {
        lock(&DOMAINS).entry(tag).or_insert_with(|| Box::leak(Box::default()))
    }

    /// Counts a reader in, and returns the counter that it counts in.
    fn enter(&'static self) -> &'static AtomicU64 {
        let shard = self.shards.get(shard()).unwrap_or(&self.shards[0]);
        // Relaxed: a previous phase is correct too; only a synchronize may wait longer (invariant 2).
        let [even, odd] = &shard.phases;
        let counter = if self.phase.load(Ordering::Relaxed).is_multiple_of(2) { even } else { odd };
        // Relaxed: the fence orders it.
        counter.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `wait_for`: either the synchronize sees the count there, or this reader does not
        // see the removed pointers.
        fence(Ordering::SeqCst);
        counter
    }

    /// Waits for every reader of this and earlier phases.
    fn synchronize(&self) {
        let _alone = lock(&self.waiting);
        // Relaxed: only the thread that holds the lock changes it.
        let phase = self.phase.load(Ordering::Relaxed);
        // Readers that counted themselves late in the previous phase.
        self.wait_for(phase.wrapping_add(1));
        // Relaxed: a reader that loads the old phase is waited for below, or counts itself late, and then the next
        // synchronize waits for it.
        self.phase.store(phase.wrapping_add(1), Ordering::Relaxed);
        self.wait_for(phase);
    }

    /// Waits until each counter of a phase was zero once.
    fn wait_for(&self, phase: usize) {
        // Pairs with the fence in `enter`.
        fence(Ordering::SeqCst);
        for Shard { phases: [even, odd] } in &self.shards {
            let counter = if phase.is_multiple_of(2) { even } else { odd };
            let mut looks = 0;
            // Acquire: pairs with the Release in `drop`, so that the readers' accesses happen before.
            while counter.load(Ordering::Acquire) != 0 {
                looks += 1;
                if looks < LOOKS { thread::yield_now() } else { thread::sleep(NAP) }
            }
        }
    }
}

/// The index of the counters that this thread uses.
fn shard() -> usize {
    let of = |shard: &Cell<Option<usize>>| {
        // Relaxed: any number is correct.
        let mine = shard.get().unwrap_or_else(|| THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS);
        shard.set(Some(mine));
        mine
    };
    // A thread that is ending may have lost its index.
    SHARD.try_with(of).unwrap_or(0)
}

// SAFETY: (1) `enter` counts the guard, in either phase; (2) a synchronize that starts later loads every counter of
// both phases after it started, and continues only when it was zero; (3) only dropping the guard counts it out. A
// guard that is forgotten counts for ever, so synchronize waits for ever, which is safe.
unsafe impl<Tag: 'static> Reclaim for HostRcu<Tag> {
    type Guard = HostGuard<Tag>;

    fn enter() -> Self::Guard {
        HostGuard { counter: Domain::of::<Tag>().enter(), tag: PhantomData }
    }
}

// SAFETY: (1) as above, it returns only when every guard that existed when it was called is gone; (2) a reader's last
// act is a Release on its counter, which all later additions continue and which is loaded with Acquire here, so the
// reader's accesses happen before; (3) a guard that was not seen was counted after the fence of `wait_for`, so its
// reader sees everything that happened before the call (invariant 3).
unsafe impl<Tag: 'static> GracePeriod for HostRcu<Tag> {
    fn synchronize() {
        Domain::of::<Tag>().synchronize();
    }
}

impl<Tag: 'static> Drop for HostGuard<Tag> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `wait_for`.
        self.counter.fetch_sub(1, Ordering::Release);
    }
}

impl<Tag: 'static> fmt::Debug for HostGuard<Tag> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostGuard").finish_non_exhaustive()
    }
}
