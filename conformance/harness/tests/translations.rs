//! A flush that does not flush is caught, and so are tables that no processor uses.
use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, LeafSize, LinkRefused, NodeId, PagingDepth, PhysAddr, PhysRange, VirtAddr, VirtRange,
    forward_to_field,
};
use sparsemem_harness::{Failure, Machine, check_flush};
use sparsemem_machine::MachineConfig;
use sparsemem_x86_64_page_table::X86_64;

const NODE: NodeId = NodeId::new(0);

/// The promise that an environment breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Nothing,
    Flush,
    Root,
}

/// A machine that breaks one promise.
struct Environment {
    machine: Machine,
    breaks: Breaks,
}

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl [] PhysMap for Environment => machine);

// SAFETY: the blocks are the machine's.
forward_to_field!(unsafe impl [] MetadataMemory for Environment => machine);

// SAFETY: the machine's own; a promise is broken only where a test wants that.
unsafe impl AddressSpace for Environment {
    fn root(&self) -> PhysAddr {
        self.machine.root()
    }

    fn depth(&self) -> PagingDepth {
        self.machine.depth()
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        if self.breaks == Breaks::Root {
            return Err(LinkRefused { at });
        }
        self.machine.linked(at, to, size)
    }

    fn flush(&mut self, range: VirtRange) {
        if self.breaks != Breaks::Flush {
            self.machine.flush(range);
        }
    }
}

/// Checks a machine that breaks a promise, in its window.
fn check(breaks: Breaks, bytes: u64) -> (Result<(), Failure>, Environment) {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(bytes)).unwrap();
    let config = MachineConfig::new().memory(memory, NODE).vmemmap_bytes(1 << 21);
    let machine = Machine::new(&config).unwrap();
    let at: NonNull<u8> = machine.window_ptr();
    let mut env = Environment { machine, breaks };
    // SAFETY: the machine's tables have this format; nothing else uses its window.
    let checked = unsafe { check_flush::<X86_64, _>(&mut env, NODE, at) };
    (checked, env)
}

#[test]
fn each_clause_has_an_environment_that_breaks_it_and_is_caught() {
    for (breaks, clause) in [
        (Breaks::Flush, "clause 3: after `flush` no processor"),
        (Breaks::Root, "clause 1: the processor uses"),
    ] {
        let failure = check(breaks, 64 << 20).0.unwrap_err();
        assert!(failure.what.contains(clause), "{clause}: {failure}");
    }
}

#[test]
fn a_correct_environment_passes_and_has_everything_back() {
    let (checked, env) = check(Breaks::Nothing, 64 << 20);
    checked.unwrap();
    assert!(env.machine.balance().is_zero());
    assert!(env.machine.mirror_matches_tables().is_ok());
}
