//! Leaves that change while they are in use: where the processor allows it, in the order that it asks for.

use sparsemem_aarch64_page_table::Aarch64;
use sparsemem_core::{
    AddressSpace, LeafSize, LinkRefused, LostBlocks, MetadataMemory, PagingDepth, PhysAddr, VirtAddr,
    VirtRange, forward_to_field,
};
use sparsemem_machine::{Access, Machine, Mismatch, Processor, probe};
use sparsemem_page_table::{Choice, EntryFormat, InUse, Level, Plan, StageError};
use sparsemem_riscv64_page_table::Riscv64;
use sparsemem_x86_64_page_table::X86_64;

use super::altered::{Alter, Altered};
use super::{Low, Tested, each, machine, part, populate, size, tables, unmap};
use crate::common::{NODE, pointer};

/// A page for every leaf.
struct Pages;

// SAFETY: it shares no page.
unsafe impl Plan for Pages {
    fn large(&mut self, _: VirtRange, _: LeafSize) -> Choice {
        Choice::Smaller
    }
}

/// Lets pages with the same content take the places of all leaves in a range.
fn exchange<F: EntryFormat, E>(env: &mut E, range: VirtRange, word: u64) -> Result<(), StageError>
where
    E: MetadataMemory + AddressSpace,
{
    let (tree, mut lost) = (tables::<F>(env), LostBlocks::default());
    let mut staging = tree.stage(env, NODE)?;
    staging.put(env, NODE, range, &mut Pages, &mut lost).unwrap();
    for at in (range.start().get()..range.end().get()).step_by(1 << F::BASE_SHIFT) {
        let new = staging.leaf(env, VirtAddr::new(at)).unwrap();
        // SAFETY: the page was made just now, and nobody has it.
        unsafe { env.phys_to_virt(new.phys).cast::<u64>().write(word) };
    }
    let _ = staging.exchange(&tree, env, range, |_| (), &mut lost);
    assert!(lost.is_empty());
    Ok(())
}

fn leaves_change_while_they_are_in_use<F: Tested>(depth: PagingDepth) {
    let mut machine = machine::<F>(depth);
    let (page, large) = (1 << F::BASE_SHIFT, size::<F>(Level::PMD).bytes());
    let whole = part(&machine, 0, large + 2 * page);
    if F::IN_USE == InUse::BreaksFirst {
        assert!(matches!(F::PROCESSOR, Processor::Aarch64 { .. }));
        assert_eq!(exchange::<F, _>(&mut machine, whole, 7), Err(StageError::InUse));
        assert!(machine.balance().is_zero());
        return;
    }
    let made = populate::<F, _>(&mut machine, whole).unwrap();
    assert_eq!((made.leaves().of(size::<F>(Level::PMD)), made.leaves().total()), (1, 3));
    for word in [7, 8] {
        // At first a large leaf and two small ones, and then small ones only.
        exchange::<F, _>(&mut machine, whole, word).unwrap();
        assert_eq!(machine.mirror_matches_tables(), Ok(()));
        for offset in [0, page, large - page, large, large + page] {
            let place = pointer(&machine, offset).cast::<u64>();
            // SAFETY: it is mapped, and nobody else has it.
            let found = unsafe { place.replace(1) };
            assert_eq!((found, probe(place.as_ptr().cast())), (word, Access::Readable));
        }
    }
    let gone = unmap::<F, _>(&mut machine, whole);
    assert_eq!(gone.dropped().of(size::<F>(Level::PTE)), large / page + 2);
    assert!(machine.mirror_matches_tables().is_ok() && machine.balance().is_zero());
}

#[test]
fn leaves_change_where_the_processor_allows_it() {
    each!(leaves_change_while_they_are_in_use);
}

/// An arm64 kernel that does not break before it makes.
#[derive(Clone, Copy)]
struct Hasty;

impl<F: EntryFormat> Alter<F> for Hasty {
    const IN_USE: InUse = InUse::MayChange;
}

#[test]
fn a_change_without_a_break_is_noticed_where_one_is_needed() {
    type Format = Aarch64<Low<12, 48>>;
    for small in [1, 512] {
        let mut machine = machine::<Format>(PagingDepth::Four);
        let range = part(&machine, 0, small * 4096);
        let _ = populate::<Format, _>(&mut machine, range).unwrap();
        exchange::<Altered<Format, Hasty>, _>(&mut machine, range, 0).unwrap();
        let noticed = machine.mirror_matches_tables();
        assert!(matches!(noticed, Err(Mismatch::LiveChange { .. })), "{noticed:?}");
        // SAFETY: nothing of the machine is used any more.
        unsafe { machine.demolish() };
    }
}

/// A kernel that does not tell its processors to forget what changed.
struct Unforgetful<'m>(&'m mut Machine);

// SAFETY: the borrow keeps the machine in its place.
forward_to_field!(unsafe impl ['m] PhysMap for Unforgetful<'m> => 0);

// SAFETY: all blocks are the machine's.
forward_to_field!(unsafe impl ['m] MetadataMemory for Unforgetful<'m> => 0);

// SAFETY: it breaks the contract on purpose, and the test uses nothing that it maps.
unsafe impl AddressSpace for Unforgetful<'_> {
    fn root(&self) -> PhysAddr {
        self.0.root()
    }

    fn depth(&self) -> PagingDepth {
        self.0.depth()
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.0.linked(at, to, size)
    }

    fn flush(&mut self, _: VirtRange) {}
}

fn whoever_does_not_flush_frees_too_early<F: Tested>(depth: PagingDepth) {
    if F::IN_USE == InUse::BreaksFirst {
        return;
    }
    let mut machine = machine::<F>(depth);
    let range = part(&machine, 0, size::<F>(Level::PMD).bytes());
    let _ = populate::<F, _>(&mut machine, range).unwrap();
    exchange::<F, _>(&mut Unforgetful(&mut machine), range, 0).unwrap();
    let noticed = machine.mirror_matches_tables();
    assert!(matches!(noticed, Err(Mismatch::FreedTooEarly { .. })), "{noticed:?}");
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
}

#[test]
fn what_changed_is_flushed_before_it_is_freed() {
    each!(whoever_does_not_flush_frees_too_early);
}
