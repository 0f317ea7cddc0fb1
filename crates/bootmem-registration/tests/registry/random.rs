//! Tags and fates after random registrations and releases, against sets of pieces.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sparsemem_bootmem_registration::{Fate, MetadataKind, Piece, Purpose, User};
use sparsemem_core::PhysRange;
use sparsemem_core::presets::TinyWide;

use crate::{SECTION, at, nr, pages, tag, with};

/// Blocks that the random sequences use: bytes, and who may use them.
fn blocks() -> Vec<PhysRange> {
    let small = (0..4).map(|index| at(SECTION + 3, 1000 * index, 1000));
    small
        .chain([pages(5, 2), pages(SECTION + 8, 3), at(2 * SECTION, 5, 4096), at(3 * SECTION - 1, 0, 8192)])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Tags are what the pieces say after every step, and every page is told free or leaving exactly when its last
    /// piece goes.
    #[test]
    fn tags_follow_from_pieces(
        steps in prop::collection::vec((any::<bool>(), 0u64..4, 0usize..8), 1..60),
    ) {
        let blocks = blocks();
        with(|registry| {
            let mut oracle = BTreeSet::new();
            for (get, section, index) in steps {
                let bytes = blocks[index];
                let user = User::Section(nr(section));
                if get {
                    let new = oracle.len() < 12 && !oracle.contains(&(index, section));
                    let got = registry.get(Piece::usage(nr(section), bytes));
                    assert_eq!(got.is_ok(), new, "{got:?}");
                    oracle.extend(new.then_some((index, section)));
                } else {
                    let mut told = Vec::new();
                    let put = registry.put(user, bytes, &mut |run| told.push(run));
                    assert_eq!(put.is_ok(), oracle.remove(&(index, section)));
                    let judged: u64 = told.iter().map(|run| run.pages.count().get()).sum();
                    let touched = Piece::usage(nr(section), bytes).pages::<TinyWide>().count().get();
                    assert_eq!(judged, if put.is_ok() { touched } else { 0 }, "every page, once");
                    for run in told {
                        for page in run.pages.start().get()..run.pages.end().get() {
                            let left = users(&oracle, &blocks, page).len();
                            assert_eq!(run.fate == Fate::Shared, left > 0);
                            assert_eq!(run.fate == Fate::Leaves, left == 0 && page / SECTION == section);
                        }
                    }
                }
                for page in 0..4 * SECTION {
                    let users = users(&oracle, &blocks, page);
                    let expected = users.iter().max().map(|highest| {
                        (MetadataKind::MixInfo, *highest, u32::try_from(users.len()).unwrap())
                    });
                    assert_eq!(tag(registry, page), expected);
                }
                assert!(registry.pieces().all(|piece| piece.purpose() == Purpose::Usage));
            }
        });
    }
}

/// The sections that use a page, once per piece.
fn users(oracle: &BTreeSet<(usize, u64)>, blocks: &[PhysRange], page: u64) -> Vec<u64> {
    let page = pages(page, 1);
    oracle.iter().filter(|(index, _)| blocks[*index].overlaps(page)).map(|(_, section)| *section).collect()
}
