//! Readers and a writer, in every order that the memory model allows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use sparsemem_core::{MemoryModel, NodeId, PageCount, Pfn, PfnRange, Reclaim};

use super::ledger::{self, Ledger};
use super::{DomainOf, Subject};

/// Frames of a subsection, of a section and of a root of the geometry.
pub(crate) const SUBSECTION: u64 = 2;
pub(crate) const SECTION: u64 = 4;
pub(crate) const ROOT: u64 = 16;

pub(crate) fn frames(start: u64, count: u64) -> PfnRange {
    PfnRange::from_start_count(Pfn::new(start), PageCount::new(count)).unwrap()
}

/// Explores every execution with a bounded number of preemptions, and prints how many there were.
pub(crate) fn explore(test: impl Fn() + Send + Sync + 'static) {
    let preemptions = std::env::var("SPARSEMEM_LOOM_PREEMPTIONS").ok().and_then(|bound| bound.parse().ok());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions.unwrap_or(3));
    let executions = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&executions);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        test();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

/// Explores a broken variant, which must fail, and fail with these words.
pub(crate) fn is_caught(words: &str, test: impl Fn() + Send + Sync + 'static) -> bool {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| explore(test))) else { return false };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(text.contains(words), "failed by itself: {text}");
    true
}

/// Looks frames up under one guard; what is found has to be live for as long as the guard is held.
pub(crate) fn look<S: Subject>(model: &S::Model, frames: &[u64]) -> Vec<bool> {
    let guard = DomainOf::<S>::enter();
    let found: Vec<_> = frames.iter().map(|pfn| model.lookup_with(Pfn::new(*pfn), &guard)).collect();
    // A point at which the writer may run.
    thread::yield_now();
    for page in found.iter().flatten() {
        ledger::assert_live(page.as_ptr().addr());
    }
    found.iter().map(Option::is_some).collect()
}

/// A model with what `ready` makes of it, read by one thread while `write` changes it.
pub(crate) fn race<S: Subject>(
    ready: impl Fn(&S::Model, &mut S::Env),
    read: impl Fn(&S::Model) + Send + Sync + Copy + 'static,
    write: impl Fn(&S::Model, &mut S::Env),
) {
    race_of::<S>(1, ready, read, write);
}

/// The same with several readers.
pub(crate) fn race_of<S: Subject>(
    readers: usize,
    ready: impl Fn(&S::Model, &mut S::Env),
    read: impl Fn(&S::Model) + Send + Sync + Copy + 'static,
    write: impl Fn(&S::Model, &mut S::Env),
) {
    let _ledger = Ledger::open();
    let (model, mut env) = (Arc::new(S::model()), S::env());
    ready(&model, &mut env);
    let readers: Vec<_> = (0..readers)
        .map(|_| {
            let shared = Arc::clone(&model);
            thread::spawn(move || read(&shared))
        })
        .collect();
    write(&model, &mut env);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

pub(crate) fn nothing<S: Subject>() -> impl Fn(&S::Model, &mut S::Env) {
    |_, _| {}
}

pub(crate) fn install<S: Subject>(start: u64, count: u64) -> impl Fn(&S::Model, &mut S::Env) {
    move |model, env| model.write().unwrap().install(env, frames(start, count), NodeId::new(0)).unwrap()
}

pub(crate) fn retire<S: Subject>(start: u64, count: u64) -> impl Fn(&S::Model, &mut S::Env) {
    move |model, env| {
        let retired = model.write().unwrap().retire(env, frames(start, count)).unwrap();
        assert!(retired.lost.is_empty(), "{retired:?}");
    }
}
