//! What a lookup costs, by model: from frame to descriptor and back, at random frames of an 8 GiB machine.
//!
//! Each result goes through `black_box`, so that the optimiser can neither fold nor vectorise the loop.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use sparsemem_any::{AnyLookup, AnyModel};
use sparsemem_benches::{Geometry, classic, extreme, random_frames, vmemmap};
use sparsemem_core::{MemoryModel, NeverReclaim, Page, Pfn, SectionShape};

/// Frames per iteration.
const FRAMES: usize = 4096;

type Group<'c> = BenchmarkGroup<'c, criterion::measurement::WallTime>;
type Any<'m> =
    AnyModel<'m, Geometry, Page, NeverReclaim, { Geometry::NR_SECTIONS_LEN }, { Geometry::NR_ROOTS_LEN }>;

/// Measures one way of looking frames up.
fn each(group: &mut Group<'_>, name: &str, frames: &[Pfn], look: impl Fn(Pfn) -> bool) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| frames.iter().filter(|pfn| black_box(look(black_box(**pfn)))).count());
    });
}

/// Measures every way of a model.
fn ways<M: MemoryModel<Page = Page>>(criterion: &mut Criterion, model: &M, any: &Any<'_>) {
    let frames = random_frames(FRAMES);
    let mut group = criterion.benchmark_group(model.name());
    group.throughput(Throughput::Elements(FRAMES as u64));
    each(&mut group, "unchecked", &frames, |pfn| {
        // SAFETY: the frames are valid, and nothing is ever removed.
        black_box(unsafe { model.lookup_unchecked(pfn) });
        true
    });
    each(&mut group, "checked", &frames, |pfn| black_box(model.lookup(pfn)).is_some());
    let reader = model.read();
    each(&mut group, "reader", &frames, |pfn| black_box(reader.page(pfn)).is_some());
    each(&mut group, "any", &frames, |pfn| black_box(any.find(pfn)).is_some());
    each(&mut group, "there and back", &frames, |pfn| {
        let page = reader.page(pfn).map(core::ptr::NonNull::from);
        // SAFETY: the descriptor is of a valid frame of this model, and was initialised.
        page.is_some_and(|page| unsafe { model.pfn_of(black_box(page)) } == pfn)
    });
    group.finish();
}

fn lookups(criterion: &mut Criterion) {
    let classic = classic();
    ways(criterion, &*classic.model, &Any::from(&*classic.model));
    let extreme = extreme();
    ways(criterion, &*extreme.model, &Any::from(&*extreme.model));
    let vmemmap = vmemmap();
    ways(criterion, &*vmemmap.model, &Any::from(&*vmemmap.model));
}

criterion_group!(benches, lookups);
criterion_main!(benches);
