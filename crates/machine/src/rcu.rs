//! A reclaim domain for programs with an operating system: correctness before speed.
//!
//! # Invariants
//!
//! 1. `active` counts, per phase, the guards that were made in it and are not gone.
//! 2. The phase only grows, and every synchronize makes it grow: guards made after the call count in a later phase.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use sparsemem_core::{GracePeriod, Reclaim};

/// A domain of readers. Each `Tag` makes an independent one; the type is the domain, and there is no value of it.
///
/// Entering takes a lock for a few instructions and never waits for a grace period. Readers may nest. A synchronize
/// waits for the guards that existed when it was called and for no others, so a stream of readers cannot hold it up.
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
    domain: &'static Domain,
    phase: u64,
    tag: PhantomData<fn() -> Tag>,
}

/// Readers and phases of one domain.
#[derive(Default)]
struct Domain {
    readers: Mutex<Readers>,
    left: Condvar,
}

#[derive(Default)]
struct Readers {
    phase: u64,
    active: BTreeMap<u64, u64>,
}

/// Every domain that was ever used. They are never freed: there is one per type.
static DOMAINS: LazyLock<Mutex<HashMap<TypeId, &'static Domain>>> = LazyLock::new(Mutex::default);

thread_local! {
    /// The domains that this thread has used; a handful.
    static KNOWN: RefCell<Vec<(TypeId, &'static Domain)>> = const { RefCell::new(Vec::new()) };
}

/// Takes a lock. The state under it is never left half changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Domain {
    /// The domain of a tag.
    fn of<Tag: 'static>() -> &'static Self {
        let tag = TypeId::of::<Tag>();
        let known = |known: &RefCell<Vec<_>>| Self::known(&mut known.borrow_mut(), tag);
        // A thread that is ending has lost its list; the registry still answers.
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

    /// Counts a reader in; the answer is the phase that it counts in.
    fn enter(&self) -> u64 {
        let mut readers = lock(&self.readers);
        let phase = readers.phase;
        *readers.active.entry(phase).or_default() += 1;
        phase
    }

    /// Counts a reader out.
    fn leave(&self, phase: u64) {
        let mut readers = lock(&self.readers);
        let Some(count) = readers.active.get_mut(&phase) else { return };
        *count -= 1;
        if *count == 0 {
            readers.active.remove(&phase);
            self.left.notify_all();
        }
    }

    /// Waits for every reader of this and earlier phases.
    fn synchronize(&self) {
        let mut readers = lock(&self.readers);
        let mine = readers.phase;
        readers.phase += 1;
        while readers.active.range(..=mine).next().is_some() {
            readers = self.left.wait(readers).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

// SAFETY: (1) `enter` counts the guard in the phase of the moment; (2) a synchronize that starts later waits for that
// phase and all before it (invariant 2); (3) only dropping the guard counts it out. A guard that is forgotten counts
// for ever, so synchronize waits for ever, which is safe.
unsafe impl<Tag: 'static> Reclaim for HostRcu<Tag> {
    type Guard = HostGuard<Tag>;

    fn enter() -> Self::Guard {
        let domain = Domain::of::<Tag>();
        HostGuard { domain, phase: domain.enter(), tag: PhantomData }
    }
}

// SAFETY: (1) as above, it returns only when no guard of its phase or an earlier one is left; (2) a reader's last act
// is to release the lock that synchronize takes before it returns, so what the reader did happens before.
unsafe impl<Tag: 'static> GracePeriod for HostRcu<Tag> {
    fn synchronize() {
        Domain::of::<Tag>().synchronize();
    }
}

impl<Tag: 'static> Drop for HostGuard<Tag> {
    fn drop(&mut self) {
        self.domain.leave(self.phase);
    }
}

impl<Tag: 'static> fmt::Debug for HostGuard<Tag> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostGuard").field("phase", &self.phase).finish_non_exhaustive()
    }
}
