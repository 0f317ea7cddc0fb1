//! The frames of an altmap: Linux' worked vectors, bad input, and random sequences against plain sets.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sparsemem_altmap::{FramePool, GiveBackError, TakeError, TooFewWords};
use sparsemem_core::{PageCount, Pfn, PfnRange};

const ONE: PageCount = PageCount::new(1);

fn frames(start: u64, count: u64) -> PfnRange {
    PfnRange::from_start_count(Pfn::new(start), PageCount::new(count)).unwrap()
}

fn words(count: u64) -> Vec<u64> {
    vec![u64::MAX; usize::try_from(FramePool::words_needed(PageCount::new(count))).unwrap()]
}

/// Takes frames and says where they begin.
fn take(pool: &mut FramePool<'_>, count: u64) -> Option<u64> {
    pool.take(PageCount::new(count), ONE).ok().map(|block| {
        assert_eq!(block.count().get(), count);
        block.start().get()
    })
}

fn counters(pool: &FramePool<'_>) -> (u64, u64) {
    (pool.in_use().get(), pool.skipped().get())
}

#[test]
fn vector_t11_fresh_frames_lie_where_linux_puts_them() {
    let mut words = words(4096);
    // Base 0x100000, two frames kept.
    let mut pool = FramePool::new(frames(0x10_0002, 4096), &mut words).unwrap();
    assert_eq!(take(&mut pool, 512), Some(0x10_0200));
    assert_eq!(counters(&pool), (512, 510));
    assert_eq!(take(&mut pool, 1), Some(0x10_0400));
    assert_eq!(take(&mut pool, 512), Some(0x10_0600));
    assert_eq!(counters(&pool), (1025, 510 + 511));
    assert_eq!(take(&mut pool, 3), Some(0x10_0800));
    assert_eq!(take(&mut pool, 2048), None);
    assert_eq!(counters(&pool), (1028, 1021));
    assert_eq!(pool.fresh_left().get(), 2047);
}

#[test]
fn vector_t12_alignment_is_that_of_the_frame_number() {
    let mut storage = words(512);
    let mut pool = FramePool::new(frames(0x10_0000, 512), &mut storage).unwrap();
    assert_eq!((take(&mut pool, 512), take(&mut pool, 1)), (Some(0x10_0000), None));
    let mut storage = words(513);
    let mut pool = FramePool::new(frames(0x10_0001, 513), &mut storage).unwrap();
    assert_eq!((take(&mut pool, 512), counters(&pool)), (None, (0, 0)));
    let mut storage = words(1023);
    let mut pool = FramePool::new(frames(0x10_0001, 1023), &mut storage).unwrap();
    assert_eq!(take(&mut pool, 512), Some(0x10_0200));
    assert_eq!((counters(&pool), pool.fresh_left().get()), ((512, 511), 0));
}

#[test]
fn padding_and_returned_frames_are_given_when_no_fresh_ones_are_left() {
    let mut storage = words(1022);
    let mut pool = FramePool::new(frames(0x10_0002, 1022), &mut storage).unwrap();
    let large = pool.take(PageCount::new(512), ONE).unwrap();
    assert_eq!(take(&mut pool, 2), Some(0x10_0002), "Linux has lost these 510 frames");
    assert_eq!(take(&mut pool, 256), Some(0x10_0100));
    assert_eq!(take(&mut pool, 256), None);
    pool.give_back(large).unwrap();
    assert_eq!(take(&mut pool, 256), Some(0x10_0200), "frames behind all that is out are fresh again");
    assert_eq!(counters(&pool), (514, 252));
}

#[test]
fn giving_and_taking_back_is_no_change() {
    let mut storage = words(64);
    let mut pool = FramePool::new(frames(3, 64), &mut storage).unwrap();
    let before = format!("{pool:?}");
    let blocks: Vec<_> = [4, 1, 8].map(|count| pool.take(PageCount::new(count), ONE).unwrap()).to_vec();
    blocks.into_iter().for_each(|block| pool.give_back(block).unwrap());
    assert_eq!(format!("{pool:?}"), before);
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let mut storage = words(64);
    let mut pool = FramePool::new(frames(0, 64), &mut storage).unwrap();
    let before = format!("{pool:?}");
    assert_eq!(pool.take(PageCount::new(0), ONE), Err(TakeError::Nothing));
    for align in [0, 3, u64::MAX] {
        let align = PageCount::new(align);
        assert_eq!(pool.take(ONE, align), Err(TakeError::Alignment { align }));
    }
    for count in [65, 1 << 63, u64::MAX] {
        assert!(matches!(pool.take(PageCount::new(count), ONE), Err(TakeError::Exhausted { .. })), "{count}");
    }
    let huge = PageCount::new(1 << 63);
    assert!(pool.take(ONE, huge).is_ok(), "frame 0 is a multiple of anything");
    assert_eq!(pool.take(ONE, huge), Err(TakeError::Exhausted { count: ONE, align: huge }));
    pool.give_back(frames(0, 1)).unwrap();
    assert_eq!(format!("{pool:?}"), before);
}

#[test]
fn frames_at_the_very_top_do_not_wrap() {
    let mut storage = words(2);
    let mut pool = FramePool::new(frames(u64::MAX - 2, 2), &mut storage).unwrap();
    assert_eq!(take(&mut pool, 2), None, "the only even place is the last frame");
    assert_eq!(take(&mut pool, 1), Some(u64::MAX - 2));
    assert!(matches!(pool.take(ONE, PageCount::new(1 << 63)), Err(TakeError::Exhausted { .. })));
}

