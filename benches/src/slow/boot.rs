//! The cost of a boot, in time and in bytes of metadata, and how it grows with memory and with address space.

use std::time::{Duration, Instant};

use sparsemem_core::{Footprint, Page};

use crate::backends::{Changing, each_changing};
use crate::instance::Instance;
use crate::maps::{Map, span};
use crate::measure::{Samples, repeat};
use crate::result::{Measured, Results};

/// The question of machines that are full of memory; times are per section.
pub const PER_SECTION: &str = "boot, per section";
/// The question of boots that leave memmaps for later (`boot_deferred`), on the same machines; times are of the whole boot.
pub const MARKING: &str = "boot that only marks sections";
/// The question of machines with 2 GiB of memory and a hole; times are of the whole boot.
pub const WITH_HOLE: &str = "boot, 2 GiB with a hole";

/// The question of walks over those; times are of a walk over all present sections.
pub const WALK: &str = "walk, 2 GiB with a hole";

/// Machines that are full of memory. Units: bytes.
pub const FULL: [(&str, u64); 8] = [
    ("1 GiB", 1 << 30),
    ("8 GiB", 8 << 30),
    ("64 GiB", 64 << 30),
    ("512 GiB", 512 << 30),
    ("1 TiB", 1 << 40),
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

/// A number in a footprint.
type Part = fn(&Footprint) -> u64;

/// The questions, and what they read from a footprint.
pub const PARTS: [(&str, Part); 5] = [
    ("bytes of the section table", |print| print.table_bytes),
    ("bytes of planes", |print| print.plane_bytes),
    ("bytes of usages", |print| print.usage_bytes),
    ("bytes of descriptors", |print| print.memmap_bytes),
    ("bytes of page tables", |print| print.page_table_bytes),
];
/// The question of their sum.
pub const TOTAL: &str = "bytes of metadata";
/// The bytes that a flat array would take.
pub const FLAT: &str = "flat array";

/// Measures all of it.
pub fn measure(times: usize, say: &dyn Fn(&str), results: &mut Results) {
    for (name, bytes) in FULL {
        say(&format!("boot of {name}"));
        let map = Map::contiguous(name, bytes);
        // Large machines are measured less often: each boot is long enough to be measured well.
        let times = if map.sections() > 1 << 15 { times.min(5) } else { times };
        let sections = map.sections() as f64;
        for (model, samples) in each_changing!(boots(&map, times)) {
            let per_section = Samples(samples.0.iter().map(|whole| whole / sections).collect());
            results.results.push(Measured::time(PER_SECTION, model, "", name, &per_section));
        }
        for (model, samples) in each_changing!(marks(&map, times)) {
            results.results.push(Measured::time(MARKING, model, "", name, &samples));
        }
    }
    for (name, bytes) in HOLLOW {
        say(&format!("boot of 2 GiB in {name} of addresses"));
        let map = Map::hollow(name, bytes);
        for (model, samples) in each_changing!(boots(&map, times)) {
            results.results.push(Measured::time(WITH_HOLE, model, "", name, &samples));
        }
        for (model, samples) in each_changing!(walks(&map, times)) {
            results.results.push(Measured::time(WALK, model, "", name, &samples));
        }
    }
}

/// Boots a model and takes it down again, on memory that was touched before: the first time is not counted.
fn boots<M: Changing>(map: &Map, times: usize) -> (&'static str, Samples) {
    up_and_down::<M>(map, times, Instance::boot)
}

/// The same with boots that mark sections and make no memmap.
fn marks<M: Changing>(map: &Map, times: usize) -> (&'static str, Samples) {
    up_and_down::<M>(map, times, Instance::mark)
}

fn up_and_down<M: Changing>(
    map: &Map,
    times: usize,
    up: fn(&mut Instance<M>, &Map),
) -> (&'static str, Samples) {
    let mut instance = M::instance(map);
    once(&mut instance, map, up);
    let samples = repeat(times, || once(&mut instance, map, up));
    (instance.model.name(), samples)
}

fn once<M: Changing>(instance: &mut Instance<M>, map: &Map, up: fn(&mut Instance<M>, &Map)) -> Duration {
    let started = Instant::now();
    up(instance, map);
    let took = started.elapsed();
    instance.take_down();
    took
}

/// Walks over the present sections of a model, many times in a sample.
fn walks<M: Changing>(map: &Map, times: usize) -> (&'static str, Samples) {
    const WALKS: u32 = 1000;
    let mut instance = M::instance(map);
    instance.boot(map);
    let (model, sections) = (&*instance.model, map.sections());
    let samples = repeat(times, || {
        let started = Instant::now();
        for _ in 0..WALKS {
            assert_eq!(std::hint::black_box(model).present_sections().count() as u64, sections);
        }
        started.elapsed() / WALKS
    });
    (model.name(), samples)
}

/// Counts the bytes on all machines.
pub fn count_bytes(maps: &[Map], say: &dyn Fn(&str), results: &mut Results) {
    for map in maps {
        say(&format!("bytes on {}", map.name));
        bytes_of_all(map, &map.name, results);
    }
    for (name, bytes) in HOLLOW {
        bytes_of_all(&Map::hollow(name, bytes), &format!("2 GiB in {name}"), results);
    }
}

fn bytes_of_all(map: &Map, name: &str, results: &mut Results) {
    for (model, print) in each_changing!(footprint(map)) {
        for (part, bytes) in PARTS {
            results.results.push(Measured::of_bytes(part, model, name, bytes(&print)));
        }
        results.results.push(Measured::of_bytes(TOTAL, model, name, print.total_bytes()));
    }
    let flat = span(&map.memory).end().get() * size_of::<Page>() as u64;
    results.results.push(Measured::of_bytes(TOTAL, FLAT, name, flat));
}

fn footprint<M: Changing>(map: &Map) -> (&'static str, Footprint) {
    let mut instance = M::instance(map);
    instance.boot(map);
    (instance.model.name(), instance.model.footprint())
}

#[cfg(test)]
mod tests {
    use super::{marks, once};
    use crate::backends::{Changing, each_changing};
    use crate::instance::Instance;
    use crate::maps::Map;

    #[test]
    fn sections_are_marked_and_have_no_memmap() {
        fn marked<M: Changing>(map: &Map) -> [u64; 2] {
            let mut instance = M::instance(map);
            once(&mut instance, map, Instance::mark);
            instance.mark(map);
            let print = instance.model.footprint();
            [print.usage_bytes, print.memmap_bytes]
        }
        let map = Map::contiguous("1 GiB", 1 << 30);
        for [usages, memmaps] in each_changing!(marked(&map)) {
            assert!(usages > 0 && memmaps == 0, "{usages} {memmaps}");
        }
        assert!(each_changing!(marks(&map, 2)).iter().all(|(_, samples)| samples.0.len() == 2));
    }
}
