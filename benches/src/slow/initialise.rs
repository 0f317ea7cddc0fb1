//! Initialising descriptors, beside setting as much memory with nothing else to do.
//!
//! # Invariants
//!
//! 1. All memory was touched before anything is timed: what the host needs to provide pages is not counted.

use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Instant;

use sparsemem_core::{
    MemoryModel, Page, PageCount, PageDescriptor, Pfn, PfnRange, SectionNr, initialise, initialise_fresh,
    initialise_fresh_together,
};

use crate::backends::{Changing, OF_ZEROS, each_changing, of_zeros};
use crate::environment::{Mapping, Pages};
use crate::maps::{Map, span};
use crate::measure::in_turns;
use crate::result::{Measured, Ratio, Results};

/// The question; times are per descriptor.
pub const QUESTION: &str = "initialise, per descriptor";
/// Memory that is set to a byte that is not zero, by the C library.
pub const MEMSET: &str = "memset";
/// Memory that is set to zero, by the C library.
pub const ZEROED: &str = "memset to zero";
/// Memory that gets the very bytes of a descriptor, with stores that go around the caches.
pub const SAME: &str = "the same bytes around the caches";
/// The ending of the names of methods that write whole descriptors before any code uses them (`initialise_fresh`).
pub const FRESH: &str = ", fresh";
/// The ending of the names of methods with two threads.
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
    /// The method that it is compared with.
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
    let blank = of_zeros::<Blank>(map);
    let all = span(&map.memory);
    let bytes = usize::try_from(all.count().get()).unwrap_or(usize::MAX) * size_of::<Page>();
    let plain = Memory::new(bytes);
    let mut ways: Vec<Way<'_>> = each_changing!(of_model(map)).into_iter().flatten().collect();
    ways.push(Way::new(format!("{OF_ZEROS}{FRESH}"), &[ZEROED], || fresh(&*blank.model, all)));
    ways.extend(of_memory(&plain));
    // Once untimed, so that all memory is there.
    ways.iter().for_each(|way| (way.run)());
    let samples = in_turns(ways.len(), rounds, |at| {
        let started = Instant::now();
        (ways[at].run)();
        started.elapsed().as_secs_f64() * 1e9 / all.count().get() as f64
    });
    for (way, own) in ways.iter().zip(&samples) {
        results.results.push(Measured::time(QUESTION, &way.name, "", &map.name, own));
        let others = ways.iter().zip(&samples).filter(|(other, _)| way.references.contains(&&*other.name));
        results.ratios.extend(others.map(|(other, samples)| Ratio {
            what: format!("initialise {} / {}, {}", way.name, other.name, map.name),
            value: own.ratio_to(samples),
        }));
    }
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
fn of_model<M: Changing>(map: &Map) -> [Way<'static>; 4] {
    let mut instance = M::instance(map);
    instance.boot(map);
    let (name, all, instance) = (instance.model.name(), span(&map.memory), Rc::new(instance));
    let way = |name: String, references, run: fn(&M, PfnRange)| {
        let instance = Rc::clone(&instance);
        Way::new(name, references, move || run(&instance.model, all))
    };
    let (one, two): (&[&str], &[&str]) = (&[MEMSET, ZEROED, SAME], &["memset, two threads"]);
    [
        way(format!("{name}{FRESH}"), one, fresh),
        way(format!("{name}{FRESH}{TWO}"), two, fresh_together),
        way(name.to_owned(), one, whole),
        way(format!("{name}{TWO}"), two, in_halves),
    ]
}

/// Initialises descriptors that somebody may use.
fn whole<M: MemoryModel>(model: &M, frames: PfnRange) {
    assert_eq!(initialise(model, frames), frames.count());
}

/// The same by two threads, one half each.
fn in_halves<M: MemoryModel>(model: &M, all: PfnRange) {
    let (lower, upper) = all.split_at(all.start().saturating_add(PageCount::new(all.count().get() / 2)));
    std::thread::scope(|scope| {
        scope.spawn(move || whole(model, lower));
        whole(model, upper);
    });
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

/// Memory of the host that is set to something. How fast a machine writes can depend on what is written: some move lines of
/// zeros, or halves of lines, faster than others. So there is more than one reference.
#[derive(Debug)]
struct Memory {
    start: Raw,
    bytes: usize,
    _mapping: Mapping,
}

impl Memory {
    /// As much as is asked for, on large pages; a multiple of two base pages.
    fn new(bytes: usize) -> Self {
        let mapping = Mapping::new(bytes, Pages::Huge);
        Self { start: Raw(mapping.aligned()), bytes, _mapping: mapping }
    }

    /// Sets every byte to `byte`, as the C library does.
    fn set(&self, byte: u8) {
        // SAFETY: the mapping is as long, and who measures does one thing after the other.
        unsafe { self.start.set(self.bytes, byte) };
    }

    /// The same by two threads, one half each.
    fn set_in_halves(&self, byte: u8) {
        let (lower, half) = (self.start, self.bytes / 2);
        // SAFETY: the middle of the memory.
        let upper = Raw(unsafe { lower.0.add(half) });
        std::thread::scope(|scope| {
            // SAFETY: as in `set`, and the halves do not overlap.
            scope.spawn(move || unsafe { { upper }.set(half, byte) });
            // SAFETY: as above.
            unsafe { lower.set(half, byte) };
        });
    }

    /// Stores copies of `line` one after the other, around the caches where the processor can.
    fn stream(&self, line: Line) {
        for offset in (0..self.bytes).step_by(size_of::<Line>()) {
            // SAFETY: the mapping is as long.
            let to = unsafe { self.start.0.add(offset) };
            // SAFETY: as above; lines begin on multiples of their size, and nobody else uses the memory.
            unsafe { store(to.cast(), line) };
        }
    }
}

/// The content of a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u64; 8]);

/// Stores one line.
///
/// # Safety
///
/// The target may be written, and nobody else uses it.
#[inline(always)]
unsafe fn store(to: NonNull<Line>, line: Line) {
    #[cfg(target_arch = "x86_64")]
    for part in 0..4 {
        use std::arch::x86_64::{__m128i, _mm_load_si128, _mm_stream_si128};
        let from = (&raw const line).cast::<__m128i>().wrapping_add(part);
        let to = to.as_ptr().cast::<__m128i>().wrapping_add(part);
        // SAFETY: a quarter of a line, aligned as a line is.
        let word = unsafe { _mm_load_si128(from) };
        // SAFETY: as above, and the caller promises that it may be written.
        unsafe { _mm_stream_si128(to, word) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise.
    unsafe {
        to.write_volatile(line);
    }
}

/// Memory that is written by whoever has it.
#[derive(Clone, Copy, Debug)]
struct Raw(NonNull<u8>);

// SAFETY: two threads write different halves of the memory.
unsafe impl Send for Raw {}

impl Raw {
    /// Sets memory as the C library does.
    ///
    /// # Safety
    ///
    /// As many bytes may be written, and nobody else uses them.
    unsafe fn set(self, bytes: usize, byte: u8) {
        // SAFETY: the caller's promise.
        unsafe { self.0.write_bytes(byte, bytes) };
        std::hint::black_box(self.0);
    }
}
