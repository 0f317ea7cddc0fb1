//! An environment or a format that breaks one rule of the processor, for each rule: the machine notices every one.

use sparsemem_aarch64_page_table::Aarch64;
use sparsemem_core::{
    AddressSpace, Block, LeafSize, LinkRefused, MetadataMemory, Origin, PagingDepth, PhysAddr, PhysMap,
    VirtAddr, VirtRange, forward_to_field,
};
use sparsemem_machine::{Access, Machine, Mismatch, Processor, probe};
use sparsemem_page_table::{EntryFormat, Level, Root, Target};
use sparsemem_riscv64_page_table::Riscv64;
use sparsemem_x86_64_page_table::X86_64;

use super::altered::{Alter, Altered};
use super::{Low, Tested, each, machine, part, populate, size, slot, tables, unmap};
use crate::common::pointer;

/// The rule that an environment breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    None,
    Publish,
    Forget,
    Depth,
}

struct Broken<'m> {
    machine: &'m mut Machine,
    rule: Rule,
}

// SAFETY: the borrow keeps the machine in its place.
forward_to_field!(unsafe impl ['m] PhysMap for Broken<'m> => machine);

// SAFETY: all blocks are the machine's.
forward_to_field!(unsafe impl ['m] MetadataMemory for Broken<'m> => machine);

// SAFETY: it breaks the contract on purpose, and the test uses nothing that it maps.
unsafe impl AddressSpace for Broken<'_> {
    fn root(&self) -> PhysAddr {
        self.machine.root()
    }

    fn depth(&self) -> PagingDepth {
        match (self.rule, self.machine.depth()) {
            (Rule::Depth, PagingDepth::Four) => PagingDepth::Five,
            (Rule::Depth, _) => PagingDepth::Four,
            (_, depth) => depth,
        }
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.machine.linked(at, to, size)
    }

    fn published(&mut self, range: VirtRange) {
        if self.rule != Rule::Publish {
            self.machine.published(range);
        }
    }

    fn flush(&mut self, range: VirtRange) {
        if self.rule != Rule::Forget {
            self.machine.flush(range);
        }
    }
}

/// Populates and unmaps a small range through an environment that breaks a rule; returns what the machine noticed.
fn noticed<F: Tested>(depth: PagingDepth, rule: Rule) -> Result<(), Mismatch> {
    let mut machine = machine::<F>(depth);
    let range = part(&machine, 0, 1 << F::BASE_SHIFT);
    let populated = populate::<F, _>(&mut Broken { machine: &mut machine, rule }, range);
    let mut seen = machine.mirror_matches_tables();
    let accessible = probe(pointer(&machine, 0).as_ptr()) == Access::Readable;
    // A processor that has to be told keeps the memory out of reach until then.
    assert_eq!(accessible, populated.is_ok() && (rule != Rule::Publish || machine_sees::<F>()), "{rule:?}");
    if populated.is_ok() {
        let _ = unmap::<F, _>(&mut Broken { machine: &mut machine, rule }, range);
        seen = seen.and(machine.mirror_matches_tables());
    }
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
    seen
}

/// True if the processor sees a new mapping at once.
fn machine_sees<F: Tested>() -> bool {
    F::PROCESSOR == Processor::X86_64
}

fn every_rule_of_an_environment<F: Tested>(depth: PagingDepth) {
    assert_eq!(noticed::<F>(depth, Rule::None), Ok(()));
    let unpublished = noticed::<F>(depth, Rule::Publish);
    match machine_sees::<F>() {
        true => assert_eq!(unpublished, Ok(())),
        false => assert!(matches!(unpublished, Err(Mismatch::NotPublished { .. })), "{unpublished:?}"),
    }
    let unforgotten = noticed::<F>(depth, Rule::Forget);
    assert!(matches!(unforgotten, Err(Mismatch::FreedTooEarly { .. })), "{unforgotten:?}");
    if !matches!(
        F::root(if depth == PagingDepth::Four { PagingDepth::Five } else { PagingDepth::Four }),
        Root::NONE
    ) {
        assert!(noticed::<F>(depth, Rule::Depth).is_err(), "a top level of another depth");
    }
}

#[test]
fn every_rule_of_an_environment_is_watched() {
    each!(every_rule_of_an_environment);
}

/// A table is freed while the processor remembers it, although its leaf was forgotten: the flush is too small.
#[test]
fn tables_are_forgotten_as_well_as_leaves() {
    let mut machine = machine::<Riscv64>(PagingDepth::Three);
    let range = part(&machine, 0, 4096);
    let _ = populate::<Riscv64, _>(&mut machine, range).unwrap();
    let leaf = machine.translate(range.start()).unwrap().unwrap();
    let table = tables::<Riscv64>(&machine).table_pages(&machine, range);
    assert_eq!(table.total(), 3);
    let Some(Target::Table { at, .. }) = entry::<Riscv64>(&machine, range.start(), Level::PMD).map(|it| it.1)
    else {
        panic!("a table leads to the page")
    };
    // SAFETY: nobody uses the table or the page after this test.
    let block = unsafe {
        Block::from_parts(machine.phys_to_virt(at), at, size::<Riscv64>(Level::PTE).layout(), Origin::Boot)
    };
    machine.free(block).map_err(|refused| refused.error).unwrap();
    let found = machine.mirror_matches_tables();
    assert_eq!(found, Err(Mismatch::FreedTooEarly { block: at, at: slot::<Riscv64>(leaf.at, Level::PMD) }));
    // SAFETY: as above.
    unsafe { machine.demolish() };
}

/// The place of the entry of `level` for an address of the low end, and its target.
fn entry<F: EntryFormat>(machine: &Machine, at: VirtAddr, level: Level) -> Option<(PhysAddr, Target)> {
    let (mut table, mut now) = (machine.root(), F::root(machine.depth()).level());
    let mut covers = 0;
    loop {
        let index = (at.get() - covers) >> F::shift(now);
        covers += index << F::shift(now);
        let place = PhysAddr::new(table.get() + 8 * index);
        // SAFETY: the entry lies in a table of the simulated machine.
        let raw = unsafe { machine.phys_to_virt(place).cast::<u64>().read() };
        let target = F::target(raw, now);
        if now == level {
            return Some((place, target));
        }
        let Target::Table { at, .. } = target else { return None };
        table = at;
        now = now.below()?;
    }
}

/// A kernel that lets an entry in use map something else, and flushes afterwards.
fn a_live_change<F: Tested>(depth: PagingDepth) {
    let mut machine = machine::<F>(depth);
    let range = part(&machine, 0, 1 << F::BASE_SHIFT);
    let _ = populate::<F, _>(&mut machine, range).unwrap();
    let other = machine.alloc_zeroed(size::<F>(Level::PTE).layout(), crate::common::NODE).unwrap();
    let (place, _) = entry::<F>(&machine, range.start(), Level::PTE).unwrap();
    let raw = F::leaf(other.phys(), Level::PTE, Origin::Boot) & !F::FRESH;
    // SAFETY: the entry lies in a table of the simulated machine.
    unsafe { machine.phys_to_virt(place).cast::<u64>().write(raw) };
    // SAFETY: the block is this test's.
    unsafe { other.start().cast::<u64>().write(7) };
    machine.flush(range);
    let found = machine.mirror_matches_tables();
    // SAFETY: whatever is mapped there is this test's.
    let word = unsafe { pointer(&machine, 0).cast::<u64>().read() };
    match F::PROCESSOR {
        Processor::Aarch64 { .. } => assert!(matches!(found, Err(Mismatch::LiveChange { .. })), "{found:?}"),
        // Here it is allowed, and after the flush the processor follows the new entry.
        _ => assert_eq!((found, word), (Ok(()), 7)),
    }
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
    drop(other);
}

#[test]
fn a_break_comes_before_a_make_where_the_processor_needs_it() {
    each!(a_live_change);
}

/// A bit of leaves that the processor of the format reserves.
fn reserved<F: Tested>() -> u64 {
    match F::PROCESSOR {
        // Above all address bits that an x86_64 processor has, and below those that it ignores, nothing is left: the
        // tables have one.
        Processor::X86_64 => 0,
        Processor::Riscv64 => 1 << 60,
        Processor::Aarch64 { address_bits: 52, page_shift: 12 } => 1 << 6,
        Processor::Aarch64 { address_bits: 52, page_shift: 14 } => 1 << 12,
        Processor::Aarch64 { .. } => 1 << 48,
    }
}

/// The bit of a leaf that stands for the first page after its address.
fn next_page<F: Tested>() -> u64 {
    match F::PROCESSOR {
        Processor::Riscv64 => 1 << 10,
        // Bit 12 is an attribute there.
        Processor::X86_64 => 1 << 13,
        Processor::Aarch64 { page_shift, .. } => 1 << page_shift,
    }
}

/// Entries with bits that the processor reserves.
#[derive(Clone, Copy)]
struct Reserved;

impl<F: Tested> Alter<F> for Reserved {
    fn table(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        let is_broken = F::PROCESSOR == Processor::X86_64 && level >= Level::P4D;
        F::table(at, level, origin) | if is_broken { 1 << 7 } else { 0 }
    }

    fn leaf(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        F::leaf(at, level, origin) | reserved::<F>()
    }
}

/// Leaves at addresses that are no multiples of their size.
#[derive(Clone, Copy)]
struct Misaligned;

impl<F: Tested> Alter<F> for Misaligned {
    fn leaf(at: PhysAddr, level: Level, origin: Origin) -> u64 {
        F::leaf(at, level, origin) | next_page::<F>()
    }
}

/// Maps a large leaf by a broken format; returns what the machine noticed.
fn mapped_by<F: Tested, G: EntryFormat>(depth: PagingDepth) -> Result<(), Mismatch> {
    let mut machine = machine::<F>(depth);
    let range = part(&machine, 0, size::<G>(Level::PMD).bytes());
    let _ = populate::<G, _>(&mut machine, range);
    let found = machine.mirror_matches_tables();
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
    found
}

fn entries<F: Tested>(depth: PagingDepth) {
    assert_eq!(mapped_by::<F, F>(depth), Ok(()));
    let found = mapped_by::<F, Altered<F, Reserved>>(depth);
    assert!(matches!(found, Err(Mismatch::Malformed { .. })), "{found:?}");
    let found = mapped_by::<F, Altered<F, Misaligned>>(depth);
    assert!(matches!(found, Err(Mismatch::Misaligned { .. })), "{found:?}");
}

#[test]
fn reserved_bits_and_misaligned_leaves_are_noticed() {
    each!(entries);
}
