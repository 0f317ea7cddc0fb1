//! The allocator against one that is too simple to be wrong: a flag for every 16 bytes.

mod common;

use common::{bytes, layout};
use proptest::prelude::*;
use sparsemem_core::{Block, MetadataMemory, NodeId};
use sparsemem_machine::{Machine, MachineConfig};

const GRANULE: u64 = 16;
/// Node, start and end of each piece of memory; two pieces of node 0 touch, and there are holes.
const MEMORY: [(u32, u64, u64); 4] = [
    (0, 0x10_0000, 0x12_0000),
    (0, 0x12_0000, 0x15_0000),
    (1, 0x18_0000, 0x1a_0000),
    (0, 0x1b_0000, 0x1c_0000),
];

/// The granules that are free, per node.
struct Oracle {
    free: Vec<Vec<bool>>,
}

impl Oracle {
    fn new() -> Self {
        let mut free = vec![vec![false; 0x1c_0000 / 16]; 2];
        for (node, start, end) in MEMORY {
            for granule in start / GRANULE..end / GRANULE {
                free[node as usize][usize::try_from(granule).unwrap()] = true;
            }
        }
        Self { free }
    }

    fn granules(start: u64, size: u64) -> std::ops::Range<usize> {
        let end = (start + size).div_ceil(GRANULE);
        usize::try_from(start / GRANULE).unwrap()..usize::try_from(end).unwrap()
    }

    fn set(&mut self, node: usize, start: u64, size: u64, value: bool) {
        self.free[node][Self::granules(start, size)].fill(value);
    }

    /// Tries every address there is, in the order of preference.
    fn take(&mut self, size: u64, align: u64, preferred: usize) -> Option<(usize, u64)> {
        for node in [preferred, 1 - preferred] {
            let fits = |start: &u64| {
                let range = Self::granules(*start, size);
                self.free[node].get(range).is_some_and(|granules| granules.iter().all(|free| *free))
            };
            let step = align.max(GRANULE);
            let mut starts = (0..0x1c_0000 / step).map(|index| index * step);
            let found = if size >= 64 << 10 { starts.find(fits) } else { starts.rev().find(fits) };
            if let Some(start) = found {
                self.set(node, start, size, false);
                return Some((node, start));
            }
        }
        None
    }
}

#[derive(Clone, Debug)]
enum Action {
    Take { size: u64, align: u32, node: u32 },
    Free { which: prop::sample::Index },
}

fn action() -> impl Strategy<Value = Action> {
    let size = prop_oneof![4 => 1..200_u64, 3 => Just(4096), 2 => 4000..40_000_u64, 2 => 60_000..200_000_u64];
    let take = (size, 0..17_u32, 0..2_u32).prop_map(|(size, align, node)| Action::Take { size, align, node });
    prop_oneof![3 => take, 2 => any::<prop::sample::Index>().prop_map(|which| Action::Free { which })]
}

fn is_zero(block: &Block) -> bool {
    // SAFETY: the block is the caller's, and fresh.
    let bytes = unsafe { core::slice::from_raw_parts(block.start().as_ptr(), block.layout().size()) };
    bytes.iter().all(|byte| *byte == 0)
}

fn machine() -> Machine {
    let add = |config: MachineConfig, (node, start, end)| config.memory(bytes(start, end), NodeId::new(node));
    Machine::new(&MEMORY.into_iter().fold(MachineConfig::new(), add)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_block_is_where_the_oracle_says(actions in prop::collection::vec(action(), 1..120)) {
        let mut machine = machine();
        let fresh = (machine.state_digest(), machine.balance());
        let mut oracle = Oracle::new();
        let mut blocks: Vec<(usize, Block)> = Vec::new();
        for action in actions {
            match action {
                Action::Take { size, align, node } => {
                    let before = machine.state_digest();
                    let expected = oracle.take(size, 1 << align, node as usize);
                    let block = machine.alloc_zeroed(layout(size, 1 << align), NodeId::new(node));
                    prop_assert_eq!(block.as_ref().ok().map(|b| b.phys().get()), expected.map(|(_, start)| start));
                    match (block, expected) {
                        (Ok(block), Some((node, _))) => {
                            prop_assert!(is_zero(&block));
                            // SAFETY: the block is this test's.
                            unsafe { block.start().write_bytes(0xff, block.layout().size()) };
                            blocks.push((node, block));
                        }
                        _ => prop_assert_eq!(machine.state_digest(), before),
                    }
                }
                Action::Free { .. } if blocks.is_empty() => {}
                Action::Free { which } => {
                    let (node, block) = blocks.swap_remove(which.index(blocks.len()));
                    oracle.set(node, block.phys().get(), block.layout().size() as u64, true);
                    prop_assert!(machine.free(block).is_ok());
                }
            }
            let bytes: u64 = blocks.iter().map(|(_, block)| block.layout().size() as u64).sum();
            prop_assert_eq!(machine.balance().total().bytes, bytes);
            prop_assert_eq!(machine.outstanding().count(), blocks.len());
        }
        for (_, block) in blocks {
            prop_assert!(machine.free(block).is_ok());
        }
        prop_assert_eq!((machine.state_digest(), machine.balance()), fresh);
    }
}
