//! Prototypes of the places where a model may keep which frames are valid. ARCHITECTURE compares their designs.
//!
//! `cargo bench -p sparsemem-benches --bench validity -- 4096` prints nanoseconds per lookup of random frames in 4 TiB that were
//! added later (8 GiB without the number; of boot with the word `early` behind it), the measuring loop included. Each
//! prototype is also a function of its own, so `objdump -d` of the program shows its instructions.

#![allow(unsafe_code, reason = "has tables as the models have them")]

use std::hint::black_box;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Acquire, Ordering::Relaxed};
use std::time::Instant;

/// The number of measurements of each prototype.
const ROUNDS: usize = 60;
/// x86_64 with 46 bits of physical address: sections, and roots of 256 sections.
const SECTIONS: usize = 1 << 19;
const ROOTS: usize = SECTIONS / 256;
/// The array of descriptors of 64 bytes.
const BASE: u64 = 0xffff_ea00_0000_0000;
/// Flags of a section word: it has a memmap, it was there at boot, all of it is alike.
const MEMMAP: u64 = 2;
const EARLY: u64 = 8;
const WHOLE: u64 = 32;

#[repr(C)]
struct Entry {
    word: AtomicU64,
    usage: AtomicPtr<AtomicU64>,
}

/// A root as Linux has it, and behind it a word of 64 subsections for each section.
#[repr(C, align(4096))]
struct Root {
    entries: [Entry; 256],
    valid: [AtomicU64; 256],
}

static TABLE: [Entry; SECTIONS] =
    [const { Entry { word: AtomicU64::new(0), usage: AtomicPtr::new(std::ptr::null_mut()) } }; SECTIONS];
static ROOTED: [AtomicPtr<Root>; ROOTS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; ROOTS];
/// `valid` of the same roots, moved back by the sections before the root, and by a byte so that none is null.
static MOVED: [AtomicPtr<u8>; ROOTS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; ROOTS];
static PLANE: [AtomicU64; SECTIONS] = [const { AtomicU64::new(0) }; SECTIONS];
static END: AtomicU64 = AtomicU64::new(0);

#[inline(always)]
fn section(pfn: u64) -> usize {
    (pfn >> 15) as usize
}

/// Keeps the compiler from comparing another shift of the frame, which is an instruction more.
#[inline(always)]
fn opaque(mut value: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: there is no instruction.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
    }
    value
}

#[inline(always)]
fn has(map: u64, pfn: u64) -> bool {
    map >> (pfn >> 9 & 63) & 1 == 1
}

#[inline(always)]
fn flat_entry(pfn: u64) -> Option<&'static Entry> {
    TABLE.get(section(pfn))
}

#[inline(always)]
fn root(pfn: u64) -> Option<&'static Root> {
    let root = ROOTED.get(section(pfn) >> 8)?.load(Acquire);
    // SAFETY: null, or a root that is never freed.
    unsafe { root.as_ref() }
}

#[inline(always)]
fn rooted_entry(pfn: u64) -> Option<&'static Entry> {
    Some(&root(pfn)?.entries[section(pfn) & 255])
}

#[inline(always)]
fn in_usage(entry: &Entry, pfn: u64) -> bool {
    let usage = entry.usage.load(Acquire);
    // SAFETY: null, or a usage that is never freed.
    unsafe { usage.as_ref() }.is_some_and(|usage| has(usage.load(Acquire), pfn))
}

/// As it was: the word, and the usage of what was added later.
#[inline(always)]
fn by_usage(entry: &Entry, pfn: u64) -> Option<u64> {
    let word = entry.word.load(Acquire);
    (word & MEMMAP != 0 && (word & EARLY != 0 || in_usage(entry, pfn))).then_some(word)
}

/// A flag of the word says that all of the section is alike.
#[inline(always)]
fn by_flag(entry: &Entry, pfn: u64) -> Option<u64> {
    let word = entry.word.load(Acquire);
    if word & (EARLY | WHOLE) != 0 {
        return Some(word);
    }
    (word & MEMMAP != 0 && in_usage(entry, pfn)).then_some(word)
}

