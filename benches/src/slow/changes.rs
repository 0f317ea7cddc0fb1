//! The cost of adding and removing sections and subsections: for the writer, and for readers at the same time.

use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sparsemem_core::presets::X86_64;
use sparsemem_core::{MetadataMemory, NodeId, Page, Pfn, PfnRange, SectionShape};

use crate::backends::{Changing, each_changing};
use crate::environment::{Environment, Pages};
use crate::frames::Pattern;
use crate::instance::{Instance, free_section, free_subsections};
use crate::maps::Map;
use crate::measure::{Samples, repeat};
use crate::result::{Measured, Ratio, Results};

/// The operation, and its frames.
pub(crate) const CHANGES: [(&str, &str, Frames); 2] = [
    ("add section", "remove section", Frames::Section),
    ("add subsection", "remove subsection", Frames::Subsection),
];

/// The question of what allocators do before a section can come.
pub const ZEROING: &str = "zeroing a section's descriptors";

/// The subject that answers this question.
pub const ALLOCATOR: &str = "the allocator";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frames {
    Section,
    Subsection,
}

/// The question; times are per lookup.
pub const READER: &str = "reader";
/// While nobody changes anything.
pub const ALONE: &str = "alone";
/// While a section comes and goes as fast as it can.
pub const DISTURBED: &str = "while a section comes and goes";
/// The question of the writer meanwhile; times are per add and remove.
pub const WRITER: &str = "add and remove, beside a reader";

/// Lookups under one guard.
const UNDER_A_GUARD: usize = 64;

/// Measures all of it on a machine.
pub fn measure(map: &Map, times: usize, say: &dyn Fn(&str), results: &mut Results) {
    say("sections and subsections come and go");
    each_changing!(changes(map, times, results));
    let samples = zeroing(times);
    results.results.push(Measured::time(ZEROING, ALLOCATOR, "", &map.name, &samples));
}

fn changes<M: Changing>(map: &Map, times: usize, results: &mut Results) {
    let mut instance = M::instance(map);
    instance.boot(map);
    let name = instance.model.name();
    for (adding, removing, what) in CHANGES {
        let frames = match what {
            Frames::Section => free_section(),
            Frames::Subsection => {
                instance.add(free_subsections(0, 1));
                free_subsections(1, 1)
            }
        };
        let turns = (0..times).map(|_| add_and_remove(&mut instance, frames));
        let (adds, removes) = turns.unzip();
        results.results.push(Measured::time(adding, name, "", &map.name, &Samples(adds)));
        results.results.push(Measured::time(removing, name, "", &map.name, &Samples(removes)));
    }
}

/// The time that adding takes, and the time that removing takes. Units: nanoseconds.
fn add_and_remove<M: Changing>(instance: &mut Instance<M>, frames: PfnRange) -> (f64, f64) {
    let started = Instant::now();
    instance.add(frames);
    let added = started.elapsed();
    let started = Instant::now();
    instance.remove(frames);
    let removed = started.elapsed();
    (added.as_secs_f64() * 1e9, removed.as_secs_f64() * 1e9)
}

/// The time that the allocator alone needs for a memmap that was used before.
fn zeroing(times: usize) -> Samples {
    let mut environment = Environment::new(0, 64 << 20, Pages::Huge);
    let frames = usize::try_from(X86_64::PAGES_PER_SECTION).unwrap_or(usize::MAX);
    let layout = Layout::array::<Page>(frames).expect("2 MiB");
    repeat(times, || {
        let started = Instant::now();
        let block = environment.alloc_memmap(layout, NodeId::new(0)).expect("there is memory");
        let taken = started.elapsed();
        environment.free(block).map_err(|refused| refused.error).expect("its own block");
        taken
    })
}

/// Measures every model on a machine.
pub fn readers(map: &Map, rounds: usize, window: Duration, say: &dyn Fn(&str), results: &mut Results) {
    say("readers beside a writer");
    each_changing!(beside_a_writer(map, rounds, window, results));
}

fn beside_a_writer<M: Changing>(map: &Map, rounds: usize, window: Duration, results: &mut Results) {
    let mut instance = M::instance(map);
    instance.boot(map);
    let frames = Pattern::Random.list(&map.memory);
    let (model, environment) = (&*instance.model, &mut instance.environment);
    let (mut alone, mut disturbed, mut writer) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..rounds {
        alone.0.push(read(model, &frames, window));
        let (stop, pairs) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            // Relaxed, all: only flags and counts between threads that are joined.
            scope.spawn(|| {
                let mut writer = model.write().expect("nobody else changes the model");
                while !stop.load(Ordering::Relaxed) {
                    writer.install(environment, free_section(), NodeId::new(0)).expect("there is memory");
                    let retired = writer.retire(environment, free_section()).expect("it was just added");
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
    results.results.push(Measured::time(READER, model.name(), ALONE, &map.name, &alone));
    results.results.push(Measured::time(READER, model.name(), DISTURBED, &map.name, &disturbed));
    results.results.push(Measured::time(WRITER, model.name(), "", &map.name, &writer));
    let what = format!("reader {} {DISTURBED} / {ALONE}, {}", model.name(), map.name);
    results.ratios.push(Ratio { what, value: disturbed.ratio_to(&alone) });
}

/// Looks frames up for a while, under short guards; time per lookup.
fn read<M: Changing>(model: &M, frames: &[Pfn], window: Duration) -> f64 {
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
