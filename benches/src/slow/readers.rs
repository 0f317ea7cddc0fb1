//! Readers while another thread plugs and unplugs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sparsemem_core::{NodeId, Pfn};

use super::models::{Slow, SlowClassic, SlowExtreme, SlowFixed, Stand};
use super::operations::free_section;
use crate::frames::Pattern;
use crate::maps::Map;
use crate::measure::Samples;
use crate::result::{Measured, Ratio, Results};

/// The bench; times are per lookup.
pub const BENCH: &str = "reader";
/// While nobody changes anything.
pub const ALONE: &str = "alone";
/// While a section comes and goes as fast as it can.
pub const DISTURBED: &str = "while a section comes and goes";
/// The bench of the writer meanwhile; times are per add and remove.
pub const WRITER: &str = "add and remove, beside a reader";

/// Lookups under one guard.
const UNDER_A_GUARD: usize = 64;

/// Measures every model on a machine.
pub fn measure(map: &Map, rounds: usize, window: Duration, say: &dyn Fn(&str), results: &mut Results) {
    say("readers beside a writer");
    on::<SlowClassic>(map, rounds, window, results);
    on::<SlowExtreme>(map, rounds, window, results);
    on::<SlowFixed>(map, rounds, window, results);
}

fn on<M: Slow>(map: &Map, rounds: usize, window: Duration, results: &mut Results) {
    let mut stand = Stand::<M>::new(map);
    stand.boot(map);
    let frames = Pattern::Random.list(&map.memory);
    let (model, ground) = (&*stand.model, &mut stand.ground);
    let (mut alone, mut disturbed, mut writer) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..rounds {
        alone.0.push(read(model, &frames, window));
        let (stop, pairs) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            // Relaxed, all: only flags and counts between threads that are joined.
            scope.spawn(|| {
                let mut writer = model.write().expect("nobody else changes the model");
                while !stop.load(Ordering::Relaxed) {
                    writer.install(ground, free_section(), NodeId::new(0)).expect("there is memory");
                    let retired = writer.retire(ground, free_section()).expect("it was just added");
                    assert!(retired.lost.is_empty());
                    pairs.fetch_add(1, Ordering::Relaxed);
                }
            });
            disturbed.0.push(read(model, &frames, window));
            stop.store(true, Ordering::Relaxed);
        });
        let done = pairs.load(Ordering::Relaxed).max(1) as f64;
        writer.0.push(window.as_secs_f64() * 1e9 / done);
    }
    results.results.push(Measured::time(BENCH, M::NAME, ALONE, &map.name, &alone));
    results.results.push(Measured::time(BENCH, M::NAME, DISTURBED, &map.name, &disturbed));
    results.results.push(Measured::time(WRITER, M::NAME, "", &map.name, &writer));
    let what = format!("reader {} {DISTURBED} / {ALONE}, {}", M::NAME, map.name);
    results.ratios.push(Ratio { what, value: disturbed.ratio_to(&alone) });
}

/// Looks frames up for a while, under short guards; time per lookup.
fn read<M: Slow>(model: &M, frames: &[Pfn], window: Duration) -> f64 {
    let (started, mut lookups) = (Instant::now(), 0_u64);
    while started.elapsed() < window {
        for some in frames.chunks(UNDER_A_GUARD) {
            let reader = model.read();
            let found = some.iter().filter(|pfn| std::hint::black_box(reader.page(**pfn)).is_some()).count();
            assert_eq!(found, some.len(), "memory of boot stays");
            lookups += found as u64;
        }
    }
    started.elapsed().as_secs_f64() * 1e9 / lookups as f64
}
