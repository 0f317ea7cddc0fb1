//! The work of readers on other processors, which they do without pause: lookups of each kind, readers that are held,
//! walks, and looks at addresses that must not be mapped.
//!
//! # Invariants
//!
//! 1. A reader writes to a descriptor only while it holds a reader and has found the frame online, and only the word that
//!    belongs to its processor.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem::{MemoryModel, Page, PageCount, Pfn, PfnRange, SectionShape, SectionStamp, VirtAddr};

use super::watch::{Count, Phase, WATCH, Watch, Wrong};
use crate::arch::{Sizes, processors as own, trap};
use crate::direct_map::{self, LEN_BYTES};
use crate::glue::{MODEL, POISON};
use crate::model;
use crate::processors::{Interruption, Processor};

/// Turns of a loop for which a reader is held shortly, and for a while.
const SHORT: u32 = 16;
const LONG: u32 = 2000;
/// Looks at one address without being interrupted.
const BURST: u32 = 48;

/// The action of a reader while it holds a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    /// It waits.
    Wait,
    /// It takes a page fault.
    Fault,
}

/// Looks frames up until the story ends.
pub(super) fn look_without_pause(processor: Processor, meanwhile: Meanwhile) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ processor.bit());
    while WATCH.goes_on() {
        for nr in 0..32 {
            let frame = random.frame(WATCH.frames());
            look(processor, frame, if nr == 0 { LONG } else { SHORT }, meanwhile);
        }
        look_at_boot();
        walk();
        own::uninterrupted(|| (0..BURST).for_each(|_| probe(WATCH.frames().start())));
        WATCH.advance(processor.index());
    }
}

/// Looks a frame up, and uses its descriptor if the frame is online.
fn look(processor: Processor, frame: Pfn, turns: u32, meanwhile: Meanwhile) {
    let reader = MODEL.read();
    WATCH.count(Count::Lookups);
    if let Some(page) = reader.page(frame) {
        check(page, frame, Stamp::MayBeFresh);
    }
    let Some(page) = reader.online_page(frame) else { return };
    check(page, frame, Stamp::Right);
    let word = word_of(page, processor);
    let token = frame.get() << 8 | processor.bit();
    // Relaxed, all: only this processor uses the word.
    word.store(token, Ordering::Relaxed);
    if meanwhile == Meanwhile::Fault {
        fault();
    }
    for _ in 0..turns {
        spin_loop();
    }
    if word.load(Ordering::Relaxed) != token {
        WATCH.note(Wrong::Word, frame);
    }
    check(page, frame, Stamp::Right);
    if is_gone(frame) {
        WATCH.note(Wrong::Outlived, frame);
    }
    WATCH.count(Count::Online);
    if turns == LONG {
        WATCH.count(Count::Held);
    }
}

/// True if a frame lies in the section that the story adds and removes, and the section has been removed. It is never true of
/// a frame that a reader has found online and holds. Where a model does not wait for readers, the descriptor itself may not
/// show that: it keeps its contents until memory is added again.
fn is_gone(frame: Pfn) -> bool {
    frame.section::<Sizes>() == WATCH.frames().start().section::<Sizes>() && WATCH.is_removed()
}

/// The work of a handler that has interrupted a reader, or other code of a processor: it looks up as well.
pub(super) fn look_in_handler(by: Interruption) {
    let frames = WATCH.frames();
    let mut random = Random(crate::arch::ticks() | 1);
    let frame = random.frame(frames);
    let reader = MODEL.read();
    if let Some(page) = reader.online_page(frame) {
        for _ in 0..SHORT {
            spin_loop();
        }
        check(page, frame, Stamp::Right);
    }
    WATCH.count(match by {
        Interruption::Timer => Count::InTimer,
        Interruption::Fault => Count::InFault,
    });
}

/// Takes a page fault, at the last address of the direct map, where there is no memory.
fn fault() {
    let end = crate::arch::DIRECT_MAP + (LEN_BYTES - 1);
    if trap::read_byte(end).is_some() {
        WATCH.note(Wrong::StaleMemory, Pfn::new(0));
    }
}

