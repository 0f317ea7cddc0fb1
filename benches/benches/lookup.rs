//! Single lookups with criterion: the subjects of the report, at random frames of a laptop.
//!
//! Use `cargo xtask bench` to compare; here each subject is measured by itself, for looking at one of them closely.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sparsemem_benches::backends::{MODELS, for_lookups};
use sparsemem_benches::environment::Pages;
use sparsemem_benches::frames::Pattern;
use sparsemem_benches::instance::Coming;
use sparsemem_benches::maps::{Map, USUAL};
use sparsemem_benches::subjects::Subject;

/// Measures every subject on one list of frames.
fn each(criterion: &mut Criterion, model: &str, subjects: &[Subject<'_>], map: &Map) {
    let frames = Pattern::Random.list(&map.memory);
    let mut group = criterion.benchmark_group(model);
    group.throughput(Throughput::Elements(frames.len() as u64));
    for subject in subjects {
        let (items, sweep) = (subject.items(&frames), subject.sweep(false).expect("every subject looks"));
        group.bench_function(format!("{} {}", subject.question, subject.name), |bencher| {
            bencher.iter(|| sweep(&items));
        });
    }
    group.finish();
}

fn lookups(criterion: &mut Criterion) {
    let map = Map::open(USUAL[0]).expect("one of the project's machines");
    for (model, name) in for_lookups(&map, Coming::Boot, Pages::Huge).iter().zip(MODELS) {
        model.initialise_all(&map.memory);
        each(criterion, name, &model.subjects(), &map);
    }
}

criterion_group!(benches, lookups);
criterion_main!(benches);
