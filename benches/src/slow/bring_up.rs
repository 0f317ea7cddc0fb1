//! What bringing a machine up costs, and how that grows with memory and with address space.

use std::time::{Duration, Instant};

use super::models::{Slow, SlowClassic, SlowExtreme, SlowFixed, Stand};
use crate::maps::Map;
use crate::measure::{Samples, repeat};
use crate::result::{Measured, Results};

/// The bench of machines that are full of memory; times are per section.
pub const PER_SECTION: &str = "boot, per section";
/// The bench of machines with 2 GiB of memory and a hole; times are of the whole boot.
pub const WITH_HOLE: &str = "boot, 2 GiB with a hole";

/// The bench of walks over those; times are of a walk over all present sections.
pub const WALK: &str = "walk, 2 GiB with a hole";

/// Machines that are full of memory. Units: bytes.
pub const FULL: [(&str, u64); 7] = [
    ("1 GiB", 1 << 30),
    ("8 GiB", 8 << 30),
    ("64 GiB", 64 << 30),
    ("512 GiB", 512 << 30),
    ("4 TiB", 4 << 40),
    ("16 TiB", 16 << 40),
    ("64 TiB", 64 << 40),
];

/// Ends of the address space of machines with 2 GiB. Units: bytes.
pub const HOLLOW: [(&str, u64); 5] = [
    ("2 GiB", 2 << 30),
    ("64 GiB", 64 << 30),
    ("1 TiB", 1 << 40),
    ("16 TiB", 16 << 40),
    ("64 TiB", 64 << 40),
];

/// Measures all of it.
pub fn measure(times: usize, say: &dyn Fn(&str), results: &mut Results) {
    for (name, bytes) in FULL {
        say(&format!("bring-up of {name}"));
        let map = Map::contiguous(name, bytes);
        // Large machines are measured less often: each boot is long enough to be measured well.
        let times = if map.sections() > 1 << 15 { times.min(5) } else { times };
        let sections = map.sections() as f64;
        for (model, samples) in on_all(&map, times) {
            let per_section = Samples(samples.0.iter().map(|whole| whole / sections).collect());
            results.results.push(Measured::time(PER_SECTION, model, "", name, &per_section));
        }
    }
    for (name, bytes) in HOLLOW {
        say(&format!("bring-up of 2 GiB in {name} of addresses"));
        let map = Map::hollow(name, bytes);
        for (model, samples) in on_all(&map, times) {
            results.results.push(Measured::time(WITH_HOLE, model, "", name, &samples));
        }
        let walks = [
            walk::<SlowClassic>(&map, times),
            walk::<SlowExtreme>(&map, times),
            walk::<SlowFixed>(&map, times),
        ];
        for (model, samples) in walks {
            results.results.push(Measured::time(WALK, model, "", name, &samples));
        }
    }
}

/// Boots every model some times.
fn on_all(map: &Map, times: usize) -> [(&'static str, Samples); 3] {
    [
        (SlowClassic::NAME, on::<SlowClassic>(map, times)),
        (SlowExtreme::NAME, on::<SlowExtreme>(map, times)),
        (SlowFixed::NAME, on::<SlowFixed>(map, times)),
    ]
}

/// Boots a model and takes it down again, on memory that was touched before: the first time is not counted.
fn on<M: Slow>(map: &Map, times: usize) -> Samples {
    let mut stand = Stand::<M>::new(map);
    once(&mut stand, map);
    repeat(times, || once(&mut stand, map))
}

fn once<M: Slow>(stand: &mut Stand<M>, map: &Map) -> Duration {
    let started = Instant::now();
    stand.boot(map);
    let took = started.elapsed();
    stand.take_down();
    took
}

/// Walks over the present sections of a model, many times in a sample.
fn walk<M: Slow>(map: &Map, times: usize) -> (&'static str, Samples) {
    const WALKS: u32 = 1000;
    let mut stand = Stand::<M>::new(map);
    stand.boot(map);
    let (model, sections) = (&*stand.model, map.sections());
    let samples = repeat(times, || {
        let started = Instant::now();
        for _ in 0..WALKS {
            assert_eq!(std::hint::black_box(model).present_sections().count() as u64, sections);
        }
        started.elapsed() / WALKS
    });
    (M::NAME, samples)
}
