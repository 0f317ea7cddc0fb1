//! Initialising descriptors that nobody uses yet, alone and together, by copies of one descriptor or one by one.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use sparsemem_core::{
    Page, PageDescriptor, Pfn, SectionNr, SectionStamp, initialise_fresh, initialise_fresh_together,
};

use crate::descriptors::Note;
use crate::model::{Toy, count, frames};

/// A descriptor smaller than a cache line.
struct Small(AtomicU16);

/// A descriptor of two cache lines, which says its section in every word.
#[repr(C, align(64))]
struct Wide([AtomicU64; 16]);

// SAFETY: an atomic integer: zero bytes are valid, and there is nothing to drop.
unsafe impl PageDescriptor for Small {
    unsafe fn initialise(&self, _: Pfn, _: SectionNr) {}

    fn initialised(section: SectionNr) -> Option<Self> {
        Some(Self(AtomicU16::new(u16::try_from(section.get()).unwrap() + 1)))
    }
}

// SAFETY: as above.
unsafe impl PageDescriptor for Wide {
    unsafe fn initialise(&self, _: Pfn, _: SectionNr) {}

    fn initialised(section: SectionNr) -> Option<Self> {
        Some(Self(std::array::from_fn(|_| AtomicU64::new(section.get() + 1))))
    }
}

/// Frames 2 to 19, but not 12 and 13.
fn model<P: PageDescriptor>() -> Toy<P> {
    Toy::populated("toy", [frames(2, 12), frames(14, 20)])
}

fn is_valid(pfn: u64) -> bool {
    (2..20).contains(&pfn) && pfn / 2 != 6
}

/// The number in a descriptor of these tests: zero if it was never initialised, else its section and one.
fn expected(pfn: u64, from: u64, to: u64) -> u64 {
    if is_valid(pfn) && (from..to).contains(&pfn) { pfn / 8 + 1 } else { 0 }
}

#[test]
fn pages_are_stored_where_frames_are_valid_and_nowhere_else() {
    let model = model::<Page>();
    // Every descriptor gets something first that a stored copy overwrites.
    (0..64).for_each(|pfn| model.peek(pfn).flags.store(9, Ordering::Relaxed));
    // SAFETY: nobody uses the model.
    assert_eq!(unsafe { initialise_fresh(&model, frames(0, 64)) }, count(16));
    for pfn in 0..64 {
        let page = model.peek(pfn);
        let stored = (page.flags.load(Ordering::Relaxed), page.section());
        let section = SectionNr::new(pfn / 8);
        let expected = if is_valid(pfn) { (0, section) } else { (9, SectionNr::new(0)) };
        assert_eq!(stored, expected, "frame {pfn}");
    }
}

#[test]
fn a_range_that_ends_inside_a_subsection_is_done_up_to_there() {
    let (small, wide) = (model::<Small>(), model::<Wide>());
    // SAFETY: nobody uses the models.
    assert_eq!(unsafe { initialise_fresh(&small, frames(3, 17)) }, count(12));
    // SAFETY: as above.
    assert_eq!(unsafe { initialise_fresh(&wide, frames(3, 17)) }, count(12));
    for pfn in 0..64 {
        let expected = expected(pfn, 3, 17);
        assert_eq!(u64::from(small.peek(pfn).0.load(Ordering::Relaxed)), expected, "frame {pfn}");
        let words = wide.peek(pfn).0.iter().map(|word| word.load(Ordering::Relaxed));
        assert!(words.into_iter().all(|word| word == expected), "frame {pfn}");
    }
}

#[test]
fn no_frames_are_no_work() {
    let model = model::<Small>();
    // SAFETY: nobody uses the model.
    assert_eq!(unsafe { initialise_fresh(&model, frames(20, 64)) }, count(0));
    // SAFETY: as above.
    assert_eq!(unsafe { initialise_fresh(&model, frames(4, 4)) }, count(0));
    assert!((0..64).all(|pfn| model.peek(pfn).0.load(Ordering::Relaxed) == 0));
}

/// Each descriptor notes how often it was initialised: two processors that got one run would be seen.
#[test]
fn processors_that_work_together_do_every_frame_once() {
    let model = Toy::<Note>::populated("toy", [frames(0, 64)]);
    let together = |work: &(dyn Fn() + Sync)| {
        std::thread::scope(|threads| {
            (0..3).for_each(|_| drop(threads.spawn(work)));
            work();
        });
    };
    // SAFETY: nobody uses the model.
    assert_eq!(unsafe { initialise_fresh_together(&model, frames(0, 64), together) }, count(64));
    for pfn in 0..64 {
        assert_eq!(model.peek(pfn).read(), [pfn, pfn / 8, 1, 0], "frame {pfn}");
    }
}

/// The call of the executor does everything; that of the caller finds nothing left.
#[test]
fn what_an_executor_did_is_counted() {
    let model = model::<Page>();
    let calls = AtomicU64::new(0);
    let twice = |work: &(dyn Fn() + Sync)| {
        for _ in 0..2 {
            work();
            calls.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(model.peek(19).section(), SectionNr::new(2), "the last frame is done already");
    };
    // SAFETY: nobody uses the model.
    assert_eq!(unsafe { initialise_fresh_together(&model, frames(0, 64), twice) }, count(16));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn an_executor_that_calls_nobody_leaves_the_work_to_the_caller() {
    let model = model::<Page>();
    // SAFETY: nobody uses the model.
    assert_eq!(unsafe { initialise_fresh_together(&model, frames(0, 64), |_| {}) }, count(16));
    assert_eq!(model.peek(Pfn::new(9).get()).section(), SectionNr::new(1));
}
