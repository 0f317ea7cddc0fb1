//! A handful of machines that are different in what a memory model can get wrong.

use sparsemem_core::{NodeId, PhysAddr, PhysRange};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A machine: its name and its memory, as first address, first address past it, and node.
#[derive(Clone, Copy, Debug)]
pub struct TestMachine {
    /// The name, for reports.
    pub name: &'static str,
    ranges: &'static [(u64, u64, u32)],
}

/// The machines on which [`tests!`](crate::tests) runs every scenario.
pub const MACHINES: &[TestMachine] = &[
    TestMachine { name: "board", ranges: &[(0, 512 * MIB, 0)] },
    TestMachine {
        name: "pc",
        ranges: &[
            (4 * KIB, 640 * KIB, 0),
            (MIB, 3 * GIB - 77 * MIB - 12 * KIB, 0),
            (3 * GIB - 76 * MIB, 3 * GIB - 75 * MIB - 4 * KIB, 0),
            (4 * GIB, 5 * GIB + 3 * MIB, 0),
        ],
    },
    TestMachine {
        name: "two-nodes-that-alternate",
        ranges: &[
            (0, GIB, 0),
            (GIB, 2 * GIB + 40 * MIB, 1),
            (2 * GIB + 40 * MIB, 3 * GIB, 0),
            (3 * GIB + 256 * MIB, 4 * GIB, 1),
        ],
    },
    TestMachine {
        name: "crumbs",
        ranges: &[
            (256 * MIB - 4 * KIB, 256 * MIB + 4 * KIB, 0),
            (384 * MIB + 8 * KIB, 384 * MIB + 12 * KIB, 0),
            (512 * MIB, 576 * MIB + 2 * MIB + 4 * KIB, 1),
            (700 * MIB, 900 * MIB, 0),
        ],
    },
    TestMachine { name: "two-sockets-far-apart", ranges: &[(0, 2 * GIB, 0), (512 * GIB, 514 * GIB, 1)] },
];

impl TestMachine {
    /// Its memory.
    pub fn memory(self) -> impl Iterator<Item = (PhysRange, NodeId)> + Clone {
        self.ranges.iter().filter_map(|(start, end, node)| {
            let range = PhysRange::new(PhysAddr::new(*start), PhysAddr::new(*end)).ok()?;
            Some((range, NodeId::new(*node)))
        })
    }
}
