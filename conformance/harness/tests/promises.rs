//! Each promise of an environment or a grace period that can be observed has a double that breaks it and is caught.

use core::alloc::Layout;
use std::collections::BTreeMap;

use sparsemem_core::{
    Block, ByteLen, ForeignBlock, GracePeriod, MetadataMemory, NodeId, OutOfMemory, PhysAddr, PhysMap,
    PhysRange, Reclaim, Rejected,
};
use sparsemem_harness::{HostRcu, Machine, check_grace_period, check_provider};
use sparsemem_machine::MachineConfig;

const NODE: NodeId = NodeId::new(0);

/// The promise that a provider breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Nothing,
    Zero,
    Alignment,
    Layout,
    Ownership,
    Address,
    Refusal,
    TakingBack,
}

/// A machine that breaks one promise.
struct Provider {
    machine: Machine,
    breaks: Breaks,
    /// Blocks that were given with other parts than those that the machine gave.
    changed: BTreeMap<usize, Block>,
    /// A block that is given again and again.
    last: Option<(core::ptr::NonNull<u8>, PhysAddr)>,
}

impl Provider {
    fn new(breaks: Breaks) -> Self {
        let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(64 << 20)).unwrap();
        let machine = Machine::new(&MachineConfig::new().memory(memory, NODE)).unwrap();
        Self { machine, breaks, changed: BTreeMap::new(), last: None }
    }

    /// A block of other parts, in place of one of the machine's.
    fn change(&mut self, own: Block, skip: usize, layout: Layout) -> Block {
        // SAFETY: the machine's block is larger than what is skipped.
        let start = unsafe { own.start().add(skip) };
        let phys = own.phys().checked_add(ByteLen::new(skip as u64)).unwrap();
        // SAFETY: a part of the machine's block, which is kept until this one is given back.
        let block = unsafe { Block::from_parts(start, phys, layout, own.origin()) };
        self.changed.insert(start.addr().get(), own);
        block
    }
}

// SAFETY: the machine stays in its place; an address is wrong only if a test wants that.
unsafe impl PhysMap for Provider {
    fn phys_to_virt(&self, at: PhysAddr) -> core::ptr::NonNull<u8> {
        self.machine.phys_to_virt(at)
    }

    fn virt_to_phys(&self, at: core::ptr::NonNull<u8>) -> Option<PhysAddr> {
        self.machine.virt_to_phys(at).filter(|_| self.breaks != Breaks::Address)
    }
}

// SAFETY: one clause is broken, which is what the test is about; nothing else uses the blocks.
unsafe impl MetadataMemory for Provider {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        let more = Layout::from_size_align(layout.size() * 2 + 8192, layout.align().max(64)).unwrap();
        match self.breaks {
            Breaks::Alignment if layout.align() > 1 => {
                let own = self.machine.alloc_zeroed(more, node)?;
                Ok(self.change(own, layout.align() / 2, layout))
            }
            Breaks::Layout => {
                let own = self.machine.alloc_zeroed(more, node)?;
                Ok(self.change(own, 0, Layout::from_size_align(layout.size() + 1, layout.align()).unwrap()))
            }
            Breaks::Zero => {
                let block = self.machine.alloc_zeroed(layout, node)?;
                // SAFETY: the block is owned, and has a byte.
                unsafe { block.start().write(1) };
                Ok(block)
            }
            Breaks::Ownership => {
                let (start, phys) = match self.last {
                    Some(last) => last,
                    None => {
                        let block = self
                            .machine
                            .alloc_zeroed(Layout::from_size_align(1 << 20, 1 << 20).unwrap(), node)?;
                        (block.start(), block.phys())
                    }
                };
                self.last = Some((start, phys));
                // SAFETY: the bytes are zeroed here, and only the test uses them.
                unsafe { start.write_bytes(0, layout.size()) };
                // SAFETY: as above.
                Ok(unsafe { Block::from_parts(start, phys, layout, sparsemem_core::Origin::Boot) })
            }
            _ => self.machine.alloc_zeroed(layout, node),
        }
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        let own = self.changed.remove(&block.start().addr().get());
        match self.breaks {
            Breaks::Refusal | Breaks::Ownership => Ok(()),
            Breaks::TakingBack => Err(Rejected { error: block.foreign(), returned: block }),
            _ => self.machine.free(own.unwrap_or(block)),
        }
    }
}

#[test]
fn each_clause_has_a_provider_that_breaks_it_and_is_caught() {
    let told = [
        (Breaks::Zero, "zeroed"),
        (Breaks::Alignment, "aligned at both"),
        (Breaks::Layout, "exactly the layout"),
        (Breaks::Ownership, "exclusively owned"),
        (Breaks::Address, "lead to each other"),
        (Breaks::Refusal, "refuses what it did not give"),
        (Breaks::TakingBack, "takes back what it gave"),
    ];
    for (breaks, clause) in told {
        let failure = check_provider(&mut Provider::new(breaks), NODE).unwrap_err();
        assert!(failure.what.contains(clause), "{clause}: {failure}");
    }
}

#[test]
fn a_correct_provider_passes_and_has_everything_back() {
    let mut provider = Provider::new(Breaks::Nothing);
    check_provider(&mut provider, NODE).unwrap();
    assert!(provider.machine.balance().is_zero());
}

/// A domain that does not wait.
enum Hasty {}

// SAFETY: it breaks the contract, which is what the test is about; nothing is reclaimed in it.
unsafe impl Reclaim for Hasty {
    type Guard = ();

    fn enter() -> Self::Guard {}
}

// SAFETY: as above.
unsafe impl GracePeriod for Hasty {
    fn synchronize() {}
}

#[test]
fn a_grace_period_that_returns_too_early_is_caught() {
    enum Readers {}
    let failure = check_grace_period::<Hasty>().unwrap_err();
    assert_eq!(failure.found, "a return while the guard exists");
    check_grace_period::<HostRcu<Readers>>().unwrap();
}
