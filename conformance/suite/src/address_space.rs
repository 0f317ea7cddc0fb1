//! A check of an environment's page tables: that the processor uses them, and that a flush flushes.

#![allow(unsafe_code, reason = "reads and writes memory through a mapping that it makes")]

use alloc::format;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, ByteLen, ForeignBlock, LostBlocks, MetadataMemory, NodeId, OutOfMemory, PhysMap,
    Rejected, VirtAddr, VirtRange, forward_to_field,
};
use sparsemem_page_table::{Choice, EntryFormat, Fate, PageTable, PopulateError};

use crate::failure::{Failure, Place, expect_eq};

/// The clauses that a check names, as they stand in the safety section of [`AddressSpace`].
mod clause {
    pub(super) const USED: &str = "AddressSpace, clause 1: the processor uses the entries that are written";
    pub(super) const FLUSHED: &str =
        "AddressSpace, clause 3: after `flush` no processor holds a translation of the range";
}

/// Holds an environment to what it promises about translations: maps one page at `at`, reads through it, unmaps it, maps
/// another page there, and reads again. A processor that kept the first translation reads the first page.
///
/// A kernel's author calls it in a test, or at boot in a debug build, before a model uses the environment. On several
/// processors it checks the one that runs it.
///
/// # Errors
///
/// [`Failure`], with the clause that was broken. An environment without memory for two pages and the tables to them is not
/// held to it.
///
/// # Safety
///
/// `F` is the format of the environment's page tables. `at` begins a page of the smallest size in the place of an array
/// ([`ArrayPlace`](sparsemem_core::ArrayPlace)), where nothing is mapped and which nothing else uses meanwhile; the pointer
/// may access what is mapped there.
pub unsafe fn check_flush<F, E>(env: &mut E, node: NodeId, at: NonNull<u8>) -> Result<(), Failure>
where
    F: EntryFormat,
    E: MetadataMemory + AddressSpace,
{
    let mut keeping = Keeping { env, kept: Vec::new() };
    // Pages are kept until the end, so the second one is not the first one.
    // SAFETY: the caller's promises are the same.
    let mut checked = unsafe { map_and_read::<F, _>(&mut keeping, node, at, clause::USED, 0x5eed_0001) };
    if checked == Ok(true) {
        // SAFETY: as above; the first page is not mapped any more.
        checked = unsafe { map_and_read::<F, _>(&mut keeping, node, at, clause::FLUSHED, 0x5eed_0002) };
    }
    let Keeping { env, kept } = keeping;
    for block in kept {
        let refused = env.free(block).err().map(|rejected| rejected.error);
        expect_eq(Place::Model, "MetadataMemory::free: takes back what it gave", &None, &refused)?;
    }
    checked.map(drop)
}

/// Maps a page with a word in it, reads the word through the mapping, and unmaps the page. `false` if there is no memory.
///
/// # Safety
///
/// As [`check_flush`].
unsafe fn map_and_read<F, E>(
    env: &mut E,
    node: NodeId,
    at: NonNull<u8>,
    clause: &str,
    word: u64,
) -> Result<bool, Failure>
where
    F: EntryFormat,
    E: MetadataMemory + AddressSpace,
{
    let start = VirtAddr::new(at.addr().get() as u64);
    let page = VirtRange::from_start_count(start, ByteLen::new(1 << F::BASE_SHIFT)).unwrap_or_default();
    let differs = |found: &dyn core::fmt::Debug| {
        Failure::new(Place::Address(start), clause, "the page that is mapped", format!("{found:?}"))
    };
    // SAFETY: the environment promises the tables (`AddressSpace`), and the caller that they have this format and that
    // nothing else uses the place.
    let tables = unsafe { PageTable::<F>::new(env.root(), env.depth()) };
    let mut lost = LostBlocks::default();
    match tables.populate(env, node, page, |_, _| Choice::Smaller, &mut lost) {
        Ok(_) => {}
        Err(PopulateError::OutOfMemory { .. }) => return Ok(false),
        Err(refused) => return Err(differs(&refused)),
    }
    let leaf = tables.mappings(env, page).next();
    let read = leaf.map(|leaf| {
        let memory = env.phys_to_virt(leaf.phys).cast::<u64>();
        // SAFETY: the page was just allocated for this mapping, and the environment's direct map reaches it.
        unsafe { memory.write_volatile(word) };
        // SAFETY: the page is mapped at `at`, which begins a page.
        unsafe { at.cast::<u64>().read_volatile() }
    });
    let unmapped = tables.unmap(env, page, |_| Fate::Drop, &mut lost);
    let _ = unmapped.map_err(|error| differs(&error))?;
    if read == Some(word) { Ok(true) } else { Err(differs(&read)) }
}

/// An environment that takes nothing back until the check ends.
struct Keeping<'e, E> {
    env: &'e mut E,
    kept: Vec<Block>,
}

// SAFETY: the borrow keeps the environment.
forward_to_field!(unsafe impl ['e, E: PhysMap] PhysMap for Keeping<'e, E> => env);
// SAFETY: as above.
forward_to_field!(unsafe impl ['e, E: AddressSpace] AddressSpace for Keeping<'e, E> => env);

// SAFETY: the blocks are the environment's; those that come back are kept.
unsafe impl<E: MetadataMemory> MetadataMemory for Keeping<'_, E> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.env.alloc_zeroed(layout, node)
    }

    fn alloc_memmap(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.env.alloc_memmap(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.kept.push(block);
        Ok(())
    }
}
