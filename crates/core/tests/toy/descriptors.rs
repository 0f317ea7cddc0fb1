//! Initialising and resetting the descriptors of a model, each with its own frame and section.

use std::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::{
    MemoryModel, Page, PageDescriptor, Pfn, SectionNr, SectionStamp, initialise, initialise_fresh, reset,
};

use crate::model::{Toy, count, frames};

/// A descriptor that notes what was done to it, and whose initialised form differs from frame to frame.
#[derive(Default)]
pub(crate) struct Note {
    pfn: AtomicU64,
    section: AtomicU64,
    initialised: AtomicU64,
    reset: AtomicU64,
}

// SAFETY: atomic integers: zero bytes are valid, and there is nothing to drop.
unsafe impl PageDescriptor for Note {
    unsafe fn initialise(&self, pfn: Pfn, section: SectionNr) {
        self.pfn.store(pfn.get(), Ordering::Relaxed);
        self.section.store(section.get(), Ordering::Relaxed);
        self.initialised.fetch_add(1, Ordering::Relaxed);
    }

    unsafe fn reset(&self, pfn: Pfn, section: SectionNr) {
        self.pfn.store(pfn.get(), Ordering::Relaxed);
        self.section.store(section.get(), Ordering::Relaxed);
        self.reset.fetch_add(1, Ordering::Relaxed);
    }
}

impl Note {
    /// Frame, section, how often it was initialised, and how often it was reset.
    pub(crate) fn read(&self) -> [u64; 4] {
        [&self.pfn, &self.section, &self.initialised, &self.reset].map(|word| word.load(Ordering::Relaxed))
    }
}

/// Frames 2 to 19, but not 12 and 13.
fn model<P: PageDescriptor>() -> Toy<P> {
    Toy::populated("toy", [frames(2, 12), frames(14, 20)])
}

/// Checks that each descriptor noted what it should if exactly the frames that `done` names were acted on.
fn expect(model: &Toy<Note>, done: impl Fn(u64) -> [u64; 2]) {
    for pfn in 0..64 {
        let counts = done(pfn);
        let noted = if counts == [0, 0] { [0, 0] } else { [pfn, pfn / 8] };
        assert_eq!(model.peek(pfn).read(), [noted[0], noted[1], counts[0], counts[1]], "frame {pfn}");
    }
}

fn is_valid(pfn: u64) -> bool {
    (2..20).contains(&pfn) && pfn / 2 != 6
}

#[test]
fn every_valid_frame_is_initialised_once() {
    let model = model::<Note>();
    assert_eq!(initialise(&model, frames(0, 64)), count(16));
    expect(&model, |pfn| [u64::from(is_valid(pfn)), 0]);
}

#[test]
fn every_valid_frame_is_reset_once() {
    let model = model::<Note>();
    assert_eq!(reset(&model, frames(0, 64)), count(16));
    expect(&model, |pfn| [0, u64::from(is_valid(pfn))]);
}

#[test]
fn frames_outside_of_the_range_are_left_alone() {
    let model = model::<Note>();
    assert_eq!(initialise(&model, frames(5, 15)), count(8));
    assert_eq!(reset(&model, frames(9, 10)), count(1));
    let inside = |pfn: u64| u64::from((5..15).contains(&pfn) && is_valid(pfn));
    expect(&model, |pfn| [inside(pfn), u64::from(pfn == 9)]);
    assert_eq!(initialise(&model, frames(20, 64)), count(0));
    assert_eq!(reset(&model, frames(9, 9)), count(0));
}

/// Without this the section of a descriptor, and so its frame, could not be told.
#[test]
fn initialised_pages_know_their_section() {
    let model = model::<Page>();
    initialise(&model, frames(0, 64));
    let reader = model.read();
    for pfn in (0..64).filter(|pfn| is_valid(*pfn)) {
        assert_eq!(reader.page(Pfn::new(pfn)).unwrap().section(), SectionNr::new(pfn / 8));
    }
}

#[test]
fn a_page_made_for_a_section_is_one_that_was_initialised() {
    let section = SectionNr::new(u64::from(u32::MAX));
    let made = Page::initialised(section).unwrap();
    assert_eq!(made.section(), section);
    assert!(Note::initialised(section).is_none(), "a descriptor need not have such a form");
}

#[test]
fn resetting_ends_what_a_user_wrote() {
    let model = model::<Page>();
    // SAFETY: nobody uses the model yet.
    assert_eq!(unsafe { initialise_fresh(&model, frames(0, 64)) }, count(16));
    let reader = model.read();
    let page = reader.page(Pfn::new(17)).unwrap();
    page.private.store(7, Ordering::Relaxed);
    page.references.store(1, Ordering::Relaxed);
    initialise(&model, frames(0, 64));
    assert_eq!(page.private.load(Ordering::Relaxed), 7, "initialising takes nothing from a user");
    reset(&model, frames(16, 18));
    assert_eq!((page.private.load(Ordering::Relaxed), page.references.load(Ordering::Relaxed)), (0, 0));
    assert_eq!(page.section(), SectionNr::new(2));
}