#[test]
fn foreign_double_and_broken_blocks_are_told_apart() {
    let mut storage = words(64);
    let pool_frames = frames(0x100, 64);
    let mut pool = FramePool::new(pool_frames, &mut storage).unwrap();
    let first = pool.take(PageCount::new(4), ONE).unwrap();
    let second = pool.take(PageCount::new(4), ONE).unwrap();
    let before = format!("{pool:?}");
    let mut refuse = |block: PfnRange, why: GiveBackError| {
        assert_eq!(pool.give_back(block), Err(why));
        assert_eq!(format!("{pool:?}"), before);
    };
    let foreign = |block| GiveBackError::Foreign { block, pool: pool_frames };
    refuse(frames(0x100, 0), GiveBackError::Nothing { block: frames(0x100, 0) });
    refuse(frames(0xff, 2), foreign(frames(0xff, 2)));
    refuse(frames(0x13f, 2), foreign(frames(0x13f, 2)));
    refuse(frames(u64::MAX - 1, 1), foreign(frames(u64::MAX - 1, 1)));
    refuse(frames(0x108, 1), GiveBackError::NotOut { block: frames(0x108, 1), free: Pfn::new(0x108) });
    refuse(frames(0x104, 8), GiveBackError::NotOut { block: frames(0x104, 8), free: Pfn::new(0x108) });
    for broken in [frames(0x100, 2), frames(0x102, 2), frames(0x100, 8), frames(0x102, 4), frames(0x101, 3)] {
        refuse(broken, GiveBackError::NotABlock { block: broken });
    }
    pool.give_back(first).unwrap();
    assert_eq!(pool.give_back(first), Err(GiveBackError::NotOut { block: first, free: first.start() }));
    pool.give_back(second).unwrap();
    assert_eq!(counters(&pool), (0, 0));
}

#[test]
fn too_few_words_are_refused() {
    assert_eq!(FramePool::words_needed(PageCount::new(65)), 4);
    let mut words = [0; 3];
    let error = FramePool::new(frames(0, 65), &mut words).unwrap_err();
    assert_eq!(error, TooFewWords { frames: PageCount::new(65), needed: 4, given: 3 });
    assert_eq!(error.to_string(), "a pool of 65 frames needs 4 words, not 3");
    assert!(FramePool::new(frames(0, u64::MAX), &mut words).is_err());
    let mut none = FramePool::new(frames(7, 0), &mut []).unwrap();
    assert_eq!(take(&mut none, 1), None);
}

/// The frames that are out: first frame to count.
#[derive(Default)]
struct Oracle {
    out: BTreeMap<u64, u64>,
}

impl Oracle {
    fn end(&self, pool: PfnRange) -> u64 {
        self.out.last_key_value().map_or(pool.start().get(), |(start, count)| start + count)
    }

    fn is_free(&self, start: u64, count: u64) -> bool {
        self.out.iter().all(|(other, len)| other + len <= start || start + count <= *other)
    }

    /// The first frame of the run that the pool has to give: behind all runs in use, else in the lowest free place.
    fn place(&self, pool: PfnRange, count: u64, align: u64) -> Option<u64> {
        let fits = |start: &u64| start + count <= pool.end().get();
        let fresh = self.end(pool).next_multiple_of(align);
        let free = |start: &u64| start % align == 0 && self.is_free(*start, count);
        Some(fresh).filter(fits).or_else(|| (pool.start().get()..pool.end().get()).filter(fits).find(free))
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take { count: u64, align: u32 },
    GiveBack { which: usize },
    Wrong { start: u64, count: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..40, 0u32..6).prop_map(|(count, align)| Step::Take { count, align }),
        3 => any::<usize>().prop_map(|which| Step::GiveBack { which }),
        1 => (0u64..260, 0u64..40).prop_map(|(start, count)| Step::Wrong { start, count }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_pool_is_a_set_of_blocks(
        first in 0u64..130,
        count in 0u64..200,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let range = frames(first, count);
        let mut storage = words(count);
        let mut pool = FramePool::new(range, &mut storage).unwrap();
        let mut oracle = Oracle::default();
        for step in steps {
            match step {
                Step::Take { count, align } => {
                    let natural = 1 << count.trailing_zeros();
                    let expected = oracle.place(range, count, natural.max(1 << align));
                    let found = pool.take(PageCount::new(count), PageCount::new(1 << align)).ok();
                    prop_assert_eq!(found.map(|block| block.start().get()), expected);
                    oracle.out.extend(expected.map(|start| (start, count)));
                }
                Step::GiveBack { which } => {
                    let Some(index) = which.checked_rem(oracle.out.len()) else { continue };
                    let (start, count) = oracle.out.iter().map(|(s, c)| (*s, *c)).nth(index).unwrap();
                    prop_assert_eq!(pool.give_back(frames(start, count)), Ok(()));
                    oracle.out.remove(&start);
                }
                Step::Wrong { start, count } => {
                    let known = oracle.out.get(&start) == Some(&count);
                    prop_assert_eq!(pool.give_back(frames(start, count)).is_ok(), known);
                    if known {
                        oracle.out.remove(&start);
                    }
                }
            }
            let in_use: u64 = oracle.out.values().sum();
            prop_assert_eq!(pool.in_use().get(), in_use);
            prop_assert_eq!(pool.skipped().get(), oracle.end(range) - first - in_use);
        }
        let last: Vec<_> = oracle.out.into_iter().collect();
        last.into_iter().for_each(|(start, count)| pool.give_back(frames(start, count)).unwrap());
        prop_assert_eq!(counters(&pool), (0, 0));
    }
}
