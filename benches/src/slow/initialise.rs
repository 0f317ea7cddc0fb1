//! Initialising descriptors, beside setting the same memory to zero.
//!
//! # Invariants
//!
//! 1. All memory was touched before anything is timed: what the host needs to provide pages is not counted.

use std::ptr::NonNull;
use std::time::Instant;

use sparsemem_core::{Page, PageCount, PfnRange, initialise, initialise_fresh};

use super::models::{Slow, SlowClassic, SlowExtreme, SlowFixed, Stand};
use crate::frames::Random;
use crate::ground::{Mapping, Pages};
use crate::maps::Map;
use crate::measure::Samples;
use crate::models::span;
use crate::result::{Measured, Ratio, Results};

/// The bench; times are per descriptor.
pub const BENCH: &str = "initialise, per descriptor";
/// The memory that is compared with.
pub const MEMSET: &str = "memset";
/// The same with stores that go around the caches.
pub const STREAMED: &str = "memset around the caches";

/// What names of ways end with that write whole descriptors, before anybody uses them (`initialise_fresh`).
pub const FRESH: &str = ", fresh";
/// What names of ways with two threads end with.
pub const TWO: &str = ", two threads";

/// One way to write descriptors.
type Way<'w> = (String, Box<dyn Fn() + 'w>);

/// Measures all models and `memset` in turns on a machine.
pub fn measure(map: &Map, rounds: usize, say: &dyn Fn(&str), results: &mut Results) {
    say(&format!("initialising the descriptors of {}", map.name));
    let (mut classic, mut extreme, mut vmemmap) =
        (Stand::<SlowClassic>::new(map), Stand::<SlowExtreme>::new(map), Stand::<SlowFixed>::new(map));
    classic.boot(map);
    extreme.boot(map);
    vmemmap.boot(map);
    let all = span(&map.memory);
    let descriptors = all.count().get() as f64;
    let bytes = usize::try_from(all.count().get()).unwrap_or(usize::MAX) * size_of::<Page>();
    let plain = Mapping::new(bytes, Pages::Huge);
    let mut ways = Vec::new();
    ways.extend(of_model(&*classic.model, all));
    ways.extend(of_model(&*extreme.model, all));
    ways.extend(of_model(&*vmemmap.model, all));
    let start = Raw(plain.aligned());
    ways.push((MEMSET.to_owned(), Box::new(move || zero(start, bytes))));
    ways.push((format!("{MEMSET}{TWO}"), Box::new(move || zero_in_halves(start, bytes))));
    ways.push((STREAMED.to_owned(), Box::new(move || stream(start, bytes))));
    let samples = alternate(&ways, rounds, descriptors);
    let of = |name: &str| ways.iter().position(|(way, _)| way == name).and_then(|at| samples.get(at));
    for ((name, _), samples) in ways.iter().zip(&samples) {
        results.results.push(Measured::time(BENCH, name, "", &map.name, samples));
        let both = if name.ends_with(TWO) {
            vec![format!("{MEMSET}{TWO}")]
        } else {
            vec![MEMSET.into(), STREAMED.into()]
        };
        for reference in both {
            if let Some(other) = of(&reference).filter(|_| !name.starts_with(MEMSET)) {
                let what = format!("initialise {name} / {reference}, {}", map.name);
                results.ratios.push(Ratio { what, value: samples.ratio_to(other) });
            }
        }
    }
}

/// One thread, and two threads that the caller supplies.
fn of_model<M: Slow>(model: &M, all: PfnRange) -> Vec<Way<'_>> {
    let whole = move |frames: PfnRange| assert_eq!(initialise(model, frames), frames.count());
    let half = PageCount::new(all.count().get() / 2);
    let (lower, upper) = all.split_at(all.start().saturating_add(half));
    // SAFETY: nobody else uses the descriptors; they are not zero after the first time, but whole ones are written.
    let fresh = move |frames| assert_eq!(unsafe { initialise_fresh(model, frames) }, frames.count());
    vec![
        (format!("{}{FRESH}", M::NAME), Box::new(move || fresh(all))),
        (M::NAME.to_owned(), Box::new(move || whole(all))),
        (
            format!("{}{TWO}", M::NAME),
            Box::new(move || {
                std::thread::scope(|scope| {
                    scope.spawn(move || whole(lower));
                    whole(upper);
                });
            }),
        ),
        (
            format!("{}{FRESH}{TWO}", M::NAME),
            Box::new(move || {
                std::thread::scope(|scope| {
                    scope.spawn(move || fresh(lower));
                    fresh(upper);
                });
            }),
        ),
    ]
}

/// Runs every way in turns; times per descriptor.
fn alternate(ways: &[Way<'_>], rounds: usize, descriptors: f64) -> Vec<Samples> {
    // Once untimed, so that all memory is there.
    ways.iter().for_each(|(_, way)| way());
    let mut samples = vec![Vec::new(); ways.len()];
    let (mut order, mut random): (Vec<usize>, _) = ((0..ways.len()).collect(), Random::new());
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for at in &order {
            let started = Instant::now();
            (ways[*at].1)();
            samples[*at].push(started.elapsed().as_secs_f64() * 1e9 / descriptors);
        }
    }
    samples.into_iter().map(Samples).collect()
}

/// Memory that is written by whoever has it.
#[derive(Clone, Copy)]
struct Raw(NonNull<u8>);

// SAFETY: the two halves of the memory are written by one thread each.
unsafe impl Send for Raw {}

/// Zeroes memory as the C library does.
fn zero(start: Raw, bytes: usize) {
    // SAFETY: the memory is a mapping of our own, at least this long, that nobody else uses.
    unsafe { start.0.write_bytes(0, bytes) };
    std::hint::black_box(start.0);
}

/// Zeroes memory with stores that go around the caches.
fn stream(start: Raw, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..bytes).step_by(16) {
        use std::arch::x86_64::{__m128i, _mm_setzero_si128, _mm_stream_si128};
        // SAFETY: a vector of zeros needs nothing.
        let zero = unsafe { _mm_setzero_si128() };
        // SAFETY: as in `zero`.
        let at = unsafe { start.0.add(offset) };
        // SAFETY: as above; the mapping begins on a page and offsets are multiples of 16.
        unsafe { _mm_stream_si128(at.as_ptr().cast::<__m128i>(), zero) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    zero(start, bytes);
}

/// The same by two threads.
fn zero_in_halves(start: Raw, bytes: usize) {
    let half = bytes / 2 / 4096 * 4096;
    // SAFETY: the middle of the memory.
    let upper = Raw(unsafe { start.0.add(half) });
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let upper = upper;
            zero(upper, bytes - half);
        });
        zero(start, half);
    });
}
