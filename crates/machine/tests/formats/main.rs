//! Every entry format on the processor that it is for: the walker writes tables through the format, the machine reads
//! them as the processor's manual says, and reports a breach of its rules.

#[path = "../common/mod.rs"]
mod common;

mod altered;
mod broken;
mod exchange;
mod random;
mod rules;
mod shared;

use common::{GIB, NODE, bytes};
use sparsemem_aarch64_page_table::{Aarch64, End, Regime};
use sparsemem_core::{
    AddressSpace, ByteLen, LeafSize, LostBlocks, MetadataMemory, PagingDepth, VirtAddr, VirtRange,
};
use sparsemem_machine::{Machine, MachineConfig, Processor};
use sparsemem_page_table::{Choice, EntryFormat, Fate, Level, PageTable, PopulateError, Populated, Unmapped};
use sparsemem_riscv64_page_table::Riscv64;
use sparsemem_x86_64_page_table::X86_64;

/// The low end of an arm64 regime with pages of 2^`PAGE` bytes and addresses of `BITS`: a process has no other addresses.
#[derive(Clone, Copy, Debug)]
struct Low<const PAGE: u32, const BITS: u32>;

impl<const PAGE: u32, const BITS: u32> Regime for Low<PAGE, BITS> {
    const PAGE_SHIFT: u32 = PAGE;
    const ADDRESS_BITS: u32 = BITS;
    const END: End = End::Low;
}

/// A format, and the processor that it is for.
trait Tested: EntryFormat {
    const PROCESSOR: Processor;
}

impl Tested for X86_64 {
    const PROCESSOR: Processor = Processor::X86_64;
}

impl Tested for Riscv64 {
    const PROCESSOR: Processor = Processor::Riscv64;
}

impl<const PAGE: u32, const BITS: u32> Tested for Aarch64<Low<PAGE, BITS>> {
    const PROCESSOR: Processor = Processor::Aarch64 { page_shift: PAGE, address_bits: BITS };
}

/// Calls a generic function for every format and depth whose tables reach a window of four gibibytes.
macro_rules! each {
    ($test:ident) => {{
        use sparsemem_core::PagingDepth::{Five, Four, Three, Two};
        $test::<X86_64>(Four);
        $test::<X86_64>(Five);
        $test::<Riscv64>(Three);
        $test::<Riscv64>(Four);
        $test::<Riscv64>(Five);
        $test::<Aarch64<Low<12, 48>>>(Three);
        $test::<Aarch64<Low<12, 48>>>(Four);
        $test::<Aarch64<Low<12, 52>>>(Four);
        $test::<Aarch64<Low<12, 52>>>(Five);
        $test::<Aarch64<Low<14, 48>>>(Two);
        $test::<Aarch64<Low<14, 48>>>(Three);
        $test::<Aarch64<Low<14, 48>>>(Four);
        $test::<Aarch64<Low<14, 52>>>(Four);
        $test::<Aarch64<Low<16, 48>>>(Two);
        $test::<Aarch64<Low<16, 48>>>(Three);
        $test::<Aarch64<Low<16, 52>>>(Three);
    }};
}
pub(crate) use each;

/// A machine with the format's processor.
fn machine<F: Tested>(depth: PagingDepth) -> Machine {
    let config = MachineConfig::new().memory(bytes(0, 16 * GIB), NODE).vmemmap_bytes(4 * GIB);
    Machine::new(&config.processor(F::PROCESSOR).depth(depth)).unwrap()
}

fn tables<F: EntryFormat>(env: &impl AddressSpace) -> PageTable<F> {
    // SAFETY: the machine has a root of this depth, and only the test changes its tables.
    unsafe { PageTable::new(env.root(), env.depth()) }
}

/// `len` bytes of the window from `offset` on.
fn part(machine: &Machine, offset: u64, len: u64) -> VirtRange {
    VirtRange::from_start_count(common::at(machine, offset), ByteLen::new(len)).unwrap()
}

/// The size of the leaves of a level.
fn size<F: EntryFormat>(level: Level) -> LeafSize {
    F::leaf_size(level).unwrap()
}

/// Maps a range, with leaves of the second level for the slots that lie in it.
fn populate<F: EntryFormat, E: MetadataMemory + AddressSpace>(
    env: &mut E,
    range: VirtRange,
) -> Result<Populated, PopulateError> {
    let policy = |slot: VirtRange, leaf| match leaf == size::<F>(Level::PMD) && range.contains_range(slot) {
        true => Choice::Place,
        false => Choice::Smaller,
    };
    let mut lost = LostBlocks::default();
    let made = tables::<F>(env).populate(env, NODE, range, policy, &mut lost);
    assert!(lost.is_empty());
    made
}

/// Unmaps a range.
fn unmap<F: EntryFormat, E: MetadataMemory + AddressSpace>(env: &mut E, range: VirtRange) -> Unmapped {
    let mut lost = LostBlocks::default();
    let gone = tables::<F>(env).unmap(env, range, |_| Fate::Drop, &mut lost).unwrap();
    assert!(lost.is_empty());
    gone
}

/// The first address of the slot of an entry of `level`.
fn slot<F: EntryFormat>(at: VirtAddr, level: Level) -> VirtAddr {
    VirtAddr::new(at.get() >> F::shift(level) << F::shift(level))
}
