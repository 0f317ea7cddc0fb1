//! Bytes of metadata by machine and model.

use sparsemem_core::{Footprint, Page};

use super::bring_up::HOLLOW;
use super::models::{Slow, SlowClassic, SlowExtreme, SlowFixed, Stand};
use crate::maps::Map;
use crate::models::span;
use crate::result::{Measured, Results};

/// A number in a footprint.
type Part = fn(&Footprint) -> u64;

/// The benches, and what they read from a footprint.
pub const PARTS: [(&str, Part); 4] = [
    ("bytes of the section table", |print| print.table_bytes),
    ("bytes of usages", |print| print.usage_bytes),
    ("bytes of descriptors", |print| print.memmap_bytes),
    ("bytes of page tables", |print| print.page_table_bytes),
];
/// The bench of their sum.
pub const TOTAL: &str = "bytes of metadata";
/// What a flat array would take.
pub const FLAT: &str = "flat array";

/// Counts the bytes on all machines.
pub fn measure(maps: &[Map], say: &dyn Fn(&str), results: &mut Results) {
    for map in maps {
        say(&format!("bytes on {}", map.name));
        on_all(map, &map.name, results);
    }
    for (name, bytes) in HOLLOW {
        on_all(&Map::hollow(name, bytes), &hollow_name(name), results);
    }
}

/// The name of a machine with 2 GiB of memory in this much address space.
#[must_use]
pub fn hollow_name(addresses: &str) -> String {
    format!("2 GiB in {addresses}")
}

fn on_all(map: &Map, name: &str, results: &mut Results) {
    for (model, print) in [of::<SlowClassic>(map), of::<SlowExtreme>(map), of::<SlowFixed>(map)] {
        for (part, bytes) in PARTS {
            results.results.push(Measured::of_bytes(part, model, name, bytes(&print)));
        }
        results.results.push(Measured::of_bytes(TOTAL, model, name, print.total_bytes()));
    }
    let flat = span(&map.memory).end().get() * size_of::<Page>() as u64;
    results.results.push(Measured::of_bytes(TOTAL, FLAT, name, flat));
}

fn of<M: Slow>(map: &Map) -> (&'static str, Footprint) {
    let mut stand = Stand::<M>::new(map);
    stand.boot(map);
    (M::NAME, stand.model.footprint())
}
