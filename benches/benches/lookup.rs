//! Single lookups with criterion: the subjects of the report, at random frames of a laptop.
//!
//! Use `cargo xtask bench` to compare; here each subject is measured by itself, for looking at one of them closely.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sparsemem_benches::frames::Pattern;
use sparsemem_benches::ground::Pages;
use sparsemem_benches::maps::{Map, USUAL};
use sparsemem_benches::models::{
    Coming, FreeClassic, FreeExtreme, FreeFixed, OnHuge, array_model, initialise_all, table_model,
};
use sparsemem_benches::subjects::{Geometry46, Subject, TwinTables, twins, ways};

/// Measures every subject on one list of frames.
fn each(criterion: &mut Criterion, model: &str, subjects: &[Subject<'_>], map: &Map) {
    let frames = Pattern::Random.list(&map.memory);
    let mut group = criterion.benchmark_group(model);
    group.throughput(Throughput::Elements(frames.len() as u64));
    for subject in subjects {
        let (items, sweep) = (subject.items(&frames), subject.sweep(false).expect("every subject looks"));
        group.bench_function(format!("{} {}", subject.bench, subject.name), |bencher| {
            bencher.iter(|| sweep(&items));
        });
    }
    group.finish();
}

fn lookups(criterion: &mut Criterion) {
    let map = Map::open(USUAL[0]).expect("one of the project's machines");
    let classic = table_model::<FreeClassic>(&map.memory, Coming::Boot, Pages::Huge);
    let extreme = table_model::<FreeExtreme>(&map.memory, Coming::Boot, Pages::Huge);
    let vmemmap = array_model::<OnHuge, FreeFixed<OnHuge>>(&map.memory, Coming::Boot, Pages::Huge);
    macro_rules! of {
        ($up:ident, $name:literal) => {
            initialise_all(&*$up.model, &map.memory);
            let tables = TwinTables::<Geometry46>::new(&*$up.model);
            let mut subjects = ways(&*$up.model, $name);
            subjects.extend(twins(&tables, &*$up.model, $name));
            each(criterion, $name, &subjects, &map);
        };
    }
    of!(classic, "classic-sparse");
    of!(extreme, "sparse-extreme");
    of!(vmemmap, "vmemmap");
}

criterion_group!(benches, lookups);
criterion_main!(benches);
