//! Walks over present sections and valid frames.

use sparsemem_core::presets::{Sparc64, Tiny};
use sparsemem_core::{MemoryModel, Page, Pfn, PfnRange, SectionNr, SectionShape, SubsectionBits};

use crate::model::{Toy, bits, count, frames};

fn model() -> Toy {
    Toy::<Page>::populated("toy", [frames(2, 4), frames(6, 20), frames(60, 64)])
}

fn runs(model: &Toy, within: PfnRange) -> Vec<PfnRange> {
    model.valid_ranges(within).collect()
}

#[test]
fn present_sections_come_in_order_up_to_the_last() {
    let sections = |model: &Toy| model.present_sections().map(SectionNr::get).take(9).collect::<Vec<_>>();
    assert_eq!(sections(&model()), [0, 1, 2, 7]);
    assert_eq!(sections(&Toy::new("empty")), []);
}

#[test]
fn runs_end_with_their_section_and_at_holes() {
    let all = [frames(2, 4), frames(6, 8), frames(8, 16), frames(16, 20), frames(60, 64)];
    assert_eq!(runs(&model(), frames(0, 64)), all);
    assert_eq!(runs(&model(), frames(0, u64::MAX)), all, "no frame lies behind the last");
}

#[test]
fn a_walk_stays_within_what_was_asked_for() {
    assert_eq!(runs(&model(), frames(3, 17)), [frames(3, 4), frames(6, 8), frames(8, 16), frames(16, 17)]);
    assert_eq!(runs(&model(), frames(9, 11)), [frames(9, 11)]);
    assert_eq!(runs(&model(), frames(20, 60)), []);
    assert_eq!(runs(&model(), frames(9, 9)), []);
}

#[test]
fn the_frames_of_a_walk_are_those_of_its_runs() {
    let frames: Vec<_> = model().valid_ranges(frames(3, 10)).frames().map(Pfn::get).collect();
    assert_eq!(frames, [3, 6, 7, 8, 9]);
}

#[test]
fn a_walk_sees_what_is_removed_meanwhile() {
    let model = model();
    let mut walk = model.valid_ranges(frames(0, 64));
    assert_eq!(walk.next(), Some(frames(2, 4)));
    let retired = model.write().unwrap().retire(&mut (), frames(6, 16)).unwrap();
    assert_eq!(retired.sections, 2);
    assert_eq!(walk.collect::<Vec<_>>(), [frames(16, 20), frames(60, 64)]);
}

#[test]
fn the_first_run_of_a_part_is_cut_to_the_part() {
    let run = |word, part| bits(word).first_run_in::<Tiny>(SectionNr::new(5), part);
    // Section 5 has the frames from 40 to 47.
    assert_eq!(run(0b0110, frames(40, 48)), Some(frames(42, 46)));
    assert_eq!(run(0b0110, frames(43, 45)), Some(frames(43, 45)));
    assert_eq!(run(0b1010, frames(44, 48)), Some(frames(46, 48)), "a run before the part is none of it");
    assert_eq!(run(0b1000, frames(40, 46)), None, "a run behind the part is none of it");
    assert_eq!(run(0, frames(40, 48)), None);
}

#[test]
fn runs_of_a_wide_section_lie_beyond_its_first_word() {
    let (nr, part) = (SectionNr::new(3), SectionNr::new(3).frames::<Sparc64>().unwrap());
    let set = SubsectionBits::from_words([0, 0, 0b110]);
    let first = part.start().saturating_add(count(129 * Sparc64::PAGES_PER_SUBSECTION));
    let run = PfnRange::from_start_count(first, count(2 * Sparc64::PAGES_PER_SUBSECTION));
    assert_eq!(set.first_run_in::<Sparc64>(nr, part), run);
}
