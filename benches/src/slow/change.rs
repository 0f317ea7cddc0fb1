//! What it costs that sections and subsections come and go.

use std::alloc::Layout;
use std::time::{Duration, Instant};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{MetadataMemory, NodeId, Page, PfnRange, SectionShape};

use super::models::{Slow, SlowClassic, SlowExtreme, SlowFixed, Stand};
use super::operations::{free_section, subsections};
use crate::ground::Ground;
use crate::maps::Map;
use crate::measure::Samples;
use crate::result::{Measured, Results};

/// What is done, and with which frames.
const CHANGES: [(&str, &str, Frames); 2] = [
    ("add section", "remove section", Frames::Section),
    ("add subsection", "remove subsection", Frames::Subsection),
];

/// The bench of what allocators do before a section can come.
pub const ZEROING: &str = "zeroing a section's descriptors";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Frames {
    Section,
    Subsection,
}

/// Measures all of it on a machine.
pub fn measure(map: &Map, times: usize, say: &dyn Fn(&str), results: &mut Results) {
    say("sections and subsections come and go");
    on::<SlowClassic>(map, times, results);
    on::<SlowExtreme>(map, times, results);
    on::<SlowFixed>(map, times, results);
    let samples = zeroing(times);
    results.results.push(Measured::time(ZEROING, "the allocator", "", &map.name, &samples));
}

fn on<M: Slow>(map: &Map, times: usize, results: &mut Results) {
    let mut stand = Stand::<M>::new(map);
    stand.boot(map);
    for (adding, removing, what) in CHANGES {
        let frames = match what {
            Frames::Section => free_section(),
            Frames::Subsection => {
                let mut writer = stand.model.write().expect("nobody else changes the model");
                writer
                    .install(&mut stand.ground, subsections(0, 1), NodeId::new(0))
                    .expect("there is memory");
                subsections(1, 1)
            }
        };
        let turns: Vec<(Duration, Duration)> = (0..times).map(|_| turn(&mut stand, frames)).collect();
        let samples =
            |times: Vec<Duration>| Samples(times.iter().map(|time| time.as_secs_f64() * 1e9).collect());
        let (adds, removes) = turns.into_iter().unzip();
        results.results.push(Measured::time(adding, M::NAME, "", &map.name, &samples(adds)));
        results.results.push(Measured::time(removing, M::NAME, "", &map.name, &samples(removes)));
    }
}

/// Adds and removes.
fn turn<M: Slow>(stand: &mut Stand<M>, frames: PfnRange) -> (Duration, Duration) {
    let write = || stand.model.write().expect("nobody else changes the model");
    let started = Instant::now();
    write().install(&mut stand.ground, frames, NodeId::new(0)).expect("there is memory");
    let added = started.elapsed();
    let started = Instant::now();
    let retired = write().retire(&mut stand.ground, frames).expect("it was just added");
    let removed = started.elapsed();
    assert!(retired.lost.is_empty());
    (added, removed)
}

/// What the allocator alone needs for a memmap that was used before.
fn zeroing(times: usize) -> Samples {
    let mut ground = Ground::new(0, 64 << 20, crate::ground::Pages::Huge);
    let frames = usize::try_from(X86_64::PAGES_PER_SECTION).unwrap_or(usize::MAX);
    let layout = Layout::array::<Page>(frames).expect("2 MiB");
    crate::measure::repeat(times, || {
        let started = Instant::now();
        let block = ground.alloc_memmap(layout, NodeId::new(0)).expect("there is memory");
        let taken = started.elapsed();
        ground.free(block).map_err(|refused| refused.error).expect("its own block");
        taken
    })
}
