//! The machine as an environment that can keep memmaps in memory of a test's choice, and refuse blocks on command.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    Block, ForeignBlock, MetadataMemory, NodeId, Origin, OutOfMemory, Pfn, PhysAddr, PhysMap, PhysRange,
    Rejected, forward_to_field, presets::X86_64,
};
use sparsemem_machine::{Demand, Machine, MachineConfig, Verdict};

use crate::tables::NODE;

/// Bytes of memory that the machine's allocators keep away from.
const RESERVED: u64 = 512 << 20;

pub(crate) struct Env {
    pub(crate) machine: Machine,
    /// Where the next memmap goes, if it is to lie in reserved memory: what an altmap does.
    memmaps: Option<PhysAddr>,
    /// Blocks in reserved memory that are out.
    pub(crate) in_altmap: u64,
    /// How many blocks still go back before the others are refused.
    pub(crate) takes_back: u64,
    pub(crate) refused: u64,
}

impl Env {
    /// Four sections of memory that the machine does not touch, and some that it allocates from.
    pub(crate) fn new() -> Self {
        let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(RESERVED + (256 << 20))).unwrap();
        let config = MachineConfig::new().memory(memory, NODE).reserved_low_bytes(RESERVED);
        let machine = Machine::new(&config).unwrap();
        Self { machine, memmaps: None, in_altmap: 0, takes_back: u64::MAX, refused: 0 }
    }

    /// Puts memmaps into the memory of `pfn` and of the frames after it.
    pub(crate) fn memmaps_at(&mut self, pfn: Pfn) {
        self.memmaps = pfn.phys::<X86_64>();
        assert!(self.memmaps.is_some_and(|at| at.get() < RESERVED));
    }

    /// Puts memmaps into memory of the machine's choice again.
    pub(crate) fn memmaps_anywhere(&mut self) {
        self.memmaps = None;
    }

    /// Refuses the usages and the memmaps of these numbers, counted from one.
    pub(crate) fn refuse(&mut self, usages: &'static [u32], memmaps: &'static [u32]) {
        let mut asked = [0, 0];
        self.machine.faults().fail_if(move |request| {
            let Demand::Block { layout, .. } = request.demand else { return Verdict::Grant };
            let (count, refused) = match layout.size() {
                // A root.
                4096 => return Verdict::Grant,
                size if size < 4096 => (&mut asked[0], usages),
                _ => (&mut asked[1], memmaps),
            };
            *count += 1;
            if refused.contains(count) { Verdict::Refuse } else { Verdict::Grant }
        });
    }

    /// Bytes that are out.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.machine.balance().total().bytes
    }

    /// Whether every block went back.
    pub(crate) fn is_whole(&self) -> bool {
        self.machine.balance().is_zero() && self.in_altmap == 0
    }
}

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl [] PhysMap for Env => machine);

// SAFETY: the machine's own blocks, and pieces of reserved memory, each given once.
unsafe impl MetadataMemory for Env {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.machine.alloc_zeroed(layout, node)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let Some(phys) = self.memmaps else { return self.machine.alloc_zeroed(layout, node) };
        self.memmaps = Some(PhysAddr::new(phys.get() + layout.size() as u64));
        self.in_altmap += 1;
        let start: NonNull<u8> = self.machine.phys_to_virt(phys);
        // SAFETY: memory that the machine has and does not allocate from; nobody else was given this piece.
        unsafe { start.write_bytes(0, layout.size()) };
        // SAFETY: as above.
        Ok(unsafe { Block::from_parts(start, phys, layout, Origin::Altmap) })
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if self.takes_back == 0 {
            self.refused += 1;
            return Err(Rejected { error: block.foreign(), returned: block });
        }
        self.takes_back -= 1;
        if block.origin() == Origin::Altmap {
            self.in_altmap -= 1;
            return Ok(());
        }
        self.machine.free(block)
    }
}