/// The flag, and the plane for parts of sections.
#[inline(always)]
fn by_both(entry: &Entry, plane: &AtomicU64, pfn: u64) -> Option<u64> {
    let word = entry.word.load(Acquire);
    if word & (EARLY | WHOLE) != 0 {
        return Some(word);
    }
    (word & MEMMAP != 0 && has(plane.load(Acquire), pfn)).then_some(word)
}

#[inline(always)]
fn by_plane(entry: &Entry, plane: &AtomicU64, pfn: u64) -> Option<u64> {
    if !has(plane.load(Acquire), pfn) {
        return None;
    }
    let word = entry.word.load(Acquire);
    (word & MEMMAP != 0).then_some(word)
}

#[inline(always)]
fn encoded(word: u64, pfn: u64) -> u64 {
    word.wrapping_add(pfn << 6) & !63
}

#[inline(always)]
fn element(pfn: u64) -> u64 {
    BASE.wrapping_add(pfn << 6)
}

/// Runs a lookup, so that `?` ends its body.
fn answer(lookup: impl FnOnce() -> Option<u64>) -> Option<u64> {
    lookup()
}

macro_rules! designs {
    ($($name:ident $model:literal $design:literal |$pfn:ident| $body:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $name($pfn: u64) -> u64 {
                answer(|| $body).unwrap_or(0)
            }
        )*

        /// Model and design of each prototype, and its least time of many runs, in which all take turns: other programs use the
        /// processors too.
        fn measure(frames: &[u64]) -> Vec<(&'static str, &'static str, f64)> {
            $(black_box($name as extern "C" fn(u64) -> u64);)*
            let mut least = vec![$(($model, $design, f64::MAX)),*];
            for _ in 0..ROUNDS {
                let turn = [$(run(frames, |$pfn| answer(|| $body))),*];
                least.iter_mut().zip(turn).for_each(|((_, _, least), ns)| *least = least.min(ns));
            }
            least
        }
    };
}

designs! {
    loop_alone "" "the loop alone" |pfn| Some(pfn | 1);
    flat_bound "flat array" "its bound" |pfn| (pfn < END.load(Relaxed)).then(|| element(pfn));
    classic_usage "classic-sparse" "the word, the usage" |pfn| by_usage(flat_entry(pfn)?, pfn).map(|word| encoded(word, pfn));
    classic_flag "classic-sparse" "a flag in the word, or the usage" |pfn| by_flag(flat_entry(pfn)?, pfn).map(|word| encoded(word, pfn));
    classic_plane "classic-sparse" "a flat plane, the word" |pfn| by_plane(flat_entry(pfn)?, &PLANE[section(pfn)], pfn).map(|word| encoded(word, pfn));
    classic_both "classic-sparse" "a flag in the word, or a flat plane" |pfn| by_both(flat_entry(pfn)?, &PLANE[section(pfn)], pfn).map(|word| encoded(word, pfn));
    extreme_usage "sparse-extreme" "the word, the usage" |pfn| by_usage(rooted_entry(pfn)?, pfn).map(|word| encoded(word, pfn));
    extreme_flag "sparse-extreme" "a flag in the word, or the usage" |pfn| by_flag(rooted_entry(pfn)?, pfn).map(|word| encoded(word, pfn));
    extreme_plane "sparse-extreme" "a plane in the root, the word" |pfn| { let root = root(pfn)?; by_plane(&root.entries[section(pfn) & 255], &root.valid[section(pfn) & 255], pfn).map(|word| encoded(word, pfn)) };
    extreme_both "sparse-extreme" "a flag in the word, or a plane in the root" |pfn| { let root = root(pfn)?; by_both(&root.entries[section(pfn) & 255], &root.valid[section(pfn) & 255], pfn).map(|word| encoded(word, pfn)) };
    vmemmap_usage "vmemmap" "the word, the usage" |pfn| by_usage(rooted_entry(pfn)?, pfn).map(|_| element(pfn));
    vmemmap_flag "vmemmap" "a flag in the word, or the usage" |pfn| by_flag(rooted_entry(pfn)?, pfn).map(|_| element(pfn));
    vmemmap_plane "vmemmap" "a plane in the root" |pfn| has(root(pfn)?.valid[section(pfn) & 255].load(Acquire), pfn).then(|| element(pfn));
    vmemmap_moved "vmemmap" "a plane in the root, pointers moved" |pfn| {
        let section = opaque(section(pfn));
        let moved = MOVED.get(section >> 8)?.load(Acquire);
        if moved.is_null() { return None; }
        // SAFETY: the plane of a root that is never freed, moved back as it was moved.
        let word = unsafe { &*moved.wrapping_sub(1).cast::<AtomicU64>().wrapping_add(section) };
        if has(word.load(Acquire), pfn) { Some(element(pfn)) } else { None }
    };
    vmemmap_both "vmemmap" "a flag in the word, or a plane in the root" |pfn| { let root = root(pfn)?; by_both(&root.entries[section(pfn) & 255], &root.valid[section(pfn) & 255], pfn).map(|_| element(pfn)) };
    vmemmap_flat "vmemmap" "a flat plane" |pfn| { if has(PLANE.get(section(pfn))?.load(Acquire), pfn) { Some(element(pfn)) } else { None } };
}

