//! Initialising descriptors, beside setting as much memory with nothing else to do.
//!
//! # Invariants
//!
//! 1. All memory was touched before anything is timed: what the host needs to provide pages is not counted.

use std::time::Instant;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    MemoryModel, NeverReclaim, Page, PageCount, PageDescriptor, Pfn, PfnRange, SectionNr, initialise,
    initialise_fresh, initialise_fresh_together,
};
use sparsemem_vmemmap::{ConstBase, Vmemmap};

use super::fill::{Line, Memory};
use super::models::{Slow, SlowClassic, SlowExtreme, SlowFixed, Stand};
use crate::frames::Random;
use crate::ground::Pages;
use crate::maps::Map;
use crate::measure::Samples;
use crate::models::{Coming, OnHuge, ROOTS, array_model, span};
use crate::result::{Measured, Ratio, Results};

/// The bench; times are per descriptor.
pub const BENCH: &str = "initialise, per descriptor";
/// Memory that is set to a byte that is not zero, by the C library.
pub const MEMSET: &str = "memset";
/// Memory that is set to zero, by the C library.
pub const ZEROED: &str = "memset to zero";
/// Memory that gets the very bytes of a descriptor, with stores that go around the caches.
pub const SAME: &str = "the same bytes around the caches";
/// Descriptors whose initialised form is zero, so that they can be compared with memory that is set to zero.
pub const BLANK: &str = "vmemmap, descriptors of zeros";

/// What names of ways end with that write whole descriptors, before anybody uses them (`initialise_fresh`).
pub const FRESH: &str = ", fresh";
/// What names of ways with two threads end with.
pub const TWO: &str = ", two threads";

/// A byte that is not zero.
const BYTE: u8 = 0x5a;

/// A descriptor that is initialised to what it is anyway.
#[repr(C, align(64))]
struct Blank([u64; 8]);

// SAFETY: integers, so zero bytes are valid, and there is nothing to drop.
unsafe impl PageDescriptor for Blank {
    unsafe fn initialise(&self, _pfn: Pfn, _section: SectionNr) {}

    fn initialised(_section: SectionNr) -> Option<Self> {
        Some(Self([0; 8]))
    }
}

/// One way to write descriptors.
struct Way<'w> {
    name: String,
    run: Box<dyn Fn() + 'w>,
    /// What it is compared with.
    references: &'static [&'static str],
}

impl<'w> Way<'w> {
    fn new(name: String, references: &'static [&'static str], run: impl Fn() + 'w) -> Self {
        Self { name, run: Box::new(run), references }
    }
}

/// Measures all models and the references in turns on a machine.
pub fn measure(map: &Map, rounds: usize, say: &dyn Fn(&str), results: &mut Results) {
    say(&format!("initialising the descriptors of {}", map.name));
    let (mut classic, mut extreme, mut vmemmap) =
        (Stand::<SlowClassic>::new(map), Stand::<SlowExtreme>::new(map), Stand::<SlowFixed>::new(map));
    classic.boot(map);
    extreme.boot(map);
    vmemmap.boot(map);
    type OfZeros = Vmemmap<X86_64, Blank, NeverReclaim, ConstBase<OnHuge>, ROOTS>;
    let blank = array_model::<OnHuge, OfZeros>(&map.memory, Coming::Boot, Pages::Huge);
    let all = span(&map.memory);
    let bytes = usize::try_from(all.count().get()).unwrap_or(usize::MAX) * size_of::<Page>();
    let plain = Memory::new(bytes);
    let mut ways = Vec::new();
    ways.extend(of_model(&*classic.model, all));
    ways.extend(of_model(&*extreme.model, all));
    ways.extend(of_model(&*vmemmap.model, all));
    ways.push(Way::new(format!("{BLANK}{FRESH}"), &[ZEROED], || fresh(&*blank.model, all)));
    ways.extend(of_memory(&plain));
    let samples = alternate(&ways, rounds, all.count().get() as f64);
    for (way, own) in ways.iter().zip(&samples) {
        results.results.push(Measured::time(BENCH, &way.name, "", &map.name, own));
        let others = ways.iter().zip(&samples).filter(|(other, _)| way.references.contains(&&*other.name));
        results.ratios.extend(others.map(|(other, samples)| Ratio {
            what: ratio_name(&way.name, &other.name, &map.name),
            value: own.ratio_to(samples),
        }));
    }
}

/// The name of a comparison.
#[must_use]
pub fn ratio_name(way: &str, reference: &str, machine: &str) -> String {
    format!("initialise {way} / {reference}, {machine}")
}

/// Initialises as nobody who uses descriptors could be in the way of.
fn fresh<M: MemoryModel>(model: &M, frames: PfnRange) {
    // SAFETY: nobody else uses the descriptors; they are not zero after the first time, but whole ones are written.
    assert_eq!(unsafe { initialise_fresh(model, frames) }, frames.count());
}

/// The same with a second thread that the caller supplies.
fn fresh_together<M: MemoryModel>(model: &M, frames: PfnRange) {
    let with_a_thread = |work: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
    };
    // SAFETY: as in `fresh`.
    assert_eq!(unsafe { initialise_fresh_together(model, frames, with_a_thread) }, frames.count());
}

/// One thread, and two, for descriptors that nobody uses and for those that somebody may.
fn of_model<M: Slow>(model: &M, all: PfnRange) -> Vec<Way<'_>> {
    let whole = move |frames: PfnRange| assert_eq!(initialise(model, frames), frames.count());
    let (lower, upper) = all.split_at(all.start().saturating_add(PageCount::new(all.count().get() / 2)));
    let in_halves = move || {
        std::thread::scope(|scope| {
            scope.spawn(move || whole(lower));
            whole(upper);
        });
    };
    let (one, two): (&[&str], &[&str]) = (&[MEMSET, ZEROED, SAME], &["memset, two threads"]);
    vec![
        Way::new(format!("{}{FRESH}", M::NAME), one, move || fresh(model, all)),
        Way::new(format!("{}{FRESH}{TWO}", M::NAME), two, move || fresh_together(model, all)),
        Way::new(M::NAME.to_owned(), one, move || whole(all)),
        Way::new(format!("{}{TWO}", M::NAME), two, in_halves),
    ]
}

/// The references.
fn of_memory(plain: &Memory) -> Vec<Way<'_>> {
    // As `Page` is: the section in the second half of the second word, all else zero.
    let descriptor = Line([0, 7 << 32, 0, 0, 0, 0, 0, 0]);
    vec![
        Way::new(MEMSET.to_owned(), &[ZEROED], || plain.set(BYTE)),
        Way::new(format!("{MEMSET}{TWO}"), &[], || plain.set_in_halves(BYTE)),
        Way::new(ZEROED.to_owned(), &[], || plain.set(0)),
        Way::new(format!("{ZEROED}{TWO}"), &[], || plain.set_in_halves(0)),
        Way::new(SAME.to_owned(), &[], move || plain.stream(descriptor)),
    ]
}

/// Runs every way in turns; times per descriptor.
fn alternate(ways: &[Way<'_>], rounds: usize, descriptors: f64) -> Vec<Samples> {
    // Once untimed, so that all memory is there.
    ways.iter().for_each(|way| (way.run)());
    let mut samples = vec![Vec::new(); ways.len()];
    let (mut order, mut random): (Vec<usize>, _) = ((0..ways.len()).collect(), Random::new());
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for at in &order {
            let started = Instant::now();
            (ways[*at].run)();
            samples[*at].push(started.elapsed().as_secs_f64() * 1e9 / descriptors);
        }
    }
    samples.into_iter().map(Samples).collect()
}
