//! Pages that several leaves share: every format lets the processor read them, and store nothing there.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use sparsemem_core::{
    AddressSpace, Block, LeafSize, LinkRefused, LostBlocks, MetadataMemory, Origin, PagingDepth, PhysAddr,
    VirtAddr, VirtRange, forward_to_field,
};
use sparsemem_machine::{Access, Machine, Mismatch, probe};
use sparsemem_page_table::{Choice, EntryFormat, Level, Plan, Small};

use sparsemem_aarch64_page_table::Aarch64;
use sparsemem_riscv64_page_table::Riscv64;
use sparsemem_x86_64_page_table::X86_64;

use super::altered::{Alter, Altered};
use super::{Low, Tested, each, machine, part, size, tables, unmap};
use crate::common::{NODE, pointer};

/// Every page after the first is the shared one.
struct Tails {
    head: VirtAddr,
    page: PhysAddr,
}

// SAFETY: the tests keep the block of the page, and write to it before it is mapped.
unsafe impl Plan for Tails {
    fn large(&mut self, _: VirtRange, _: LeafSize) -> Choice {
        Choice::Smaller
    }

    fn small(&mut self, slot: VirtRange) -> Small {
        if slot.start() == self.head { Small::New } else { Small::Shared(self.page) }
    }
}

/// The bytes of a head and three tails.
fn four<F: EntryFormat>(machine: &Machine) -> VirtRange {
    part(machine, 0, 4 << F::BASE_SHIFT)
}

/// Maps a head and three tails; returns the block that the tails share.
fn fold<F: EntryFormat, E: MetadataMemory + AddressSpace>(env: &mut E, range: VirtRange) -> Block {
    let block = env.alloc_zeroed(size::<F>(Level::PTE).layout(), NODE).unwrap();
    // SAFETY: the block is this test's, and as large as a page.
    unsafe { block.start().cast::<u64>().write(7) };
    let (mut plan, mut lost) = (Tails { head: range.start(), page: block.phys() }, LostBlocks::default());
    let made = tables::<F>(env).populate_as(env, NODE, range, &mut plan, &mut lost).unwrap();
    assert_eq!((made.leaves().total(), made.shared()), (1, 3));
    block
}

fn tails_are_read<F: Tested>(depth: PagingDepth) {
    let mut machine = machine::<F>(depth);
    let (range, page) = (four::<F>(&machine), 1 << F::BASE_SHIFT);
    let block = fold::<F, _>(&mut machine, range);
    let word = |offset| pointer(&machine, offset).cast::<u64>();
    // SAFETY: the head's page is mapped, and nobody else has it.
    unsafe { word(0).write(9) };
    // SAFETY: all four pages are mapped.
    let found = [0, 1, 2, 3].map(|nr| unsafe { word(nr * page).read() });
    assert_eq!(found, [9, 7, 7, 7]);
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    let gone = unmap::<F, _>(&mut machine, range);
    assert_eq!((gone.dropped().total(), gone.shared()), (1, 3));
    assert_eq!(probe(pointer(&machine, page).as_ptr()), Access::Faults);
    machine.free(block).map_err(|refused| refused.error).unwrap();
    assert!(machine.balance().is_zero() && machine.mirror_matches_tables().is_ok());
}

#[test]
fn every_format_shares_pages() {
    each!(tails_are_read);
}

/// The variable by which a process is told to store to a tail.
const STORE: &str = "SPARSEMEM_STORE_TO_TAIL";
/// The signal of a bad access.
const SIGSEGV: i32 = 11;

fn store<F: Tested>(depth: PagingDepth) {
    let mut machine = machine::<F>(depth);
    let range = four::<F>(&machine);
    let _block = fold::<F, _>(&mut machine, range);
    // SAFETY: not: the store is meant to end this process.
    unsafe { pointer(&machine, 3 << F::BASE_SHIFT).write_volatile(1) };
}

