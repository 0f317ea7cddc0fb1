//! The subjects of a measurement: each looks frames up, in a loop that no optimiser can fold.
//!
//! # Invariants
//!
//! 1. What a lookup finds goes through an empty piece of assembly that may read any memory, so that no lookup is left out,
//!    joined with another, or done several at once. The loops of C have the same (`c/sweeps.c`).
//! 2. Subjects of one family give the same answers: their checksums are compared before anything is measured.

mod baselines;
mod compressed;
mod twins;
mod ways;

use core::ptr::NonNull;

use sparsemem_core::{Page, Pfn};

pub use baselines::{BOUNDED, Baselines, baselines};
pub use twins::{TwinLoops, TwinTables};
pub use ways::{CHECKED_LATER, ChosenAtRunTime, Compared, INLINE, InlineBits, Lookups};

/// A loop over items.
type Sweep<'m> = Box<dyn Fn(&[u64]) + 'm>;
/// From frames to items.
type Items<'m> = Box<dyn Fn(&[Pfn]) -> Vec<u64> + 'm>;
/// From items to all their answers as one number.
type Checksum<'m> = Box<dyn Fn(&[u64]) -> u64 + 'm>;

/// One way of looking frames up.
pub struct Subject<'m> {
    /// The question: `unchecked`, `checked`, `valid`, ..
    pub question: &'static str,
    /// The name of the way, as reports have it.
    pub name: String,
    /// Those whose answers are the same numbers have the same family.
    pub family: String,
    /// Turns frames into what the loop takes: frames, or descriptors for the way back.
    items: Items<'m>,
    look: Sweep<'m>,
    touch: Option<Sweep<'m>>,
    checksum: Checksum<'m>,
}

impl<'m> Subject<'m> {
    /// A lookup from frame to descriptor.
    pub fn page<F>(question: &'static str, name: &str, family: &str, find: F) -> Self
    where
        F: Fn(Pfn) -> Option<NonNull<Page>> + Copy + 'm,
    {
        Self {
            question,
            name: name.to_owned(),
            family: family.to_owned(),
            items: Box::new(|frames| frames.iter().map(|pfn| pfn.get()).collect()),
            look: Box::new(move |items| look(items, find)),
            touch: Some(Box::new(move |items| touch(items, find))),
            checksum: Box::new(move |items| sum(items.iter().map(|pfn| address(find(Pfn::new(*pfn)))))),
        }
    }

    /// A lookup whose answer is a number, from frames or, by `items`, from something else.
    pub fn number<I, F>(question: &'static str, name: &str, family: &str, items: I, answer: F) -> Self
    where
        I: Fn(Pfn) -> u64 + 'm,
        F: Fn(u64) -> u64 + Copy + 'm,
    {
        Self {
            question,
            name: name.to_owned(),
            family: family.to_owned(),
            items: Box::new(move |frames| frames.iter().map(|pfn| items(*pfn)).collect()),
            look: Box::new(move |items| numbers(items, answer)),
            touch: None,
            checksum: Box::new(move |items| sum(items.iter().map(|item| answer(*item)))),
        }
    }

    /// The way back from descriptors, given by address: it may have to read them.
    pub fn way_back<I, F>(name: &str, address: I, frame: F) -> Self
    where
        I: Fn(Pfn) -> u64 + 'm,
        F: Fn(u64) -> u64 + Copy + 'm,
    {
        let touch: Sweep<'m> = Box::new(move |items| numbers(items, frame));
        Self { touch: Some(touch), ..Self::number("pfn_of", name, "pfn_of", address, frame) }
    }

    /// The time that the loop takes for these frames.
    #[must_use]
    pub fn items(&self, frames: &[Pfn]) -> Vec<u64> {
        (self.items)(frames)
    }

    /// The loop that only looks, or the one that reads the descriptor; none if there is no descriptor to read.
    #[must_use]
    pub fn sweep(&self, touched: bool) -> Option<&Sweep<'m>> {
        if touched { self.touch.as_ref() } else { Some(&self.look) }
    }

    /// All answers, as one number.
    #[must_use]
    pub fn checksum(&self, items: &[u64]) -> u64 {
        (self.checksum)(items)
    }
}

/// Makes the compiler believe that the value is used, and that memory may have changed.
#[inline(always)]
fn keep(value: u64) {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {0} */", in(reg) value, options(nostack, preserves_flags)) }
}

/// Looks every frame up.
#[inline(never)]
fn look<F: Fn(Pfn) -> Option<NonNull<Page>> + Copy>(items: &[u64], find: F) {
    for pfn in items {
        keep(address(find(Pfn::new(*pfn))));
    }
}

/// Looks every frame up and reads a word of its descriptor.
#[inline(never)]
fn touch<F: Fn(Pfn) -> Option<NonNull<Page>> + Copy>(items: &[u64], find: F) {
    for pfn in items {
        if let Some(page) = find(Pfn::new(*pfn)) {
            // SAFETY: descriptors of all subjects are mapped for as long as the subject lives, and only read here.
            let page = unsafe { page.as_ref() };
            // Relaxed: nothing depends on the value.
            keep(page.flags.load(core::sync::atomic::Ordering::Relaxed));
        }
    }
}

/// Asks for every item.
#[inline(never)]
fn numbers<F: Fn(u64) -> u64 + Copy>(items: &[u64], answer: F) {
    for item in items {
        keep(answer(*item));
    }
}

/// The address of what was found, zero for nothing.
#[inline(always)]
fn address(page: Option<NonNull<Page>>) -> u64 {
    page.map_or(0, |page| page.as_ptr().expose_provenance() as u64)
}

/// Answers as one number that depends on their order.
pub(crate) fn sum(answers: impl Iterator<Item = u64>) -> u64 {
    answers.fold(0, |sum, answer| sum.rotate_left(5).wrapping_add(answer))
}

/// The loop without a lookup, so that people can see what part of a time is the loop.
#[must_use]
pub fn empty_loop() -> Subject<'static> {
    Subject::number("loop alone", "nothing", "nothing", Pfn::get, |pfn| pfn)
}