/// The first frame of boot is there all the time.
fn look_at_boot() {
    let boot = MODEL.next_valid(PfnRange::new(Pfn::new(0), WATCH.frames().start()).unwrap_or_default());
    let first = boot.map(PfnRange::start);
    if first.is_none_or(|first| MODEL.read().online_page(first).is_none()) {
        WATCH.note(Wrong::Lost, first.unwrap_or_default());
    }
}

/// Walks over the valid frames of the range, and looks the first of each run up.
fn walk() {
    let within = WATCH.frames();
    for run in MODEL.valid_ranges(within) {
        if run.is_empty() || !within.contains_range(run) {
            WATCH.note(Wrong::Walk, run.start());
        }
        let reader = MODEL.read();
        if let Some(page) = reader.page(run.start()) {
            check(page, run.start(), Stamp::MayBeFresh);
        }
    }
    WATCH.count(Count::Walks);
}

/// Looks whether this processor has translations that it must not have, or lacks those that it must have.
fn probe(frame: Pfn) {
    let before = WATCH.phase();
    let memory = frame.phys::<Sizes>().and_then(direct_map::to_virt).map(|at| at.addr().get() as u64);
    let memory = memory.and_then(trap::read_byte);
    let at = model::array().map(|array| array.start().get() + frame.get() * size_of::<Page>() as u64);
    let descriptor = at.and_then(|at| trap::read_byte(VirtAddr::new(at).get()));
    let after = WATCH.phase();
    if descriptor == Some(POISON) {
        WATCH.note(Wrong::Poison, frame);
    }
    if before == after && Watch::is(after, Phase::Absent) {
        memory.into_iter().for_each(|_| WATCH.note(Wrong::StaleMemory, frame));
        descriptor.into_iter().for_each(|_| WATCH.note(Wrong::StaleDescriptor, frame));
    }
    if before == after
        && Watch::is(after, Phase::Present)
        && (memory.is_none() || at.is_some() != descriptor.is_some())
    {
        WATCH.note(Wrong::Unreached, frame);
    }
    WATCH.count(Count::Probes);
}

/// The knowledge about a descriptor's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    /// The frame may have been added a moment ago.
    MayBeFresh,
    /// The frame is or was online while the reader is held.
    Right,
}

/// Notes what is wrong with a descriptor that a reader holds.
fn check(page: &Page, frame: Pfn, stamp: Stamp) {
    let poison = u64::from_ne_bytes([POISON; 8]);
    let words = [&page.flags, &page.private, &page.links[0], &page.links[1]];
    // Relaxed: a word of poison would be there for long.
    let is_poison = words.iter().any(|word| word.load(Ordering::Relaxed) == poison);
    let section = page.section();
    if is_poison || section.get() == poison >> 32 {
        WATCH.note(Wrong::Poison, frame);
    } else if section != frame.section::<Sizes>() && (stamp == Stamp::Right || section.get() != 0) {
        WATCH.note(Wrong::Descriptor, frame);
    }
}

/// The word of a descriptor that a processor uses.
fn word_of(page: &Page, processor: Processor) -> &AtomicU64 {
    match processor.index() {
        1 => &page.links[0],
        2 => &page.links[1],
        _ => &page.private,
    }
}

/// Numbers without a pattern (xorshift).
struct Random(u64);

impl Random {
    /// The next number.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next frame of a range of sections: of three in four, one of a first subsection, which comes and goes in each
    /// round.
    fn frame(&mut self, within: PfnRange) -> Pfn {
        let sections = (within.count().get() / Sizes::PAGES_PER_SECTION).max(1);
        let first = self.next() % sections * Sizes::PAGES_PER_SECTION;
        let part = if self.next().is_multiple_of(4) {
            Sizes::PAGES_PER_SECTION
        } else {
            Sizes::PAGES_PER_SUBSECTION
        };
        within.start().saturating_add(PageCount::new(first + self.next() % part))
    }
}