/// Does nothing unless the environment says so.
#[test]
fn store_to_tail() {
    let Ok(wanted) = std::env::var(STORE) else { return };
    let mut number = 0;
    macro_rules! one {
        ($($format:ty),*) => {$(
            if wanted == number.to_string() {
                store::<$format>(PagingDepth::Three);
            }
            number += 1;
        )*};
    }
    one!(Riscv64, Aarch64<Low<12, 48>>, Aarch64<Low<16, 48>>);
    if wanted == number.to_string() {
        store::<X86_64>(PagingDepth::Four);
    }
}

#[test]
fn a_store_to_a_tail_faults() {
    for number in 0..4 {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "shared::store_to_tail", "--nocapture"]).env(STORE, number.to_string());
        let status = process.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.signal(), Some(SIGSEGV), "format {number}");
    }
}

/// Links shared pages as if they were a leaf's own.
struct Forgetful<'m>(&'m mut Machine);

// SAFETY: the borrow keeps the machine in its place.
forward_to_field!(unsafe impl ['m] PhysMap for Forgetful<'m> => 0);

// SAFETY: all blocks are the machine's.
forward_to_field!(unsafe impl ['m] MetadataMemory for Forgetful<'m> => 0);

// SAFETY: it breaks the contract on purpose, and the test uses nothing that it maps.
unsafe impl AddressSpace for Forgetful<'_> {
    fn root(&self) -> PhysAddr {
        self.0.root()
    }

    fn depth(&self) -> PagingDepth {
        self.0.depth()
    }

    fn linked(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        self.0.linked(at, to, size)
    }

    fn published(&mut self, range: VirtRange) {
        self.0.published(range);
    }

    fn flush(&mut self, range: VirtRange) {
        self.0.flush(range);
    }
}

/// The processor may store to shared pages.
#[derive(Clone, Copy)]
struct Open;

impl<F: EntryFormat> Alter<F> for Open {
    fn shared(at: PhysAddr) -> u64 {
        F::leaf(at, Level::PTE, Origin::Boot)
    }
}

/// The breach that the machine notices while `act` uses it.
fn noticed<F: Tested>(depth: PagingDepth, act: fn(&mut Machine) -> Block) -> Result<(), Mismatch> {
    let mut machine = machine::<F>(depth);
    let block = act(&mut machine);
    let found = machine.mirror_matches_tables();
    drop(block);
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
    found
}

fn breaches<F: Tested>(depth: PagingDepth) {
    let open = noticed::<F>(depth, |machine| {
        let range = four::<F>(machine);
        fold::<Altered<F, Open>, _>(machine, range)
    });
    assert!(matches!(open, Err(Mismatch::Writable { .. })), "{open:?}");
    let forgotten = noticed::<F>(depth, |machine| {
        let range = four::<F>(machine);
        fold::<F, _>(&mut Forgetful(machine), range)
    });
    assert!(matches!(forgotten, Err(Mismatch::NotWritable { .. })), "{forgotten:?}");
    let mixed = noticed::<F>(depth, |machine| {
        let range = four::<F>(machine);
        fold::<Altered<F, Open>, _>(&mut Forgetful(machine), range)
    });
    assert!(matches!(mixed, Err(Mismatch::NotShared { .. })), "{mixed:?}");
}

#[test]
fn pages_that_are_shared_and_written_are_noticed() {
    each!(breaches);
}

/// Whoever gives a shared page back has to unmap all leaves that lead to it.
fn one_leaf_stays<F: Tested>(depth: PagingDepth) {
    let mut machine = machine::<F>(depth);
    let range = four::<F>(&machine);
    let block = fold::<F, _>(&mut machine, range);
    let all_but_one = part(&machine, 0, 3 << F::BASE_SHIFT);
    let _ = unmap::<F, _>(&mut machine, all_but_one);
    assert_eq!(machine.mirror_matches_tables(), Ok(()));
    machine.free(block).map_err(|refused| refused.error).unwrap();
    let found = machine.mirror_matches_tables();
    assert!(matches!(found, Err(Mismatch::FreedTooEarly { .. })), "{found:?}");
    // SAFETY: nothing of the machine is used any more.
    unsafe { machine.demolish() };
}

#[test]
fn a_shared_page_stays_for_its_last_leaf() {
    each!(one_leaf_stays);
}
