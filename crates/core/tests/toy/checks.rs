//! Operations refuse frames at the ends of a geometry, and frames in the wrong state, before they begin.
//!
//! The geometry is `Tiny`: subsections of 2 frames, sections of 8, 64 frames in all.

use sparsemem_core::presets::Tiny;
use sparsemem_core::{
    FramesError, LinkRefused, Mark, MarkError, MemoryModel, NodeId, OutOfMemory, Page, Pfn, PfnRange,
    RetireError, SectionLoss, SectionNr, SectionPart, SubsectionBits, VirtAddr,
};

use crate::model::{Toy, bits, frames};

fn check(frames: PfnRange) -> Result<(SectionNr, SubsectionBits), FramesError> {
    FramesError::check::<Tiny>(frames)
}

#[test]
fn whole_subsections_of_one_section_pass() {
    let section = SectionNr::new;
    assert_eq!(check(frames(0, 8)), Ok((section(0), bits(0b1111))));
    assert_eq!(check(frames(2, 4)), Ok((section(0), bits(0b0010))));
    assert_eq!(check(frames(12, 16)), Ok((section(1), bits(0b1100))));
    assert_eq!(check(frames(62, 64)), Ok((section(7), bits(0b1000))), "the last subsection there is");
}

#[test]
fn no_frames_are_refused() {
    let none = frames(4, 4);
    assert_eq!(check(none), Err(FramesError::Empty { frames: none }));
}

#[test]
fn parts_of_subsections_are_refused() {
    for frames in [frames(3, 6), frames(2, 5), frames(3, 5), frames(0, 1), frames(0, 65)] {
        assert_eq!(check(frames), Err(FramesError::Unaligned { frames, granule: 2 }), "{frames}");
    }
}

#[test]
fn frames_behind_the_last_are_refused() {
    let last = Pfn::new(63);
    for frames in [frames(62, 66), frames(64, 66), frames(0, 1 << 40)] {
        let refused = FramesError::BeyondMaximum { frames, last };
        assert_eq!(check(frames), Err(refused), "{frames}");
        assert_eq!(FramesError::check_subsections::<Tiny>(frames), Err(refused), "{frames}");
    }
}

#[test]
fn two_sections_are_refused_only_where_one_is_asked_for() {
    for (frames, section) in [(frames(6, 10), 0), (frames(0, 64), 0), (frames(50, 64), 6)] {
        let section = SectionNr::new(section);
        assert_eq!(check(frames), Err(FramesError::CrossesSection { frames, section }));
        assert_eq!(FramesError::check_subsections::<Tiny>(frames), Ok(()), "{frames}");
    }
}

#[test]
fn a_range_is_worked_through_section_by_section() {
    let part = |section, range, word| SectionPart {
        section: SectionNr::new(section),
        frames: range,
        bits: bits(word),
    };
    let all = frames(6, 18);
    let parts =
        [part(0, frames(6, 8), 0b1000), part(1, frames(8, 16), 0b1111), part(2, frames(16, 18), 0b0001)];
    assert_eq!(SectionPart::of::<Tiny>(all).collect::<Vec<_>>(), parts);
    assert_eq!(SectionPart::first_of::<Tiny>(all), (parts[0], frames(8, 18)));
    assert_eq!(SectionPart::first_of::<Tiny>(frames(16, 18)), (parts[2], frames(18, 18)));
}

/// Frames 0 to 9 and 12 to 15, of which 4 to 9 are online.
fn model() -> Toy {
    let model = Toy::<Page>::populated("toy", [frames(0, 10), frames(12, 16)]);
    model.write().unwrap().set_online(frames(4, 10)).unwrap();
    model
}

#[test]
fn only_what_is_there_and_offline_is_retired() {
    let (model, section) = (model(), SectionNr::new);
    let check = |frames| RetireError::check(&model, frames);
    assert_eq!(check(frames(0, 4)), Ok(()));
    assert_eq!(check(frames(12, 16)), Ok(()));
    let odd = frames(0, 3);
    assert_eq!(check(odd), Err(FramesError::Unaligned { frames: odd, granule: 2 }.into()));
    let online = RetireError::Online { frames: frames(2, 8), section: section(0), online: bits(0b1100) };
    assert_eq!(check(frames(2, 8)), Err(online));
    // The second section of a request is looked at as the first is.
    model.write().unwrap().set_offline(frames(4, 8)).unwrap();
    let online = RetireError::Online { frames: frames(8, 10), section: section(1), online: bits(0b0001) };
    assert_eq!(check(frames(0, 10)), Err(online));
    let absent = RetireError::Absent { frames: frames(8, 16), section: section(1), absent: bits(0b0010) };
    assert_eq!(check(frames(6, 16)), Err(absent));
}

#[test]
fn only_what_is_there_and_not_so_already_is_marked() {
    let (model, section) = (model(), SectionNr::new);
    let check = |frames, mark| MarkError::check(&model, frames, mark);
    assert_eq!(check(frames(0, 4), Mark::Online), Ok(()));
    assert_eq!(check(frames(4, 10), Mark::Offline), Ok(()));
    for mark in [Mark::Online, Mark::Offline, Mark::Shared] {
        let beyond = frames(62, 66);
        let refused = FramesError::BeyondMaximum { frames: beyond, last: Pfn::new(63) };
        assert_eq!(check(beyond, mark), Err(refused.into()));
    }
    let already = |range, nr, word| {
        Err(MarkError::Already { frames: range, section: section(nr), already: bits(word) })
    };
    assert_eq!(check(frames(2, 6), Mark::Online), already(frames(2, 6), 0, 0b0100));
    assert_eq!(check(frames(2, 6), Mark::Offline), already(frames(2, 6), 0, 0b0010));
    assert_eq!(check(frames(2, 6), Mark::Shared), Ok(()), "sharing says nothing of being online");
    let absent =
        |range, nr, word| Err(MarkError::Absent { frames: range, section: section(nr), absent: bits(word) });
    assert_eq!(check(frames(4, 12), Mark::Offline), absent(frames(8, 12), 1, 0b0010));
    assert_eq!(check(frames(10, 14), Mark::Shared), absent(frames(10, 14), 1, 0b0010));
    assert_eq!(check(frames(12, 18), Mark::Online), absent(frames(16, 18), 2, 0b0001));
}

#[test]
fn a_loss_for_want_of_memory_says_what_memory() {
    let error = OutOfMemory { size: 4096, align: 64, node: NodeId::new(3) };
    for loss in [SectionLoss::Root(error), SectionLoss::Usage(error), SectionLoss::Memmap(error)] {
        assert_eq!((loss.out_of_memory(), loss.link_refused()), (Some(error), None));
    }
    let refused = LinkRefused { at: VirtAddr::new(0x20_0000) };
    let loss = SectionLoss::Mapping(refused);
    assert_eq!((loss.out_of_memory(), loss.link_refused()), (None, Some(refused)));
    let other = SectionLoss::PlaceTaken;
    assert_eq!((other.out_of_memory(), other.link_refused()), (None, None));
}