/// Nanoseconds per lookup in one run over the frames.
fn run(frames: &[u64], lookup: impl Fn(u64) -> Option<u64>) -> f64 {
    let rounds = (1 << 19) / frames.len() + 1;
    let start = Instant::now();
    let mut sum = 0u64;
    for _ in 0..rounds {
        for pfn in frames {
            sum = sum.wrapping_add(black_box(lookup(*pfn)).unwrap_or(0));
        }
    }
    black_box(sum);
    start.elapsed().as_secs_f64() * 1e9 / (rounds * frames.len()) as f64
}

fn add(section: usize, early: bool) {
    let flags = if early { MEMMAP | EARLY | WHOLE } else { MEMMAP | WHOLE };
    let word = BASE | flags;
    let usage = Box::leak(Box::new([const { AtomicU64::new(u64::MAX) }; 18])).as_mut_ptr();
    let root = &ROOTED[section >> 8];
    if root.load(Relaxed).is_null() {
        // SAFETY: zero bytes are null pointers and zero words.
        let made: &mut Root = Box::leak(unsafe { Box::new_zeroed().assume_init() });
        let made = core::ptr::from_mut(made);
        root.store(made, Relaxed);
        let valid = made.wrapping_byte_add(size_of::<[Entry; 256]>()).cast::<AtomicU64>();
        MOVED[section >> 8].store(valid.wrapping_sub(section & !255).cast::<u8>().wrapping_add(1), Relaxed);
    }
    // SAFETY: it was made just now, or before, and is never freed.
    let root = unsafe { &*root.load(Relaxed) };
    for entry in [&TABLE[section], &root.entries[section & 255]] {
        entry.usage.store(usage, Relaxed);
        entry.word.store(word, Relaxed);
    }
    for plane in [&PLANE[section], &root.valid[section & 255]] {
        plane.store(u64::MAX, Relaxed);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let gib: u64 = arguments.next().map_or(8, |gib| gib.parse().expect("a number of GiB"));
    let early = arguments.next().is_some_and(|word| word == "early");
    let frames = gib << 18;
    (0..usize::try_from(gib * 8).expect("a number of sections")).for_each(|section| add(section, early));
    END.store(frames, Relaxed);
    let mut state = 88_172_645_463_325_252u64;
    let count = if gib > 1000 { 1 << 18 } else { 3072 };
    let sample: Vec<u64> = (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % frames
        })
        .collect();
    println!("{gib} GiB, {}: ns per lookup", if early { "of boot" } else { "added later" });
    for (model, design, ns) in measure(&sample) {
        println!("{model:16}{design:44}{ns:6.2}");
    }
}
